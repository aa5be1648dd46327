"""The registry: which queues there are."""

from workflows.queues.queue import DEFAULT, Queue, default
from workflows.runtime.refusals import NotFound


class UnknownQueue(NotFound):
    """No queue has that name."""

    code = "unknown_queue"


def get(name: str) -> Queue:
    """Return a queue by its name.

    Raises:
        UnknownQueue: none has it.
    """
    if name != DEFAULT:
        raise UnknownQueue(f"There is no queue {name}.")
    return default()


def every() -> list[Queue]:
    """Return all queues, the built-in pair first."""
    return [default()]

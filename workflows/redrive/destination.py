"""The destination of a run: another queue's source queue, in the place of its own.

For a repaired consumer, or to try on a test queue. What is moved is counted in its own row, by the
guard of its own queue. The built-in pair takes no part: its fences wait for its own consumer.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from workflows.messages.ids import QueueName
from workflows.queues import registry
from workflows.queues.queue import Queue
from workflows.runtime.refusals import Invalid


class UnfitDestination(Invalid):
    """The run cannot send to that queue."""

    code = "unfit_destination"


def check(name: str | None, queue: Queue, *, has_canary: bool) -> Queue:
    """Return a queue as a run has it that sends to a destination; as it is, for none.

    Args:
        name: of the queue whose source queue is meant.
        queue: whose dead letters are to be sent.
        has_canary: whether the run has one.

    Raises:
        workflows.queues.registry.UnknownQueue: nobody registered the destination.
        UnfitDestination: saying why the run cannot send there.
    """
    if name is None:
        return queue
    other = registry.get(name)
    if queue.is_default or other.is_default:
        raise UnfitDestination(
            "destination: the built-in queue's messages go to its own consumer, and no others do."
        )
    if name == queue.name:
        raise UnfitDestination("destination: is the queue itself; leave it out.")
    if other.fifo != queue.fifo:
        raise UnfitDestination("destination: one of the queues is FIFO, and the other is not.")
    if has_canary:
        raise UnfitDestination(
            "canary: looks for what came back to the queue, where nothing comes from a destination."
        )
    return queue.sending_to(other)


def of_input(request: Any, queue: Queue) -> Queue:
    """Return a queue as a run that begins has it, by an input of which nothing is checked yet.

    What is wrong with it the run's input says, once the run has its record.
    """
    usual = queue.redrive_request or {}
    asked = usual | request if isinstance(request, dict) else usual
    try:
        name = TypeAdapter(QueueName).validate_python(asked.get("destination"), strict=True)
        return check(name, queue, has_canary=bool(asked.get("canary")))
    except (ValidationError, UnfitDestination, registry.UnknownQueue):
        return queue

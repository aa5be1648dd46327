"""What a queue is still needed for: its messages in trouble, and the run that is active on it."""

from pydantic import BaseModel

from workflows.ledger import trouble
from workflows.ledger.status import Trouble
from workflows.queues.queue import Queue
from workflows.redrive import run_lock


class InTrouble(BaseModel):
    """Messages of a queue in trouble, by the ledger; `oldest`: since when the longest is dead."""

    dead: int
    quarantined: int
    oldest: str | None


def in_trouble(queue: Queue) -> InTrouble:
    """Count a queue's messages in trouble, without reading them."""
    return InTrouble(
        dead=trouble.count(Trouble.DEAD, queue.name),
        quarantined=trouble.count(Trouble.QUARANTINED, queue.name),
        oldest=trouble.oldest(Trouble.DEAD, queue.name),
    )


def active_run(queue: Queue) -> str | None:
    """Return the id of the run that is active on a queue, or None."""
    lock = run_lock.find(queue)
    return None if lock is None or not run_lock.is_alive(lock) else str(lock["holder"])


def why_known(before: Queue, after: Queue) -> str | None:
    """Say why a queue's messages cannot be told by another `identity`, in a sentence.

    None if they can. Each that is in trouble would be met as another one, with a budget of its own.
    """
    if before.identity == after.identity:
        return None
    found = in_trouble(before)
    if not (found.dead or found.quarantined):
        return None
    return (
        f"identity: {found.dead} dead and {found.quarantined} quarantined messages are known by the"
        " one of before, and would be met as others; redrive or discard them, or use force."
    )


def why(queue: Queue) -> str | None:
    """Say why a registered queue is still needed, in a sentence; None if it is not."""
    if run_id := active_run(queue):
        return f"Run {run_id} is active on the queue; wait, cancel it, or use force."
    found = in_trouble(queue)
    if found.dead or found.quarantined:
        return (
            f"The queue has {found.dead} dead and {found.quarantined} quarantined messages;"
            " redrive or discard them, or use force."
        )
    return None

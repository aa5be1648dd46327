"""What a queue is still needed for: its messages in trouble, and the run that is active on it."""

from pydantic import BaseModel

from workflows.ledger import trouble
from workflows.ledger.status import Trouble
from workflows.queues import expressions
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
    """Say why a queue's messages cannot be told otherwise than before, in a sentence.

    By another `identity`, or by what another `unwrap` lets it read. None if they can. Each that is
    in trouble would be met as another one, with a budget of its own.
    """
    changed = _retold(before, after)
    if changed is None:
        return None
    found = in_trouble(before)
    if not (found.dead or found.quarantined):
        return None
    return (
        f"{changed}: {found.dead} dead and {found.quarantined} quarantined messages are known by"
        " that of before, and would be met as others; redrive or discard them, or use force."
    )


def _retold(before: Queue, after: Queue) -> str | None:
    """Return by which of its settings a queue's messages are told otherwise; None if by none."""
    if before.identity != after.identity:
        return "identity"
    reads = bool(after.identity) and expressions.reads_body(after.identity)
    return "unwrap" if reads and before.unwrap != after.unwrap else None


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

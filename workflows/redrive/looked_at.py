"""What a plan looks at: the dead letters that the ledger lists, as SQS would hand them out.

Where their bodies point to S3 it looks at fewer, because a plan is answered within one request: to
ask whether an object is there takes time, and to read one, of 1 MiB at most, far more. What its
bodies hold decides only where a schema or the filter has to see it.
"""

from collections.abc import Iterator
from typing import Any

from workflows.ledger import lost, trouble
from workflows.ledger.status import Trouble
from workflows.messages.filters import Filter
from workflows.messages.ids import FOREIGN_PREFIX
from workflows.queues import payloads, wrappings
from workflows.queues.queue import Queue
from workflows.redrive import reading
from workflows.redrive.verdict import DeadLetter
from workflows.runtime.aws import AT_ONCE

_LOOKED_AT = 5_000
_POINTED_AT = 1_000
_READ_FROM_S3 = 100
_CHUNK = 50


def chunks(gone: list[trouble.Row], only: Filter, queue: Queue) -> Iterator[list[DeadLetter]]:
    """Yield the dead letters that the ledger lists, longest dead first, some at a time.

    Args:
        gone: those are added to it that no queue is known to have.
        only: which the run may touch.
        queue: whose.
    """
    at_most = most(only, queue)
    size = payloads.AT_ONCE if wrappings.S3 in queue.unwrap else _CHUNK
    chunk: list[DeadLetter] = []
    for number, row in enumerate(trouble.every(Trouble.DEAD, Filter(), queue.name, bodies=at_most)):
        if number == at_most:
            break
        if lost.is_gone(row):
            gone.append(row)
            continue
        chunk.append(_letter(row, only, queue))
        if len(chunk) == size:
            yield chunk
            chunk = []
    yield chunk


def most(only: Filter, queue: Queue) -> int:
    """Return at how many dead letters a plan looks."""
    if wrappings.S3 not in queue.unwrap:
        return _LOOKED_AT
    return _READ_FROM_S3 if _reads(only, queue) else _POINTED_AT


def at_once(queue: Queue) -> int:
    """Return how many of the chunks are looked up side by side."""
    # What lies in S3 is read side by side in each.
    return 1 if wrappings.S3 in queue.unwrap else AT_ONCE


def _reads(only: Filter, queue: Queue) -> bool:
    """Tell whether what bodies hold decides; if not, the ledger's rows tell enough of them."""
    return queue.schema is not None or only.wants_payload


def _letter(row: dict[str, Any], only: Filter, queue: Queue) -> DeadLetter:
    """Return a row as the dead letter that SQS would hand out, without a body if it has none."""
    if not queue.is_default:
        told = wrappings.S3 in queue.unwrap and not _reads(only, queue)
        return reading.letter_of(row, told=told)
    letter: DeadLetter = {
        "MessageId": row["message_id"].removeprefix(FOREIGN_PREFIX),
        "Attributes": {"MessageGroupId": row["group_id"]},
    }
    if "body" in row:
        letter["Body"] = row["body"]
    return letter

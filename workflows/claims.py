"""Claims: which worker may process a message, and what to do with a copy that it may not.

A claim is one conditional write of the message's row in the ledger, under a lease: of two workers
with copies of one message, one wins, and the other learns from the row what became of it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from workflows import clock, ledger
from workflows.message import Message
from workflows.settings import settings


class Verdict(Enum):
    """What a worker may do with the message in its hands."""

    PROCESS = "it is ours: process it"
    SETTLED = "it was processed or discarded: acknowledge this copy"
    KEPT = "its body is safe, parked or in quarantine: acknowledge this copy"
    RETRYING = "the retry machine has it"
    BUSY = "another worker has it: let SQS bring it again"
    EXHAUSTED = "it came back from the dead-letter queue once too often: quarantine it"
    CONFLICT = "another message has this id"


@dataclass(frozen=True)
class Claim:
    """The answer to a worker; `redrives` is how often the message came back so far."""

    verdict: Verdict
    redrives: int


def claim(message: Message, sqs_message_id: str = "") -> Claim:
    """Take a message for processing, under a lease that outlives the worker's time limit.

    A row is made for a message that was put on the queue without the API. `sqs_message_id` tells a
    message that SQS delivers again from one that came back from the dead-letter queue.
    """
    identity = ledger.identity(message)
    del identity["message_id"]
    won, row = ledger.update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = if_not_exists(redrives, :zero),"
        " execution_arns = if_not_exists(execution_arns, :none), sqs_message_id = :sqs_message_id,"
        " attempts = if_not_exists(attempts, :zero) + :one, "
        + ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in identity),
        "attribute_not_exists(message_id) OR (payload_hash = :payload_hash"
        " AND (#status IN (:accepted, :queued, :redriven) OR #status = :processing"
        " AND (attribute_not_exists(sqs_message_id) OR sqs_message_id = :sqs_message_id))"
        " AND (attribute_not_exists(lease_until) OR lease_until <= :epoch))",
        {f":{name}": value for name, value in identity.items()}
        | _LEASABLE
        | {
            ":until": clock.epoch() + settings().claim_lease_seconds,
            ":epoch": clock.epoch(),
            ":zero": 0,
            ":one": 1,
            ":none": [],
            ":sqs_message_id": sqs_message_id,
        },
        names={f"#{name}": name for name in identity},
    )
    if won:
        return Claim(Verdict.PROCESS, int(row["redrives"]))
    if row["payload_hash"] != message.payload_hash:
        return Claim(Verdict.CONFLICT, 0)
    if _was_moved(row, sqs_message_id):
        return _claim_moved(message, sqs_message_id)
    return Claim(_VERDICTS.get(row["status"], Verdict.BUSY), int(row["redrives"]))


_VERDICTS = {
    "PROCESSED": Verdict.SETTLED,
    "DISCARDED": Verdict.SETTLED,
    "QUARANTINED": Verdict.KEPT,
    "PARKED": Verdict.KEPT,
    "RETRYING": Verdict.RETRYING,
}
_LEASABLE = {
    ":accepted": "ACCEPTED",
    ":queued": "QUEUED",
    ":redriven": "REDRIVEN",
    ":processing": "PROCESSING",
}


def _was_moved(row: dict[str, Any], sqs_message_id: str) -> bool:
    # Dead by our record, yet on the work queue: somebody moved it with SQS's own redrive. So it is
    # with one that SQS itself dead-lettered because its workers died: nobody noted that, but a
    # moved message comes back under a new SQS id.
    if row["status"] == "PROCESSING":
        is_free = row.get("lease_until", 0) <= clock.epoch()
        return bool(is_free and row.get("sqs_message_id", sqs_message_id) != sqs_message_id)
    return bool(row["status"] == "DEAD")


def _claim_moved(message: Message, sqs_message_id: str) -> Claim:
    # That is a redrive like any other, so it counts against the limit.
    won, row = ledger.update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = redrives + :one, attempts = :one, sqs_message_id = :sqs_message_id"
        " REMOVE trouble",
        f"{ledger.MOVED} AND redrives < :limit",
        {
            ":processing": "PROCESSING",
            ":until": clock.epoch() + settings().claim_lease_seconds,
            ":epoch": clock.epoch(),
            ":one": 1,
            ":dead": "DEAD",
            ":limit": settings().max_redrives,
            ":sqs_message_id": sqs_message_id,
        },
    )
    if won:
        return Claim(Verdict.PROCESS, int(row["redrives"]))
    exhausted = _was_moved(row, sqs_message_id)
    return Claim(Verdict.EXHAUSTED if exhausted else Verdict.BUSY, int(row["redrives"]))


def may_try(message: Message) -> bool:
    """Tell whether the ledger would let a worker try this message, without claiming it."""
    row = ledger.get_many([message.message_id]).get(message.message_id)
    return row is None or (
        row["payload_hash"] == message.payload_hash
        and (row["status"] in _LEASABLE.values() or row["status"] == "DEAD")
    )

"""Claims: which worker may process a message, and what to do with a copy that it may not.

A claim is one conditional write of the message's row in the ledger, under a lease: of two workers
with copies of one message, one wins, and the other learns from the row what became of it.

A message that was edited may still have copies with the old body: they are known by their hash,
among the row's `superseded_hashes`, and whoever claims one works on the ledger's body instead.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from workflows.ledger import conditions, journey, lookup, transitions, writes
from workflows.ledger.status import UNDER_WAY, Status
from workflows.messages.carried import COLUMN, Carried
from workflows.messages.envelope import Message
from workflows.runtime import clock
from workflows.runtime.settings import settings


class Decision(Enum):
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
    """The answer to a worker.

    `redrives` is how often the message came back so far, `attempt` which try this is over all
    redrives. `body` is what to work on in place of a copy that was made before an edit, and
    `carried` what came with it, if that is known.
    """

    decision: Decision
    redrives: int
    attempt: int = 0
    body: str | None = None
    carried: Carried | None = None


def claim(message: Message, sqs_message_id: str = "") -> Claim:
    """Take a message for processing, under a lease that outlives the worker's time limit.

    A row is made for a message that was put on the queue without the API. `sqs_message_id` tells a
    message that SQS delivers again from one that came back from the dead-letter queue.
    """
    identity = transitions.identity(message)
    del identity["message_id"]
    won, row = writes.update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = if_not_exists(redrives, :zero),"
        " execution_arns = if_not_exists(execution_arns, :none),"
        " journey = if_not_exists(journey, :none), sqs_message_id = :sqs_message_id,"
        " attempts = if_not_exists(attempts, :zero) + :one,"
        " attempts_total = if_not_exists(attempts_total, :zero) + :one, "
        + ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in identity)
        # Of a retry by hand: its copy, or another that is as good, is in our hands.
        + " REMOVE trouble, listed",
        "attribute_not_exists(message_id)"
        f" OR ({conditions.COPY}"
        " AND (#status IN (:accepted, :queued, :redriven) OR #status = :processing"
        " AND (attribute_not_exists(sqs_message_id) OR sqs_message_id = :sqs_message_id))"
        f" AND {conditions.FREE})",
        {f":{name}": value for name, value in identity.items()}
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
        return _answer(Decision.PROCESS, message, row)
    if not lookup.is_copy(message, row):
        return Claim(Decision.CONFLICT, 0)
    if _was_moved(row, sqs_message_id):
        return _claim_moved(message, row, sqs_message_id)
    decision = _DECISIONS.get(row["status"], Decision.BUSY)
    is_other = row.get("sqs_message_id", sqs_message_id) != sqs_message_id
    if decision is Decision.RETRYING and is_other:
        # Perhaps its dead letter, which somebody moved while the machine goes from `DeadLetter` to
        # `MarkDead`: that fails when it finds the count changed, and makes another dead letter.
        decision = Decision.RETRYING if transitions.copy_met(message.message_id) else Decision.BUSY
    return Claim(decision, int(row["redrives"]))


_DECISIONS = {
    Status.PROCESSED: Decision.SETTLED,
    Status.DISCARDED: Decision.SETTLED,
    Status.QUARANTINED: Decision.KEPT,
    Status.PARKED: Decision.KEPT,
    Status.RETRYING: Decision.RETRYING,
}


def _answer(decision: Decision, message: Message, row: dict[str, Any]) -> Claim:
    # An edited message's row has its body until it is processed, and then nobody gets here.
    redrives, attempt = int(row["redrives"]), int(row.get("attempts_total", 0))
    if lookup.is_current(message, row):
        return Claim(decision, redrives, attempt)
    carried = Carried.beside(row) if COLUMN in row else None
    return Claim(decision, redrives, attempt, str(row["body"]), carried)


def _was_moved(row: dict[str, Any], sqs_message_id: str) -> bool:
    # Dead by our record, yet on the work queue: somebody moved it with SQS's own redrive. So it is
    # with one that SQS itself dead-lettered because its workers died: nobody noted that, but a
    # moved message comes back under a new SQS id.
    if row["status"] == Status.PROCESSING:
        is_free = row.get("lease_until", 0) <= clock.epoch()
        return bool(is_free and row.get("sqs_message_id", sqs_message_id) != sqs_message_id)
    return bool(row["status"] == Status.DEAD)


def _claim_moved(message: Message, seen: dict[str, Any], sqs_message_id: str) -> Claim:
    # That is a redrive like any other, so it counts against the limit. The row must be as it was
    # seen: an edit may have changed body and limit, another redrive the number.
    redriven = journey.event("redriven", run_id=journey.NATIVE, number=int(seen["redrives"]) + 1)
    won, row = writes.update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = redrives + :one, attempts = :one,"
        " attempts_total = if_not_exists(attempts_total, :zero) + :one,"
        f" sqs_message_id = :sqs_message_id, {journey.APPEND}"
        " REMOVE trouble, listed, redriven_by",
        f"{conditions.MOVED} AND payload_hash = :payload_hash AND redrives = :redrives"
        " AND (redrives < redrive_limit"
        " OR attribute_not_exists(redrive_limit) AND redrives < :limit)",
        {
            ":payload_hash": seen["payload_hash"],
            ":redrives": seen["redrives"],
            ":zero": 0,
            ":until": clock.epoch() + settings().claim_lease_seconds,
            ":epoch": clock.epoch(),
            ":one": 1,
            ":limit": settings().max_redrives,
            ":sqs_message_id": sqs_message_id,
        }
        | journey.values(redriven),
    )
    if won:
        return _answer(Decision.PROCESS, message, row)
    if _was_moved(row, sqs_message_id) and lookup.redrives_left(row) == 0:
        return _answer(Decision.EXHAUSTED, message, row)
    return Claim(Decision.BUSY, int(row["redrives"]))


def holds_group(message: Message) -> bool:
    """Tell whether the group of a message that is delivered again has to wait for it.

    That is while the ledger would let a worker try it, which claims nothing yet. And, where groups
    wait for their dead letters, while it is in quarantine: its worker died before it fenced the
    group, and a run met the dead letter before SQS brought the message again.
    """
    row = lookup.get_many([message.message_id]).get(message.message_id)
    if row is None:
        return True
    waited_for = {*UNDER_WAY, Status.DEAD}
    if settings().on_dead_letter == "hold":
        waited_for.add(Status.QUARANTINED)
    return lookup.is_copy(message, row) and row["status"] in waited_for

"""Transitions: each write that moves a message of the ledger, under its condition.

Every one is conditional, so two workers that meet on a row cannot both take it; a failed condition
is an answer. What claims a message is in `claims.py`, what the retry machine's function writes in
`attempts.py`; the state machines write the same rows: see `statemachines/`. Only settled messages
are ever forgotten (TTL): a row in trouble, or parked, does not expire.
"""

from contextlib import suppress
from typing import Any

from workflows.ledger import journey, writes
from workflows.ledger.conditions import ABANDONED_SECONDS, CURRENT, FREE, MOVED, hashes
from workflows.ledger.status import Status, Trouble
from workflows.messages.carried import Carried
from workflows.messages.envelope import Message
from workflows.messages.message_types import meaning_hash
from workflows.messages.reasons import reason_of
from workflows.runtime import clock
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.refusals import Conflict
from workflows.runtime.settings import settings


class NotInTrouble(Conflict):
    """The message is neither dead nor quarantined."""

    code = "message_not_in_trouble"


class BeingTried(Conflict):
    """A function that was given up may still be trying the message; ask again in half a minute."""

    code = "message_being_tried"


def accept(message: Message) -> dict[str, Any] | None:
    """Record a message before it is sent; return the older row if the id is taken."""
    counters = {"attempts": 0, "attempts_total": 0, "redrives": 0}
    lists: dict[str, Any] = {"execution_arns": [], "journey": []}
    row = identity(message) | counters | lists | {"status": Status.ACCEPTED}
    try:
        dynamodb().put_item(
            TableName=settings().messages_table,
            Item=row,
            ConditionExpression="attribute_not_exists(message_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return plain(error.response)
    return None


def queued(message_id: str) -> None:
    """Note that SQS has a message that was sent again under its id; a worker may be faster."""
    # Only a worker has reason to hold the row of a message that was just sent, and it notes more
    # than this. If none did, the row says ACCEPTED, which a claim takes as well; the producer who
    # asks again sends the same bytes under the same deduplication id.
    with suppress(dynamodb().exceptions.TransactionConflictException):
        writes.update(
            message_id,
            "SET #status = :queued, updated_at = :now",
            "#status = :accepted",
            {},
        )


def processed(message_id: str) -> None:
    """Note that the message had its effect; nothing takes it out of this state."""
    writes.update(
        message_id,
        "SET #status = :processed, updated_at = :now, processed_at = if_not_exists(processed_at,"
        " :now), expires_at = :expires_at"
        " REMOVE trouble, listed, body, carried, lease_until, reason, dead_at",
        "attribute_exists(message_id)",
        {":expires_at": writes.expiry()},
    )


def parked(message: Message, attempt: int) -> dict[str, Any]:
    """Return the part of a transaction that notes a claimed message as PARKED, untried.

    `attempt` is the claim's here and below: it grows with every claim, so it tells this one from a
    later one of the same row, and what was claimed again meanwhile is not written.
    """
    return writes.change(
        message.message_id,
        "SET #status = :parked, updated_at = :now, attempts = attempts - :one,"
        f" attempts_total = attempts_total - :one, {journey.APPEND}"
        " REMOVE lease_until, expires_at",
        _CLAIMED,
        {":one": 1, ":attempt": attempt} | journey.values(journey.event("parked")),
    )


def retrying(
    message: Message,
    body: str,
    carried: Carried,
    error: Exception,
    execution_arn: str,
    attempt: int,
) -> dict[str, Any]:
    """Return the part of a transaction that hands a claimed message to the retry machine."""
    return writes.change(
        message.message_id,
        f"{_RETRYING}, execution_arns = list_append(execution_arns, :execution){_LEASE_ENDED}",
        _CLAIMED,
        _trouble_values(body, carried, Trouble.RETRYING, error)
        | {":attempt": attempt, ":execution": [execution_arn]}
        | journey.values(journey.attempt_failed(attempt, reason_of(error))),
    )


def dead(
    message: Message, body: str, carried: Carried, error: Exception, attempt: int
) -> dict[str, Any]:
    """Return the part of a transaction that notes a claimed message as lying on the DLQ."""
    reason = reason_of(error)
    died = journey.event("dead", reason_type=reason["type"])
    return writes.change(
        message.message_id,
        f"{_TROUBLE}, dead_at = :now{_LEASE_ENDED}",
        _CLAIMED,
        _trouble_values(body, carried, Trouble.DEAD, error)
        | {":attempt": attempt}
        | journey.values(journey.attempt_failed(attempt, reason), died),
    )


def copy_met(message_id: str) -> bool:
    """Count a copy, other than the one that was claimed, of a message that is being retried.

    It may be acknowledged then. False if the message is not being retried any more.
    """
    won, _ = writes.update(
        message_id,
        "SET copies = if_not_exists(copies, :zero) + :one",
        "#status = :retrying",
        {":zero": 0, ":one": 1},
    )
    return won


def quarantine(
    message: Message, body: str, carried: Carried, error: Exception, attempt: int
) -> bool:
    """Keep a message that came back once too often, body and reason, out of every queue.

    False if it was claimed, edited or given a new budget since its last `attempt` was read.
    """
    stored = journey.event("quarantined", reason_type=reason_of(error)["type"])
    won, _ = writes.update(
        message.message_id,
        _TROUBLE + _LEASE_ENDED,
        f"{MOVED} AND {CURRENT} AND attempts_total = :attempt"
        " AND (redrives >= redrive_limit"
        " OR attribute_not_exists(redrive_limit) AND redrives >= :limit)",
        _trouble_values(body, carried, Trouble.QUARANTINED, error)
        | {":epoch": clock.epoch()}
        | {":attempt": attempt, ":limit": settings().max_redrives}
        | hashes(message)
        | journey.values(stored),
    )
    return won


def discarded(message_id: str, note: dict[str, str]) -> dict[str, Any]:
    """Return the part of a transaction that gives a message up for good, if it is in trouble.

    That is dead, quarantined, let go of, lost, or left by workers that died: whatever copy of it
    still turns up is acknowledged by the consumer, or deleted by the run that meets it.
    """
    return writes.change(
        message_id,
        "SET #status = :discarded, updated_at = :now, discarded = :note, expires_at = :expires_at,"
        f" {journey.APPEND} REMOVE trouble, listed, lease_until",
        "((#status IN (:dead, :quarantined)"
        " OR (#status IN (:accepted, :queued, :redriven, :processing) AND trouble = :dead))"
        f" AND {FREE})"
        " OR (#status = :processing AND lease_until <= :abandoned)",
        {
            ":epoch": clock.epoch(),
            ":abandoned": clock.epoch() - ABANDONED_SECONDS,
            ":note": note,
            ":expires_at": writes.expiry(),
        }
        | journey.values(journey.event("discarded", by=note.get("by"))),
    )


_RETRYING = (
    "SET #status = :trouble, trouble = :trouble, body = :body, carried = :carried,"
    " reason = :reason, updated_at = :now, " + journey.APPEND
)
# What is being retried is in no index: its fence is (`workflows/groups/view.py`).
_TROUBLE = _RETRYING.replace(", body", ", listed = :listed, body", 1)


_LEASE_ENDED = " REMOVE lease_until, expires_at"


# By a worker: the claim that is in its hands.
_CLAIMED = "#status = :processing AND attempts_total = :attempt"


def _trouble_values(
    body: str, carried: Carried, trouble: Trouble, error: Exception
) -> dict[str, Any]:
    values = {":trouble": trouble, ":body": body, ":reason": reason_of(error)}
    return values | {":carried": carried.column}


def identity(message: Message) -> dict[str, Any]:
    """Return the columns of a row that its message alone decides."""
    return {
        "message_id": message.message_id,
        "type": message.type,
        "group_id": message.group_id,
        "payload_hash": message.payload_hash,
        "meaning_hash": meaning_hash(message),
        "first_sent_at": message.first_sent_at_text,
        "submitted_by": message.submitted_by,
        "trace_id": message.trace_id,
        "expires_at": writes.expiry(),
    }

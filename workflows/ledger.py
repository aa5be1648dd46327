"""The ledger: one row a message in the `Messages` table, which says where the message is.

Status: `ACCEPTED → QUEUED → PROCESSING → PROCESSED`; `PROCESSING → RETRYING → PROCESSED | DEAD`;
`DEAD → REDRIVEN → PROCESSING`, or `DEAD` again; `DEAD → QUARANTINED`. Every step is one conditional
write, so two workers that meet on a row cannot both take it; a failed condition is an answer.
The state machines write the same rows: see `statemachines/`. Only settled messages are ever
forgotten (TTL): a row in trouble, or parked, does not expire.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workflows import clock, journey
from workflows.aws import dynamodb, plain
from workflows.carried import Carried
from workflows.message import Message, fingerprint, reason
from workflows.message_types import meaning_hash
from workflows.settings import settings

_DAY = 86_400
# Begins the `redrive_mark` of a message that a person sent again; a run's begins with its id.
BY_HAND = "#"
_COLUMNS = [
    "message_id", "status", "type", "group_id", "payload_hash", "superseded_hashes", "meaning_hash",
    "edited_meaning_hash", "redrives", "redrive_limit", "redrive_mark", "redriven_by",
    "attempts_total", "reason", "first_sent_at", "dead_at", "updated_at", "trouble", "lease_until",
    "execution_arns",
]  # fmt: skip
_KNOWN = {
    "ProjectionExpression": ", ".join(f"#{column}" for column in _COLUMNS),
    "ExpressionAttributeNames": {f"#{column}": column for column in _COLUMNS},
}
# Nobody is at it: the lease of a worker or of the retry machine's function is over, or was given
# back. Whatever begins another life of a message waits for that, or an effect might follow it.
FREE = "(attribute_not_exists(lease_until) OR lease_until <= :epoch)"
# What SQS's own redrive brings back: dead by our record, or left by workers that died.
MOVED = f"(#status = :dead OR #status = :processing) AND {FREE}"
# `is_copy` and `is_current` as conditions, with the values of `hashes`.
COPY = (
    "(payload_hash = :payload_hash OR contains(superseded_hashes, :payload_hash)"
    " OR meaning_hash = :meaning_hash OR edited_meaning_hash = :meaning_hash)"
)
CURRENT = (
    "(payload_hash = :payload_hash OR edited_meaning_hash = :meaning_hash"
    " OR attribute_not_exists(superseded_hashes) AND meaning_hash = :meaning_hash)"
)
# Three deliveries, 180 s apart, and some more: a message whose worker died so long ago is in no
# other worker's hands. SQS moved it to the dead-letter queue, or it waits for its next delivery.
ABANDONED_SECONDS = 900


class MessageNotFound(Exception):
    """The ledger has no such message."""


class NotInTrouble(Exception):
    """The message is neither dead nor quarantined."""


class BeingTried(Exception):
    """A function that was given up may still be trying the message; ask again in half a minute."""


@dataclass(frozen=True)
class Lease:
    """What the retry machine's function has of a message, `until` seconds since 1970.

    `sole` says that no other function's lease was running when it was taken.
    """

    until: int
    sole: bool


def accept(message: Message) -> dict[str, Any] | None:
    """Record a message before it is sent; return the older row if the id is taken."""
    counters = {"attempts": 0, "attempts_total": 0, "redrives": 0}
    lists: dict[str, Any] = {"execution_arns": [], "journey": []}
    row = identity(message) | counters | lists | {"status": "ACCEPTED"}
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


def is_copy(message: Message, row: dict[str, Any]) -> bool:
    """Tell whether a row is this message's, by its payload or by one that an edit superseded.

    A copy is known by its spelling, whatever has become of its type's model since, and another
    spelling by what it means. A row from before meanings were kept is known by spellings only.
    """
    spellings = (row["payload_hash"], *row.get("superseded_hashes", ()))
    meanings = (row.get("meaning_hash"), row.get("edited_meaning_hash"))
    return message.payload_hash in spellings or meaning_hash(message) in meanings


def is_current(message: Message, row: dict[str, Any]) -> bool:
    """Tell whether a copy says what its row's message says now; if not, an edit superseded it."""
    meant = row.get("edited_meaning_hash" if "superseded_hashes" in row else "meaning_hash")
    return message.payload_hash == row["payload_hash"] or meaning_hash(message) == meant


def hashes(message: Message) -> dict[str, str]:
    """Return the values of `COPY` and `CURRENT`."""
    return {":payload_hash": message.payload_hash, ":meaning_hash": meaning_hash(message)}


def queued(message_id: str) -> None:
    """Note that SQS has the message; says nothing if a worker was, or is, faster."""
    # Only a worker has reason to hold the row of a message that was just sent, and it notes more
    # than this. If none did, the row says ACCEPTED, which a claim takes as well; the producer who
    # asks again sends the same bytes under the same deduplication id.
    with suppress(dynamodb().exceptions.TransactionConflictException):
        update(
            message_id,
            "SET #status = :queued, updated_at = :now",
            "#status = :accepted",
            {":queued": "QUEUED", ":accepted": "ACCEPTED"},
        )


def processed(message_id: str) -> None:
    """Note that the message had its effect; nothing takes it out of this state."""
    update(
        message_id,
        "SET #status = :processed, updated_at = :now, processed_at = if_not_exists(processed_at,"
        " :now), expires_at = :expires_at"
        " REMOVE trouble, body, carried, lease_until, reason, dead_at",
        "attribute_exists(message_id)",
        {":processed": "PROCESSED", ":expires_at": expiry()},
    )


def parked(message: Message, attempt: int) -> dict[str, Any]:
    """Return the part of a transaction that notes a claimed message as PARKED, untried.

    `attempt` is the claim's here and below: it grows with every claim, so it tells this one from a
    later one of the same row, and what was claimed again meanwhile is not written.
    """
    return change(
        message.message_id,
        "SET #status = :parked, updated_at = :now, attempts = attempts - :one,"
        f" attempts_total = attempts_total - :one, {journey.APPEND}"
        " REMOVE lease_until, expires_at",
        _CLAIMED,
        {":parked": "PARKED", ":processing": "PROCESSING", ":one": 1, ":attempt": attempt}
        | journey.values(journey.event("parked")),
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
    return change(
        message.message_id,
        f"{_TROUBLE}, execution_arns = list_append(execution_arns, :execution){_GIVEN_BACK}",
        _CLAIMED,
        _trouble_values(body, carried, "RETRYING", error)
        | {":processing": "PROCESSING", ":attempt": attempt, ":execution": [execution_arn]}
        | journey.values(_failed(attempt, reason(error))),
    )


def dead(
    message: Message, body: str, carried: Carried, error: Exception, attempt: int
) -> dict[str, Any]:
    """Return the part of a transaction that notes a claimed message as lying on the DLQ."""
    why = reason(error)
    died = journey.event("dead", reason_type=why["type"])
    return change(
        message.message_id,
        f"{_TROUBLE}, dead_at = :now{_GIVEN_BACK}",
        _CLAIMED,
        _trouble_values(body, carried, "DEAD", error)
        | {":processing": "PROCESSING", ":attempt": attempt}
        | journey.values(_failed(attempt, why), died),
    )


def take(message_id: str, attempt: int) -> Lease | None:
    """Take a message that is being retried for one attempt, under a lease.

    `attempt` is what the execution counted. None if the row is past it, because another execution,
    a run or a person has the message: then it must not be tried. The same attempt may take it
    again, for a function whose answer was lost is called again.
    """
    wanted = {":retrying": "RETRYING", ":attempt": attempt}
    until = clock.epoch() + settings().claim_lease_seconds
    won, row = _lease(message_id, until, f"{_TRIED} AND {FREE}", wanted | {":epoch": clock.epoch()})
    if won:
        return Lease(until, sole=True)
    if "lease_until" not in row:
        return None
    running = int(row["lease_until"])
    until = max(until, running + 1)  # so that no two leases are alike
    condition = f"{_TRIED} AND lease_until = :running"
    won, _ = _lease(message_id, until, condition, wanted | {":running": running})
    return Lease(until, sole=False) if won else None


def _lease(
    message_id: str, until: int, condition: str, values: dict[str, Any]
) -> tuple[bool, dict[str, Any]]:
    # Not `updated_at`: it is the key of an index, whose entry would be written anew.
    return update(message_id, "SET lease_until = :until", condition, values | {":until": until})


def copy_met(message_id: str) -> bool:
    """Count a copy, other than the one that was claimed, of a message that is being retried.

    It may be acknowledged then. False if the message is not being retried any more.
    """
    won, _ = update(
        message_id,
        "SET copies = if_not_exists(copies, :zero) + :one",
        "#status = :retrying",
        {":zero": 0, ":one": 1, ":retrying": "RETRYING"},
    )
    return won


def failed_again(
    message_id: str, why: dict[str, str], *, final: bool, attempt: int, lease: Lease
) -> bool:
    """Record why a retry failed, and whether no further one can help (`final`).

    Says nothing if the message was taken again meanwhile. A lease that was taken while another ran
    is not given back: the other function may still be at it.

    Returns:
        whether the machine gives the message up now.
    """
    won, row = update(
        message_id,
        f"SET reason = :reason, updated_at = :now, {journey.APPEND}"
        + (" REMOVE lease_until" if lease.sole else ""),
        f"{_TRIED} AND lease_until = :until",
        {
            ":reason": why | {"final": final},
            ":retrying": "RETRYING",
            ":attempt": attempt,
            ":until": lease.until,
        }
        | journey.values(_failed(attempt, why)),
    )
    return won and (final or int(row["attempts"]) >= settings().max_attempts)


def quarantine(
    message: Message, body: str, carried: Carried, error: Exception, attempt: int
) -> bool:
    """Keep a message that came back once too often, body and reason, out of every queue.

    False if it was claimed, edited or given a new budget since its last `attempt` was read.
    """
    stored = journey.event("quarantined", reason_type=reason(error)["type"])
    won, _ = update(
        message.message_id,
        _TROUBLE + _GIVEN_BACK,
        f"{MOVED} AND {CURRENT} AND attempts_total = :attempt"
        " AND (redrives >= redrive_limit"
        " OR attribute_not_exists(redrive_limit) AND redrives >= :limit)",
        _trouble_values(body, carried, "QUARANTINED", error)
        | {":dead": "DEAD", ":processing": "PROCESSING", ":epoch": clock.epoch()}
        | {":attempt": attempt, ":limit": settings().max_redrives}
        | hashes(message)
        | journey.values(stored),
    )
    return won


def discarded(message_id: str, why: dict[str, str]) -> dict[str, Any]:
    """Return the part of a transaction that gives a message up for good, if it is in trouble.

    That is dead, quarantined, let go of, lost, or left by workers that died: whatever copy of it
    still turns up is acknowledged by the consumer, or deleted by the run that meets it.
    """
    return change(
        message_id,
        "SET #status = :discarded, updated_at = :now, discarded = :why, expires_at = :expires_at,"
        f" {journey.APPEND} REMOVE trouble, lease_until",
        "((#status IN (:dead, :quarantined)"
        " OR (#status IN (:accepted, :queued, :redriven, :processing) AND trouble = :dead))"
        f" AND {FREE})"
        " OR (#status = :processing AND lease_until <= :abandoned)",
        {
            ":accepted": "ACCEPTED",
            ":queued": "QUEUED",
            ":redriven": "REDRIVEN",
            ":discarded": "DISCARDED",
            ":dead": "DEAD",
            ":quarantined": "QUARANTINED",
            ":processing": "PROCESSING",
            ":epoch": clock.epoch(),
            ":abandoned": clock.epoch() - ABANDONED_SECONDS,
            ":why": why,
            ":expires_at": expiry(),
        }
        | journey.values(journey.event("discarded", by=why.get("by"))),
    )


def get(message_id: str) -> dict[str, Any]:
    """Return a message's row, read consistently.

    Raises:
        MessageNotFound: the ledger has none, or it was forgotten after its retention.
    """
    found = dynamodb().get_item(
        TableName=settings().messages_table, Key={"message_id": message_id}, ConsistentRead=True
    )
    if "Item" not in found:
        raise MessageNotFound(f"There is no message {message_id}.")
    return dict(found["Item"])


def get_many(message_ids: Iterable[str], *, whole: bool = False) -> dict[str, dict[str, Any]]:
    """Return the rows of at most 100 messages by id, read consistently; unknown ids are absent.

    Only what tells where a message is, unless the `whole` rows are wanted, bodies and all.
    """
    table = settings().messages_table
    wanted: Any = {
        table: {
            "Keys": [{"message_id": message_id} for message_id in sorted(set(message_ids))],
            "ConsistentRead": True,
            **({} if whole else _KNOWN),
        }
    }
    rows: dict[str, dict[str, Any]] = {}
    while wanted and wanted[table]["Keys"]:
        answer: Any = dynamodb().batch_get_item(RequestItems=wanted)
        rows |= {row["message_id"]: row for row in answer["Responses"].get(table, [])}
        wanted = answer.get("UnprocessedKeys")
    return rows


def is_leased(row: dict[str, Any]) -> bool:
    """Tell whether a worker, or the retry machine's function, may still be at the message."""
    return int(row.get("lease_until", 0)) > clock.epoch()


def redrives_left(row: dict[str, Any]) -> int:
    """Return how often a message may still be redriven."""
    return max(0, int(row.get("redrive_limit", settings().max_redrives)) - int(row["redrives"]))


def fingerprint_of(row: dict[str, Any]) -> str | None:
    """Return what failures alike have in common; None of a message that has not failed.

    Reckoned from the reason and never stored, because the state machines give reasons too.
    """
    return fingerprint(row["type"], row["reason"]) if "reason" in row else None


def expiry() -> int:
    """Return when a row written now may be forgotten (TTL, seconds since 1970)."""
    return clock.epoch() + settings().ledger_retention_days * _DAY


_TROUBLE = (
    "SET #status = :trouble, trouble = :trouble, body = :body, carried = :carried,"
    " reason = :reason, updated_at = :now, " + journey.APPEND
)
_GIVEN_BACK = " REMOVE lease_until, expires_at"
# By a worker, and by the retry machine's function: the claim or the attempt that is in its hands.
_CLAIMED = "#status = :processing AND attempts_total = :attempt"
_TRIED = "#status = :retrying AND attempts_total = :attempt"


def _failed(attempt: int, why: dict[str, str]) -> dict[str, Any]:
    return journey.event("attempt", number=attempt, reason_type=why["type"])


def _trouble_values(body: str, carried: Carried, trouble: str, error: Exception) -> dict[str, Any]:
    values = {":trouble": trouble, ":body": body, ":reason": reason(error)}
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
        "expires_at": expiry(),
    }


def update(
    message_id: str,
    expression: str,
    condition: str,
    values: dict[str, Any],
    names: dict[str, str] | None = None,
) -> tuple[bool, dict[str, Any]]:
    """Write if the condition holds; return (True, the new row) or (False, the row as it is)."""
    arguments = change(message_id, expression, condition, values, names)["Update"]
    try:
        answer: Any = dynamodb().update_item(**arguments, ReturnValues="ALL_NEW")
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return False, plain(error.response)
    return True, answer["Attributes"]


def change(
    message_id: str,
    expression: str,
    condition: str,
    values: dict[str, Any],
    names: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return one conditional write of a message's row as the part of a transaction.

    Args:
        message_id: whose row.
        expression: may use `#status` and `:now`.
        condition: likewise.
        values: of the other placeholders.
        names: of the other attribute names.
    """
    uses_now = ":now" in expression + condition
    return {
        "Update": {
            "TableName": settings().messages_table,
            "Key": {"message_id": message_id},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#status": "status"} | (names or {}),
            "ExpressionAttributeValues": ({":now": clock.now()} if uses_now else {}) | values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }

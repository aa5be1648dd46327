"""The ledger: one row a message in the `Messages` table, which says where the message is.

Status: `ACCEPTED → QUEUED → PROCESSING → PROCESSED`; `PROCESSING → RETRYING → PROCESSED | DEAD`;
`DEAD → REDRIVEN → PROCESSING`; `DEAD → QUARANTINED`. Every step is one conditional write, so two
workers that meet on a row cannot both take it; a failed condition is an answer, not an error.
The state machines write the same rows: see `statemachines/`. Only settled messages are ever
forgotten (TTL): a row in trouble, or parked, does not expire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from workflows import clock
from workflows.aws import dynamodb, plain
from workflows.message import Message, fingerprint, reason
from workflows.settings import settings

# The sparse index: only rows in trouble carry its key, so they are found without touching a queue.
TROUBLE_INDEX = "TroubleIndex"
TROUBLES = ("DEAD", "QUARANTINED", "RETRYING")
_DAY = 86_400


class MessageNotFound(Exception):
    """The ledger has no such message."""


class NotInTrouble(Exception):
    """The message is neither dead nor quarantined."""


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


def accept(message: Message) -> dict[str, Any] | None:
    """Record a message before it is sent; return the older row if the id is taken."""
    counters = {"attempts": 0, "redrives": 0, "execution_arns": []}
    row = _identity(message) | counters | {"status": "ACCEPTED"}
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
    """Note that SQS has the message; says nothing if a worker was faster."""
    _update(
        message_id,
        "SET #status = :queued, updated_at = :now",
        "#status = :accepted",
        {":queued": "QUEUED", ":accepted": "ACCEPTED"},
    )


def claim(message: Message, sqs_message_id: str = "") -> Claim:
    """Take a message for processing, under a lease that outlives the worker's time limit.

    A row is made for a message that was put on the queue without the API. `sqs_message_id` tells a
    message that SQS delivers again from one that came back from the dead-letter queue.
    """
    identity = _identity(message)
    del identity["message_id"]
    won, row = _update(
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


_MOVED = (
    "(#status = :dead OR #status = :processing"
    " AND (attribute_not_exists(lease_until) OR lease_until <= :epoch))"
)


def _claim_moved(message: Message, sqs_message_id: str) -> Claim:
    # That is a redrive like any other, so it counts against the limit.
    won, row = _update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = redrives + :one, attempts = :one, sqs_message_id = :sqs_message_id"
        " REMOVE trouble",
        f"{_MOVED} AND redrives < :limit",
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


def processed(message_id: str) -> None:
    """Note that the message had its effect; nothing takes it out of this state."""
    _update(
        message_id,
        "SET #status = :processed, updated_at = :now, processed_at = if_not_exists(processed_at,"
        " :now), expires_at = :expires_at REMOVE trouble, body, lease_until, reason, fingerprint",
        "attribute_exists(message_id)",
        {":processed": "PROCESSED", ":expires_at": expiry()},
    )


def parked(message: Message) -> dict[str, Any]:
    """Return the part of a transaction that notes a claimed message as PARKED, untried."""
    return _change(
        message.message_id,
        "SET #status = :parked, updated_at = :now, attempts = attempts - :one"
        " REMOVE lease_until, expires_at",
        "#status = :processing",
        {":parked": "PARKED", ":processing": "PROCESSING", ":one": 1},
    )


def retrying(message: Message, body: str, error: Exception, execution_arn: str) -> dict[str, Any]:
    """Return the part of a transaction that hands a claimed message to the retry machine."""
    return _change(
        message.message_id,
        _TROUBLE.replace(
            " REMOVE", ", execution_arns = list_append(execution_arns, :execution) REMOVE"
        ),
        "#status = :processing",
        _trouble_values(message, body, "RETRYING", error)
        | {":processing": "PROCESSING", ":execution": [execution_arn]},
    )


def dead(message: Message, body: str, error: Exception) -> dict[str, Any]:
    """Return the part of a transaction that notes a claimed message as lying on the DLQ."""
    return _change(
        message.message_id,
        _TROUBLE,
        "#status = :processing",
        _trouble_values(message, body, "DEAD", error) | {":processing": "PROCESSING"},
    )


def failed_again(message: Message, why: dict[str, str], *, final: bool) -> None:
    """Record why a retry failed, and whether no further one can help (`final`)."""
    _update(
        message.message_id,
        "SET reason = :reason, fingerprint = :fingerprint, updated_at = :now",
        "#status = :retrying",
        {
            ":reason": why | {"final": final},
            ":fingerprint": fingerprint(message.type, why),
            ":retrying": "RETRYING",
        },
    )


def quarantine(message: Message, body: str, error: Exception) -> None:
    """Keep a message that came back once too often, body and reason, out of every queue."""
    _update(
        message.message_id,
        _TROUBLE,
        _MOVED,
        _trouble_values(message, body, "QUARANTINED", error)
        | {":dead": "DEAD", ":processing": "PROCESSING", ":epoch": clock.epoch()},
    )


def discard(message_id: str, why: dict[str, str]) -> dict[str, Any]:
    """Give a dead or quarantined message up for good and return its row; body and record stay.

    Raises:
        MessageNotFound: the ledger has none.
        NotInTrouble: it is neither dead nor quarantined.
    """
    won, row = _update(
        message_id,
        "SET #status = :discarded, updated_at = :now, discarded = :why,"
        " expires_at = :expires_at REMOVE trouble",
        "#status IN (:dead, :quarantined)",
        {
            ":discarded": "DISCARDED",
            ":dead": "DEAD",
            ":quarantined": "QUARANTINED",
            ":why": why,
            ":expires_at": expiry(),
        },
    )
    if not row:
        raise MessageNotFound(f"There is no message {message_id}.")
    if not won and row["status"] != "DISCARDED":
        raise NotInTrouble(
            f"Message {message_id} is {row['status']}; only dead and quarantined ones can be"
            " discarded."
        )
    return row


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


def get_many(message_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of at most 100 messages by id, read consistently; unknown ids are absent."""
    table = settings().messages_table
    wanted: Any = {
        table: {
            "Keys": [{"message_id": message_id} for message_id in sorted(set(message_ids))],
            "ConsistentRead": True,
            "ProjectionExpression": "message_id, #status, redrives, payload_hash, execution_arns,"
            " redrive_mark",
            "ExpressionAttributeNames": {"#status": "status"},
        }
    }
    rows: dict[str, dict[str, Any]] = {}
    while wanted and wanted[table]["Keys"]:
        answer: Any = dynamodb().batch_get_item(RequestItems=wanted)
        rows |= {row["message_id"]: row for row in answer["Responses"].get(table, [])}
        wanted = answer.get("UnprocessedKeys")
    return rows


def may_try(message: Message) -> bool:
    """Tell whether the ledger would let a worker try this message, without claiming it."""
    row = get_many([message.message_id]).get(message.message_id)
    return row is None or (
        row["payload_hash"] == message.payload_hash
        and (row["status"] in _LEASABLE.values() or row["status"] == "DEAD")
    )


def expiry() -> int:
    """Return when a row written now may be forgotten (TTL, seconds since 1970)."""
    return clock.epoch() + settings().ledger_retention_days * _DAY


def count(trouble: str) -> int:
    """Count the messages that are `DEAD`, `QUARANTINED` or `RETRYING`, without reading them."""
    pages = (
        dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings().messages_table,
            IndexName=TROUBLE_INDEX,
            KeyConditionExpression="trouble = :trouble",
            ExpressionAttributeValues={":trouble": trouble},
            Select="COUNT",
        )
    )
    return sum(page["Count"] for page in pages)


def oldest(trouble: str) -> str | None:
    """Return since when (ISO 8601) the message longest in this trouble has been in it."""
    answer: Any = dynamodb().query(
        TableName=settings().messages_table,
        IndexName=TROUBLE_INDEX,
        KeyConditionExpression="trouble = :trouble",
        ExpressionAttributeValues={":trouble": trouble},
        Limit=1,
    )
    return next((str(row["updated_at"]) for row in answer["Items"]), None)


_TROUBLE = (
    "SET #status = :trouble, trouble = :trouble, body = :body, reason = :reason,"
    " fingerprint = :fingerprint, updated_at = :now REMOVE lease_until, expires_at"
)


def _trouble_values(message: Message, body: str, trouble: str, error: Exception) -> dict[str, Any]:
    why = reason(error)
    return {
        ":trouble": trouble,
        ":body": body,
        ":reason": why,
        ":fingerprint": fingerprint(message.type, why),
    }


def _identity(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "type": message.type,
        "group_id": message.group_id,
        "payload_hash": message.payload_hash,
        "first_sent_at": message.first_sent_at_text,
        "submitted_by": message.submitted_by,
        "trace_id": message.trace_id,
        "expires_at": expiry(),
    }


def _update(
    message_id: str,
    expression: str,
    condition: str,
    values: dict[str, Any],
    names: dict[str, str] | None = None,
) -> tuple[bool, dict[str, Any]]:
    """Write if the condition holds; return (True, the new row) or (False, the row as it is)."""
    change = _change(message_id, expression, condition, values, names)["Update"]
    try:
        answer: Any = dynamodb().update_item(**change, ReturnValues="ALL_NEW")
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return False, plain(error.response)
    return True, answer["Attributes"]


def _change(
    message_id: str,
    expression: str,
    condition: str,
    values: dict[str, Any],
    names: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": settings().messages_table,
            "Key": {"message_id": message_id},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#status": "status"} | (names or {}),
            "ExpressionAttributeValues": {":now": clock.now()} | values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }

"""The ledger: one row a message in the `Messages` table, which says where the message is.

Status: `ACCEPTED → QUEUED → PROCESSING → PROCESSED`; `PROCESSING → RETRYING → PROCESSED | DEAD`;
`DEAD → REDRIVEN → PROCESSING`; `DEAD → QUARANTINED`. Every step is one conditional write, so two
workers that meet on a row cannot both take it; a failed condition is an answer, not an error.
The state machines write the same rows: see `statemachines/`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from workflows import clock
from workflows.aws import dynamodb, plain
from workflows.message import Message, fingerprint
from workflows.settings import settings

# The sparse index: only rows in trouble carry its key, so they are found without touching a queue.
TROUBLE_INDEX = "TroubleIndex"
TROUBLES = ("DEAD", "QUARANTINED", "RETRYING")
_DAY = 86_400


class ClaimLost(Exception):
    """Another worker settled the message after this one's lease ran out."""


class MessageNotFound(Exception):
    """The ledger has no such message."""


class Verdict(Enum):
    """What a worker may do with the message in its hands."""

    PROCESS = "it is ours: process it"
    DROP = "it is settled, or its body is safe in the ledger: acknowledge this copy"
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


def claim(message: Message) -> Claim:
    """Take a message for processing, under a lease that outlives the worker's time limit.

    A row is made for a message that was put on the queue without the API.
    """
    identity = _identity(message)
    del identity["message_id"]
    won, row = _update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = if_not_exists(redrives, :zero),"
        " execution_arns = if_not_exists(execution_arns, :none),"
        " attempts = if_not_exists(attempts, :zero) + :one, "
        + ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in identity),
        "attribute_not_exists(message_id) OR (payload_hash = :payload_hash"
        " AND #status IN (:accepted, :queued, :redriven, :processing)"
        " AND (attribute_not_exists(lease_until) OR lease_until <= :epoch))",
        {f":{name}": value for name, value in identity.items()}
        | _LEASABLE
        | {
            ":until": clock.epoch() + settings().claim_lease_seconds,
            ":epoch": clock.epoch(),
            ":zero": 0,
            ":one": 1,
            ":none": [],
        },
        names={f"#{name}": name for name in identity},
    )
    if won:
        return Claim(Verdict.PROCESS, int(row["redrives"]))
    if row["payload_hash"] != message.payload_hash:
        return Claim(Verdict.CONFLICT, 0)
    if row["status"] == "DEAD":
        return _claim_dead(message)
    return Claim(_VERDICTS.get(row["status"], Verdict.BUSY), int(row["redrives"]))


_VERDICTS = {
    "PROCESSED": Verdict.DROP,
    "QUARANTINED": Verdict.DROP,
    "DISCARDED": Verdict.DROP,
    "RETRYING": Verdict.RETRYING,
}
_LEASABLE = {
    ":accepted": "ACCEPTED",
    ":queued": "QUEUED",
    ":redriven": "REDRIVEN",
    ":processing": "PROCESSING",
}


def _claim_dead(message: Message) -> Claim:
    # Dead by our record, yet on the work queue: somebody moved it with SQS's own redrive. That is
    # a redrive like any other, so it counts against the limit.
    won, row = _update(
        message.message_id,
        "SET #status = :processing, updated_at = :now, lease_until = :until,"
        " redrives = redrives + :one, attempts = :one REMOVE trouble",
        "#status = :dead AND redrives < :limit",
        {
            ":processing": "PROCESSING",
            ":until": clock.epoch() + settings().claim_lease_seconds,
            ":one": 1,
            ":dead": "DEAD",
            ":limit": settings().max_redrives,
        },
    )
    if won:
        return Claim(Verdict.PROCESS, int(row["redrives"]))
    exhausted = row["status"] == "DEAD"
    return Claim(Verdict.EXHAUSTED if exhausted else Verdict.BUSY, int(row["redrives"]))


def processed(message_id: str) -> None:
    """Note that the message had its effect; nothing takes it out of this state."""
    _update(
        message_id,
        "SET #status = :processed, updated_at = :now, processed_at = if_not_exists(processed_at,"
        " :now) REMOVE trouble, body, lease_until, reason, fingerprint",
        "attribute_exists(message_id)",
        {":processed": "PROCESSED"},
    )


def retrying(message: Message, why: dict[str, str], execution_arn: str) -> None:
    """Hand a claimed message to an execution of the retry machine.

    Raises:
        ClaimLost: the lease ran out and another worker settled the message meanwhile.
    """
    won, _ = _update(
        message.message_id,
        _TROUBLE.replace(
            " REMOVE", ", execution_arns = list_append(execution_arns, :execution) REMOVE"
        ),
        "#status = :processing",
        _trouble_values(message, "RETRYING", why)
        | {":processing": "PROCESSING", ":execution": [execution_arn]},
    )
    if not won:
        raise ClaimLost(message.message_id)


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


def dead(message: Message, why: dict[str, str]) -> None:
    """Note that the message lies on the dead-letter queue."""
    _update(
        message.message_id,
        _TROUBLE,
        "#status = :processing",
        _trouble_values(message, "DEAD", why) | {":processing": "PROCESSING"},
    )


def quarantine(message: Message, why: dict[str, str]) -> None:
    """Keep a dead message, body and reason, out of every queue."""
    _update(
        message.message_id,
        _TROUBLE,
        "#status = :dead OR #status = :trouble",
        _trouble_values(message, "QUARANTINED", why) | {":dead": "DEAD"},
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
    " fingerprint = :fingerprint, updated_at = :now REMOVE lease_until"
)


def _trouble_values(message: Message, trouble: str, why: dict[str, str]) -> dict[str, Any]:
    return {
        ":trouble": trouble,
        ":body": message.body(),
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
    try:
        answer: Any = dynamodb().update_item(
            TableName=settings().messages_table,
            Key={"message_id": message_id},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#status": "status"} | (names or {}),
            ExpressionAttributeValues={":now": clock.now()} | values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return False, plain(error.response)
    return True, answer["Attributes"]

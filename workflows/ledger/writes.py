"""One conditional write of a row of the ledger, alone or as the part of a transaction."""

import re
from typing import Any

from workflows.ledger import listing
from workflows.ledger.status import Status, Trouble
from workflows.runtime import clock
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.settings import settings

_DAY = 86_400
_PLACEHOLDER = re.compile(r":[a-z_]+")
# An assignment of `trouble`, whose value is the index's key but for its shard.
_TROUBLE = re.compile(r"\btrouble = (:[a-z_]+), listed = :listed\b")
# A status stands in an expression under its own name: `:dead` is DEAD, and nothing else.
_STATUSES = {f":{name.lower()}": str(name) for name in [*Status, *Trouble]}


def expiry() -> int:
    """Return when a row written now may be forgotten (TTL, seconds since 1970)."""
    return clock.epoch() + settings().ledger_retention_days * _DAY


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
        expression: may use `#status`, `:now`, and each status and trouble by its name, `:dead`;
            behind the assignment of `trouble`, `:listed` is its key in the index.
        condition: likewise.
        values: of the other placeholders.
        names: of the other attribute names.
    """
    used = set(_PLACEHOLDER.findall(expression + condition))
    now = {":now": clock.now()} if ":now" in used else {}
    given = {name: _STATUSES[name] for name in used & _STATUSES.keys()} | values
    if found := _TROUBLE.search(expression):
        given |= {":listed": listing.key(str(given[found[1]]), message_id)}
    return {
        "Update": {
            "TableName": settings().messages_table,
            "Key": {"message_id": message_id},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#status": "status"} | (names or {}),
            "ExpressionAttributeValues": now | given,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }

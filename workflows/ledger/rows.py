"""Rows of the ledger, read by id and consistently."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from workflows.runtime import shards
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

_STATUS = {
    "ProjectionExpression": "#message_id, #status",
    "ExpressionAttributeNames": {"#message_id": "message_id", "#status": "status"},
}


def read(message_ids: Iterable[str], columns: Any) -> dict[str, dict[str, Any]]:
    """Return the rows of at most 100 messages by id; unknown ids are absent.

    Args:
        message_ids: whose rows.
        columns: the arguments that choose some of their columns; {} for all.
    """
    table = settings().messages_table
    keys = [{"message_id": message_id} for message_id in sorted(set(message_ids))]
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True, **columns}}
    rows: dict[str, dict[str, Any]] = {}
    while wanted and wanted[table]["Keys"]:
        answer: Any = dynamodb().batch_get_item(RequestItems=wanted)
        rows |= {row["message_id"]: row for row in answer["Responses"].get(table, [])}
        wanted = answer.get("UnprocessedKeys")
    return rows


def statuses(message_ids: Iterable[str]) -> dict[str, str]:
    """Return the statuses of any number of messages by id; unknown ids are absent."""
    found: dict[str, str] = {}
    for rows in shards.side_by_side(lambda ids: read(ids, _STATUS), _at_once(message_ids)):
        found |= {message_id: str(row["status"]) for message_id, row in rows.items()}
    return found


def _at_once(message_ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(message_ids)
    while chunk := list(islice(rest, 100)):  # BatchGetItem's limit
        yield chunk

"""Large bodies: what is too large for a row of the ledger lies beside it in parts.

An item of DynamoDB has 400 KB at most, a message of SQS 1 MiB with its attributes. Such a row's
`body` says of how many parts it is; `whole` puts them together. Their keys begin as no message's
id may.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from workflows.ledger import rows, writes
from workflows.messages.carried import COLUMN as CARRIED
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

# Of body and attributes; a row has a journey and names of executions besides.
_MOST_BYTES = 320_000
# Each of four bytes at most.
_PART_LETTERS = 90_000
# Where `whole` says of a row that its body came in parts.
IN_PARTS = "in_parts"


def is_large(body: str, carried: Mapping[str, str]) -> bool:
    """Tell whether a body and what it carries are too large for a row."""
    beside = sum(len(name) + len(text) for name, text in carried.items())
    return len(body.encode(errors="surrogatepass")) + beside > _MOST_BYTES


def columns(letter_id: str, body: str, carried: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a row whose body lies in parts.

    Args:
        letter_id: SQS's MessageId of the letter that has the body.
        body: the body.
        carried: what stands beside it, as the column has it.
    """
    return {"body": {"parts": len(_split(body, carried)), "of": letter_id}, CARRIED: {}}


def keep(message_id: str, letter_id: str, body: str, carried: Mapping[str, str]) -> None:
    """Write the parts of a message's body, before its row tells of them. May be repeated."""
    for number, part in enumerate(_split(body, carried)):
        item: Any = {"message_id": _key(message_id, letter_id, number), "part": part}
        dynamodb().put_item(TableName=settings().messages_table, Item=item)


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its body, wherever that lies; without one if parts of it are gone."""
    told = row.get("body")
    if not isinstance(told, Mapping):
        return row
    keys = _keys(row, told)
    found = rows.read(keys, {})
    rest = {name: value for name, value in row.items() if name not in ("body", CARRIED)}
    if len(found) < len(keys):
        return rest
    body, carried = json.loads("".join(found[key]["part"] for key in keys))
    return rest | {"body": body, CARRIED: carried, IN_PARTS: told}


def let_expire(row: dict[str, Any]) -> None:
    """Let the parts of a row's body, if it has any, be forgotten when the row may be.

    Args:
        row: as it is, or as `whole` gave it.
    """
    told = row.get(IN_PARTS, row.get("body"))
    if not isinstance(told, Mapping):
        return
    for key in _keys(row, told):
        with suppress(dynamodb().exceptions.ConditionalCheckFailedException):  # it is forgotten
            dynamodb().update_item(
                TableName=settings().messages_table,
                Key={"message_id": key},
                UpdateExpression="SET expires_at = :expires_at",
                ConditionExpression="attribute_exists(message_id)",
                ExpressionAttributeValues={":expires_at": writes.expiry()},
            )


def _split(body: str, carried: Mapping[str, str]) -> list[str]:
    text = json.dumps([body, dict(carried)], ensure_ascii=False)
    return [text[at : at + _PART_LETTERS] for at in range(0, len(text), _PART_LETTERS)]


def _keys(row: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    return [_key(row["message_id"], told["of"], n) for n in range(int(told["parts"]))]


def _key(message_id: str, letter_id: str, number: int) -> str:
    return f"#{message_id}#{letter_id}#{number}"

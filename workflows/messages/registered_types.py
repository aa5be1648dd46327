"""Registered message types: rows of the table `Queues`, beside the queues that they are not.

They stand there because what reads a queue's registration reads a type's too, with the same
permission; `belongs_to` keeps them out of the list of queues, as it does with dead-letter queues.
"""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from workflows.messages.effect_functions import EffectFunction
from workflows.messages.ids import IDENTIFIER
from workflows.runtime.aws import dynamodb, scan, transact
from workflows.runtime.refusals import Conflict, NotFound
from workflows.runtime.settings import settings

# So long a process goes by what it has read: of a type, and of a name that no type had.
KNOWN_SECONDS = 10
UNKNOWN_SECONDS = 1

_TYPES = "types"
_LONGEST = 64
_cache: dict[str, tuple[float, EffectFunction | None]] = {}

Part = dict[str, Any]
# The parts of a transaction that tell of a change: what the type was before.
Record = Callable[[EffectFunction | None], list[Part]]


class TypeNotFound(NotFound):
    """No registered message type has that name."""

    code = "unknown_type"


class TypeChanged(Conflict):
    """The registration changed meanwhile: look at it again, then ask again."""

    code = "type_changed"


def find(name: str) -> EffectFunction | None:
    """Return a type by its name, as it was at most `KNOWN_SECONDS` ago; None if there is none.

    What is processed asks for each message, so it is read once in a while and not each time.
    """
    until, known = _cache.get(name, (0.0, None))
    if time.monotonic() < until:
        return known
    row = _find(name) if is_name(name) else None
    found = None if row is None else _read(row)
    if len(_cache) >= 1_000:  # names that a stranger made up
        _cache.clear()
    seconds = UNKNOWN_SECONDS if found is None else KNOWN_SECONDS
    _cache[name] = time.monotonic() + seconds, found
    return found


def is_name(text: str) -> bool:
    """Tell whether a type can be called so."""
    return len(text) <= _LONGEST and bool(re.fullmatch(IDENTIFIER, text, re.ASCII))


def forget() -> None:
    """Let everything be read anew."""
    _cache.clear()


def get(name: str) -> EffectFunction:
    """Return a type by its name, as it is now.

    Raises:
        TypeNotFound: there is none.
    """
    return _read(_row(name))


def every() -> list[EffectFunction]:
    """Return all registered types, by name."""
    rows = scan(
        settings().queues_table,
        FilterExpression="belongs_to = :types",
        ExpressionAttributeValues={":types": _TYPES},
    )
    return sorted(map(_read, rows), key=lambda one: one.name)


def register(kind: EffectFunction, record: Record) -> bool:
    """Add a type, or put it in the place of the one of its name; tell whether it is new.

    Raises:
        TypeChanged: the same type was registered or removed at the same time.
    """
    seen = _find(kind.name)
    row = kind.as_dict() | {
        "queue": _key(kind.name),
        "belongs_to": _TYPES,
        "revision": (seen or {}).get("revision", 0) + 1,
    }
    if "schema" in row:
        row["schema"] = json.dumps(row["schema"])  # DynamoDB knows no floats
    condition = _as_seen(seen) if seen else {"ConditionExpression": "attribute_not_exists(queue)"}
    put: Part = {"Put": {"TableName": settings().queues_table, "Item": row} | condition}
    if transact([put, *record(_read(seen) if seen else None)]) is not None:
        raise TypeChanged
    return seen is None


def remove(name: str, record: Record) -> EffectFunction:
    """Forget a type, and return what it was.

    Raises:
        TypeNotFound: there is none.
        TypeChanged: it was registered anew or removed at the same time.
    """
    row = _row(name)
    found = _read(row)
    if transact([{"Delete": _about(name) | _as_seen(row)}, *record(found)]) is not None:
        raise TypeChanged
    return found


def _row(name: str) -> dict[str, Any]:
    row = _find(name) if is_name(name) else None
    if row is None:
        raise TypeNotFound(f"There is no registered type {name}.")
    return row


def _find(name: str) -> dict[str, Any] | None:
    return dynamodb().get_item(**_about(name), ConsistentRead=True).get("Item")


def _about(name: str) -> Part:
    return {"TableName": settings().queues_table, "Key": {"queue": _key(name)}}


def _as_seen(row: dict[str, Any]) -> Part:
    return {
        "ConditionExpression": "revision = :seen",
        "ExpressionAttributeValues": {":seen": row["revision"]},
    }


def _read(row: dict[str, Any]) -> EffectFunction:
    found = dict(row)
    if "schema" in found:
        found["schema"] = json.loads(found["schema"])
    if "max_age_seconds" in found:
        found["max_age_seconds"] = int(found["max_age_seconds"])
    return EffectFunction.of(found)


def _key(name: str) -> str:
    # No name of a queue has a space.
    return f"type {name}"

"""Cursors: where the next page of a list begins, opaque to the client."""

import base64
import json
from typing import Any

# DynamoDB's limit of a sort key.
_KEY_BYTES = 1_024


class InvalidCursor(ValueError):
    """The cursor is not one that a page of this list ended with."""


def cursor(key: dict[str, Any] | None) -> str | None:
    """Return DynamoDB's LastEvaluatedKey as a cursor; None for the last page."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode() if key else None


def start(cursor: str | None, **expected: str | None) -> dict[str, Any]:
    """Return the arguments that make a query go on at a cursor.

    Args:
        cursor: what the page before ended with; None for the first page.
        expected: the attributes of the key; one that is not None must have that very value.

    Raises:
        InvalidCursor: the cursor is not of this list.
    """
    if cursor is None:
        return {}
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        found = {name: key[name] for name in expected}
    except (ValueError, KeyError, TypeError, RecursionError):
        found = {}
    fits = all(
        _is_key(found.get(name)) and value in (None, found[name])
        for name, value in expected.items()
    )
    if not fits:
        raise InvalidCursor("cursor: is not one that a page of this list ended with")
    return {"ExclusiveStartKey": found}


def _is_key(value: object) -> bool:
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= _KEY_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False

"""Cursors: where the next page of a list begins, opaque to the client."""

import base64
import json
from typing import Any

from workflows.runtime.refusals import Invalid

# DynamoDB's limit of a sort key.
_KEY_BYTES = 1_024


class InvalidCursor(Invalid, ValueError):
    """The cursor is not one that a page of this list ended with."""

    code = "invalid_request"

    def __init__(
        self, text: str = "cursor: is not one that a page of this list ended with"
    ) -> None:
        """Take what is wrong with it, beginning with the field."""
        super().__init__(text)


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
    return {} if cursor is None else {"ExclusiveStartKey": key(cursor, **expected)}


def key(cursor: str, **expected: str | None) -> dict[str, str]:
    """Return what a cursor holds: `expected` and nothing else, as for `start`.

    Raises:
        InvalidCursor: the cursor is not of this list.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        fits = found.keys() == expected.keys() and all(
            _is_key(found[name]) and value in (None, found[name])
            for name, value in expected.items()
        )
    except (ValueError, AttributeError, RecursionError):
        fits = False
    if not fits:
        raise InvalidCursor
    return dict(found)


def _is_key(value: object) -> bool:
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= _KEY_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False

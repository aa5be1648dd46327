"""JSON as strangers send it: read strictly, so that a text means one thing or is refused."""

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

# Far more than any payload needs, far less than where Python's own readers and writers give up.
_LEVELS = 100


def loads(text: str) -> Any:
    """Parse JSON strictly: no duplicate keys, no NaN or infinity, no bottomless nesting.

    A number with more digits than a float keeps is a `Decimal`, so that whoever cannot take all of
    them can refuse it.

    Raises:
        json.JSONDecodeError: a ValueError with a reason that never quotes the text.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise json.JSONDecodeError("the JSON is nested too deeply", "", 0) from None
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(f"not JSON: {error.msg}", "", error.pos) from None
    except ValueError as error:  # a number with more digits than Python reads
        raise json.JSONDecodeError(str(error), "", 0) from None
    if _levels(value) > _LEVELS:
        raise json.JSONDecodeError(f"the JSON is nested deeper than {_LEVELS} levels", "", 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise json.JSONDecodeError("a key stands twice in one JSON object", "", 0)
    return found


def _number(digits: str) -> float | Decimal:
    number = float(digits)
    if math.isinf(number):
        raise json.JSONDecodeError("a number is too large", "", 0)
    try:
        exact = Decimal(digits)
    except InvalidOperation:
        raise json.JSONDecodeError("a number has too large an exponent", "", 0) from None
    return number if exact == Decimal(repr(number)) else exact


def _levels(value: Any) -> int:
    levels, row = 0, [value]
    while row:
        levels += 1
        row = [
            child
            for node in row
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return levels


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)

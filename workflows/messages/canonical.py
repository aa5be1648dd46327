"""What a payload says, however it is spelled, and numbers of which no digit may be lost.

Two payloads say the same if their type's model holds the same: `10`, `10.0` and `"10.00"` are one
amount, a default left out is a default given. Texts count letter by letter, unless a type's model
makes them alike.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel


def canonical(value: Any) -> Any:
    """Return a validated value as JSON that is equal for equal values, and only for those.

    Read from the model itself and not from `model_dump`, which leaves out and masks what a type
    wants hidden: two payloads that differ only there are two payloads.

    Raises:
        TypeError: it holds something of which this cannot be told.
    """
    match value:
        case Enum():
            return canonical(value.value)
        case None | bool() | str():
            return value
        case int() | float() | Decimal():
            return ["number", _digits(Decimal(repr(value) if isinstance(value, float) else value))]
        case BaseModel():
            return ["fields", {name: canonical(part) for name, part in _meant(value)}]
        case dict():
            return ["object", sorted([str(name), canonical(part)] for name, part in value.items())]
        case list() | tuple():
            return ["list", [canonical(part) for part in value]]
        case datetime():
            return ["time", (value.astimezone(UTC) if value.tzinfo else value).isoformat()]
        case date() | UUID():
            return ["text", str(value)]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def as_floats(value: Any) -> Any:
    """Return a JSON value as it travels: each number that a double cannot keep as the next one."""
    match value:
        case Decimal():
            return float(value)
        case dict():
            return {name: as_floats(part) for name, part in value.items()}
        case list():
            return [as_floats(part) for part in value]
    return value


def inexact(value: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted paths of those numbers of a JSON value that a double cannot keep."""
    if isinstance(value, Decimal):
        yield path
    elif isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            yield from inexact(part, f"{path}.{name}" if path else str(name))


def _meant(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield a model's fields but those that nobody gave and that are made anew each time."""
    fields = type(model).model_fields
    for name, value in model:
        made = name in fields and fields[name].default_factory is not None
        if name in model.model_fields_set or not made:
            yield name, value


def _digits(number: Decimal) -> str:
    # By hand: Decimal's own ways round to the context's digits or write out every zero.
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return str(number)  # infinite, or no number
    written = "".join(map(str, digits)).lstrip("0")
    kept = written.rstrip("0")
    if not kept:
        return "0"
    return f"{'-' if sign else ''}{kept}e{exponent + len(written) - len(kept)}"

"""Filters: which of the messages in trouble are meant, by their record or by their payload.

One `Filter` serves the lists, the plan, the run and the bulk actions. It travels as JSON, in which
a relative time stays relative: what is older than a day is judged when it is looked at.
"""

import math
import re
from dataclasses import dataclass
from datetime import MAXYEAR, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
)

from workflows.messages.canonical import as_floats
from workflows.messages.expressions import check_expression, evaluate
from workflows.runtime import clock, period
from workflows.runtime.asked import Asked

_LONGEST = timedelta(days=3_650)
# Beyond it a number changes on its way through JSON: https://www.rfc-editor.org/rfc/rfc7493#section-2.2
_LARGEST_INTEGER = 2**53 - 1
_TEXT_LENGTH = 500
_WITH_UNIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])")
_duration: TypeAdapter[timedelta] = TypeAdapter(timedelta)


def _moment(value: object) -> str:
    """Return a moment as it is kept: an ISO 8601 duration, or a time in UTC.

    Nothing is guessed: digits without a unit may be meant as seconds, or as a date.
    """
    text = value if isinstance(value, str) and len(value) <= 64 else ""
    try:
        if with_unit := _WITH_UNIT.fullmatch(text):
            number, unit = with_unit.groups()
            return _limited(f"P{number}D" if unit == "d" else f"PT{number}{unit.upper()}")
        if text.startswith("P"):
            return _limited(text)
        time = period.moment(text)
        if not 1970 <= time.year < MAXYEAR:
            raise OverflowError
        return time.isoformat().replace("+00:00", "Z")
    except _TooLong:
        raise
    except (ValueError, OverflowError):  # pydantic's error is a ValueError
        raise ValueError(
            "must be a date or a time with its zone such as 2026-11-24 or 2026-11-24T12:00:00Z, or"
            " a duration such as 90s, 15m, 2h, 7d, P1D or PT2H"
        ) from None


class _TooLong(ValueError):
    pass


def _limited(text: str) -> str:
    date, _, _ = text.partition("T")
    if "Y" in date or "M" in date:  # of no certain length, and P15M was hardly meant as months
        raise ValueError
    if _duration.validate_python(text) > _LONGEST:
        raise _TooLong(f"must be at most P{_LONGEST.days}D")
    return text


def _text(value: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must not have half of a surrogate pair")
    return value


def _path(value: object) -> str:
    if not isinstance(value, str) or not all(value.split(".")) or len(value) > 256:
        raise ValueError("each attribute must be a path of at most 256 characters such as a.b.c")
    return _text(value)


def _scalar(value: object) -> object:
    if isinstance(value, str):
        if len(value) > _TEXT_LENGTH:
            raise ValueError(f"must have at most {_TEXT_LENGTH} characters")
        return _text(value)
    if isinstance(value, Decimal):
        raise ValueError("must not have more digits than a JSON number keeps")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise ValueError(f"must not be beyond ±{_LARGEST_INTEGER}: JSON is not exact there")
    if value is not None and not isinstance(value, bool | int | float):
        raise ValueError("must be a string, a number, a boolean or null")
    return value


Id = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=128)]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Moment = Annotated[str, BeforeValidator(_moment)]
# AfterValidator: pydantic says for itself what is no string and what is too long.
Expression = Annotated[
    str, StringConstraints(min_length=1, max_length=_TEXT_LENGTH), AfterValidator(check_expression)
]
Path = Annotated[str, BeforeValidator(_path)]
Scalar = Annotated[bool | int | float | str | None, BeforeValidator(_scalar)]

OLDER_THAN = (
    "First sent before that: a date in UTC (`2026-11-24`), a time with its zone"
    " (`2026-11-24T12:00:00Z`), or a duration before now (`90s`, `15m`, `2h`, `7d`, `PT2H`)."
)
NEWER_THAN = "First sent at that or after it; written like `older_than`."


class Filter(Asked):
    """Which messages are meant: those that meet every field that is given; all, if none is.

    `reason` is the class name of the error. `payload` holds what attributes of the payload must be
    equal to, by dotted path; `jmespath` what must be true of the payload.
    """

    message_ids: list[Id] | None = Field(default=None, min_length=1, max_length=100)
    group_id: Id | None = None
    type: Id | None = None
    reason: Id | None = Field(default=None, examples=["AccountFrozen"])
    fingerprint: Fingerprint | None = None
    older_than: Moment | None = Field(default=None, description=OLDER_THAN, examples=["PT2H"])
    newer_than: Moment | None = Field(default=None, description=NEWER_THAN, examples=["P1D"])
    payload: dict[Path, Scalar] | None = Field(
        default=None, min_length=1, max_length=20, examples=[{"currency": "EUR"}]
    )
    jmespath: Expression | None = Field(
        default=None, examples=["to_number(amount) > `100` && kind == 'debit'"]
    )

    @property
    def empty(self) -> bool:
        """Whether it filters nothing, so that every message matches."""
        return self == Filter()

    @property
    def wants_payload(self) -> bool:
        """Whether a message's payload is needed to tell if it matches."""
        return self.payload is not None or self.jmespath is not None


@dataclass(frozen=True)
class Subject:
    """What a filter looks at. `first_sent_at` is ISO 8601; `payload` None if it cannot be read."""

    message_id: str
    group_id: str
    type: str
    reason_type: str | None
    fingerprint: str | None
    first_sent_at: str
    payload: dict[str, Any] | None = None


def matches(wanted: Filter, letter: Subject) -> bool:
    """Tell whether a message meets every field of a filter; never raises, whatever it holds."""
    exact = (
        (wanted.group_id, letter.group_id),
        (wanted.type, letter.type),
        (wanted.reason, letter.reason_type),
        (wanted.fingerprint, letter.fingerprint),
    )
    return (
        all(value is None or value == found for value, found in exact)
        and (wanted.message_ids is None or letter.message_id in wanted.message_ids)
        and _in_time(wanted, letter.first_sent_at)
        and _payload_matches(wanted, letter.payload)
    )


def edge(moment: str) -> datetime:
    """Return the time that `older_than` or `newer_than` means now."""
    if moment.startswith("P"):
        return clock.read(clock.now()) - _duration.validate_python(moment)
    return clock.read(moment)


def _in_time(wanted: Filter, first_sent_at: str) -> bool:
    if wanted.older_than is None and wanted.newer_than is None:
        return True
    try:
        sent = clock.read(first_sent_at)
    except ValueError:
        return False
    return (wanted.older_than is None or sent < edge(wanted.older_than)) and (
        wanted.newer_than is None or sent >= edge(wanted.newer_than)
    )


def _payload_matches(wanted: Filter, payload: dict[str, Any] | None) -> bool:
    if not wanted.wants_payload:
        return True
    if payload is None:
        return False
    payload = as_floats(payload)  # which is what JMESPath knows as numbers
    equal = all(_same(value, _at(path, payload)) for path, value in (wanted.payload or {}).items())
    return equal and (wanted.jmespath is None or evaluate(wanted.jmespath, payload))


def _at(path: str, payload: dict[str, Any]) -> Any:
    """Return the attribute at a dotted path; an empty object, equal to no scalar, for none."""
    found: Any = payload
    for name in path.split("."):
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return found


def _same(wanted: Any, found: Any) -> bool:
    # To Python, True is 1; to JSON it is not.
    return isinstance(wanted, bool) == isinstance(found, bool) and bool(wanted == found)

"""Periods: from when to when a list goes, as a person writes it."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from workflows.runtime import clock
from workflows.runtime.refusals import Invalid

USUAL_DAYS = 30
MOST_DAYS = 366
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    _DATE.pattern + r"T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class InvalidPeriod(Invalid, ValueError):
    """The period is not one that can be listed."""

    code = "invalid_request"


class Period(NamedTuple):
    """Two moments in UTC, both inclusive."""

    first: datetime
    last: datetime

    def days(self) -> list[str]:
        """Return its days (YYYY-MM-DD), newest first."""
        newest = self.last.date()
        count = (newest - self.first.date()).days + 1
        return [(newest - timedelta(days=back)).isoformat() for back in range(count)]


def parse(since: str | None, until: str | None) -> Period:
    """Return the period that the parameters `from` and `to` name.

    Args:
        since: a date, or an ISO 8601 time with its zone; None for `USUAL_DAYS` before `until`.
        until: likewise, a date to its end; None for now.

    Raises:
        InvalidPeriod: naming the parameter and what is wrong with it.
    """
    last = _edge("to", until if until is not None else clock.now(), time.max)
    if since is not None:
        first = _edge("from", since, time.min)
    else:
        first = last - min(timedelta(days=USUAL_DAYS), last - datetime.min.replace(tzinfo=UTC))
    if first > last:
        raise InvalidPeriod("from: must not be later than `to`")
    if last - first > timedelta(days=MOST_DAYS):
        raise InvalidPeriod(f"from: must be at most {MOST_DAYS} days before `to`")
    return Period(first, last)


def moment(text: str, of_day: time = time.min) -> datetime:
    """Return the time in UTC that a date, or an ISO 8601 time with its zone, names.

    Only in ISO 8601's long form: digits alone could as well be seconds since 1970.

    Args:
        text: as a person wrote it.
        of_day: when on that day, for a date.

    Raises:
        ValueError: it is neither, or lies outside of the years 1 to 9999.
    """
    if _DATE.fullmatch(text):
        return datetime.combine(date.fromisoformat(text), of_day, UTC)
    if not _TIME.fullmatch(text):
        raise ValueError
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def _edge(field: str, text: str, of_day: time) -> datetime:
    try:
        return moment(text, of_day)
    except ValueError:
        raise InvalidPeriod(
            f"{field}: must be a date like 2026-11-24, or an ISO 8601 time with its zone like"
            " 2026-11-24T12:00:00Z; in a URL a + is %2B"
        ) from None

"""One clock: UTC, in the two forms the tables use."""

import time
from datetime import UTC, datetime, timedelta


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds, as JSONata's `$now()` writes it."""
    return text(datetime.now(UTC))


def later(milliseconds: int) -> str:
    """Return the time that it will be then, in that form."""
    return text(read(now()) + timedelta(milliseconds=milliseconds))


def text(moment: datetime) -> str:
    """Return a time in UTC in that form."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch() -> int:
    """Return the time in whole seconds since 1970, for leases and TTL."""
    return int(time.time())


def milliseconds() -> int:
    """Return the time in whole milliseconds since 1970, as JSONata's `$millis()`."""
    return int(time.time() * 1_000)


def read(moment: str) -> datetime:
    """Return an ISO 8601 time; one without a zone is UTC.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(moment)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def seconds_since(moment: str) -> int:
    """Return the whole seconds since an ISO 8601 time; 0 if it lies ahead."""
    return max(0, int((read(now()) - read(moment)).total_seconds()))

"""One clock: UTC, in the two forms the tables use."""

import time
from datetime import UTC, datetime


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds, as JSONata's `$now()` writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch() -> int:
    """Return the time in whole seconds since 1970, for leases and TTL."""
    return int(time.time())

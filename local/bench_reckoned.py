"""What lanes would do on AWS: arithmetic from what one lane took here, and from AWS's quotas.

Reckoned, not measured: it takes for granted that lanes do not hinder each other, and that a state
takes on AWS what `LATENCY_MS` adds and the emulator takes here.
"""

from dataclasses import dataclass

from local.bench_tables import Found, Part
from workflows.redrive.prices import Item, Usage

ONE_LANE = "one lane"
LANES = (1, 4, 10, 40)
_BATCH = 10


@dataclass(frozen=True)
class Quota:
    """So many a second, of us-east-1 and of an account that asked for no more."""

    name: str
    limit: int
    item: Item | None = None  # what counts; None for a batch


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
QUOTAS = (
    Quota("SQS FIFO: 300 calls of an action", 300),
    Quota("with high throughput, as here: 70,000", 70_000),
    Quota("Standard lanes: 5,000 state transitions", 5_000, Item.TRANSITIONS),
    Quota("a new table: 4,000 write units", 4_000, Item.WRITES),
    Quota("one key, the run's row and its lock: 1,000 write units", 1_000),
)


def part(found: Found) -> Part:
    """Return the table, from what one lane took with the longest latency."""
    result = found[max(found)].get(ONE_LANE)
    if result is None:
        raise LookupError(f"{ONE_LANE} was not measured.")
    rates = {lanes: lanes * result.rate for lanes in LANES}
    header = ("quota, a second", "binds at messages a second", *map(_lanes, LANES))
    speed = ("messages a second", "", *(f"{rate:,.0f}" for rate in rates.values()))
    return Part(
        "reckoned",
        "Reckoned, not measured: messages a second if lanes do not hinder each other, and how much"
        " of a quota of AWS they would use.",
        header,
        [speed, *(_row(quota, result.message, rates) for quota in QUOTAS)],
    )


def _row(quota: Quota, message: Usage, rates: dict[int, float]) -> tuple[str, ...]:
    binds = quota.limit / (message[quota.item] if quota.item else 1 / _BATCH)
    shares = (f"{rate / binds:.1%}" for rate in rates.values())
    return (quota.name, f"{binds:,.0f}", *shares)


def _lanes(number: int) -> str:
    return "1 lane" if number == 1 else f"{number} lanes"

"""The tables of `make bench`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from local.bench_ways import Measured, Way
from local.ministack_quirks import MINISTACK_VERSION
from workflows.redrive.prices import AS_OF, MILLION, REGION, Item, Usage, bill

Result = Measured | None
Found = dict[int, dict[str, Result]]  # by LATENCY_MS and the name of the way
Row = tuple[object, ...]

_NOT_HERE = "not on this engine"
_COUNTED = (Item.SQS, Item.TRANSITIONS, Item.INVOCATIONS, Item.WRITES, Item.READS)
_COSTS = {
    "transitions": (Item.TRANSITIONS,),
    "Express": (Item.EXPRESS_REQUESTS, Item.EXPRESS_SECONDS),
    "Lambda": (Item.INVOCATIONS, Item.LAMBDA_SECONDS),
    "SQS": (Item.SQS,),
    "writes": (Item.WRITES,),
    "reads": (Item.READS,),
}


@dataclass(frozen=True)
class Part:
    """A table, what is to be said of it, and the part of the page in which it stands."""

    name: str
    says: str
    header: tuple[str, ...]
    rows: list[Row]


def parts(found: Found, ways: Iterable[Way], messages: int) -> list[Part]:
    """Return the tables of what was found."""
    names = [way.name for way in ways]
    slowest = {name: result for latency in sorted(found) for name, result in found[latency].items()}
    return [
        Part(
            "rates",
            f"Messages a second: {messages} dead letters, each in a message group of its own. The"
            " consumer is off: only the move is measured.",
            ("way", *(_with_latency(latency) for latency in found)),
            [(name, *(_rate(found[latency], name) for latency in found)) for name in names],
        ),
        Part(
            "counts",
            "What a message takes of each, at full batches; in brackets what a run takes once.",
            ("way", *_COUNTED),
            [(name, *_counts(slowest.get(name))) for name in names],
        ),
        Part(
            "dollars",
            f"A million messages in US dollars, by the counts above and the prices of {AS_OF}"
            f" in {REGION}; of the last column, what a run costs once.",
            ("way", *_COSTS, "all", "once"),
            [(name, *_dollars(slowest.get(name))) for name in names],
        ),
    ]


def closing(processors: int | None) -> str:
    """Return what there is to know of the tables."""
    return (
        "A run is given max_messages, so it ends without the two empty long polls of an open one."
        " LATENCY_MS is added to states alone, so a loop is not measured with it; it receives ten,"
        " then sends and deletes one by one, validates nothing, counts nothing, and redrives a"
        " poison message for ever. SQS's own redrive moves up to 500 a second, says AWS. Durations"
        f" are those of this computer. This measured MiniStack {MINISTACK_VERSION} here, with"
        f" {processors} processors, not AWS."
    )


def _with_latency(latency: float) -> str:
    return f"LATENCY_MS={latency:g}" if latency else "as the emulator is"


def _rate(results: dict[str, Result], name: str) -> str:
    if name not in results:
        return "-"
    result = results[name]
    return f"{result.rate:.0f}" if result else _NOT_HERE


def _counts(result: Result) -> Iterator[str]:
    for item in _COUNTED:
        once = f" ({result.once[item]:.0f})" if result and result.once[item] >= 1 else ""
        yield f"{result.message[item]:.2f}{once}" if result else "-"


def _dollars(result: Result) -> Iterator[str]:
    if not result:
        yield from ["-"] * (len(_COSTS) + 2)
        return
    million: Usage = {item: count * MILLION for item, count in result.message.items()}
    costs = bill(million)
    for items in _COSTS.values():
        yield f"{sum(costs[item] for item in items):.2f}"
    yield f"{sum(costs.values()):.2f}"
    yield f"{sum(bill(result.once).values()):.4f}"

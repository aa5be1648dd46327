"""The counters of a run in its record: a column for each lane, because each writes its own.

A column has what its lane has counted so far, without the zeros. All of them together are the
run's, also where it was ended from outside; the record of a run without a lane has zeros.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

COUNTED = ("redriven", "quarantined", "already_processed", "discarded", "failed", "left")
NAMES = ("received", *COUNTED)
_PREFIX = "lane_"


class Counting(Protocol):
    """A lane, of which this needs no more."""

    number: int
    counts: dict[str, int]


def received(counts: dict[str, int]) -> int:
    """Return how many of the messages that were counted were dealt with, or refused."""
    return sum(n for name, n in counts.items() if name != "left")


def columns(lanes: Iterable[Counting]) -> dict[str, dict[str, int]]:
    """Return the columns of lanes."""
    return {
        f"{_PREFIX}{lane.number}": {name: count for name, count in lane.counts.items() if count}
        for lane in lanes
    }


def of_lanes(row: dict[str, Any]) -> dict[int, dict[str, int]]:
    """Return what each lane has counted, by its number, from a run's row."""
    found = {
        int(name.removeprefix(_PREFIX)): {key: int(count) for key, count in value.items()}
        for name, value in row.items()
        if name.startswith(_PREFIX)
    }
    return {number: dict.fromkeys(COUNTED, 0) | found[number] for number in sorted(found)}


def added_up(row: dict[str, Any]) -> dict[str, Any]:
    """Return a run's row with what all its lanes have counted."""
    lanes = of_lanes(row)
    if not lanes:
        return row
    total = Counter[str]()
    for counts in lanes.values():
        total.update(counts)
    return row | {"received": received(total)} | {name: total[name] for name in COUNTED}

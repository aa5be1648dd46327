"""Long tests that are shared out: they can run in parallel, and a part of them each time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
Share = tuple[int, int]


def shared(shares: Mapping[str, int], quick: Collection[str]) -> list[Any]:
    """Return parameters (share, case), of which all but the quick ones are for the soak.

    Args:
        shares: into how many shares a case is divided.
        quick: the cases of which the first share is for every run of the tests.
    """
    return [
        pytest.param(
            (number, count),
            case,
            marks=[] if case in quick and number == 0 else pytest.mark.soak,
            id=f"{case}-{number + 1} of {count}",
        )
        for case, count in shares.items()
        for number in range(count)
    ]


def part(points: Sequence[T], share: Share) -> list[T]:
    """Return the points of one share, from all over; none of the shares is empty."""
    number, count = share
    assert len(points) >= count
    return list(points[number::count])

"""A test that proves a row of faults has asked what is broken, or says why there is nothing to ask.

It says so by `@pytest.mark.fault(number, unchecked="why")`.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

import pytest

from tests.support import invariants


@contextmanager
def asking() -> Iterator[list[Any]]:
    """Give the worlds of which `broken` is asked meanwhile, by whatever module of the tests."""
    worlds: list[Any] = []
    broken = invariants.broken

    @wraps(broken)
    def asked(world: Any, **named: Any) -> list[str]:
        worlds.append(world)
        return broken(world, **named)

    with ExitStack() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith("tests.") and getattr(module, "broken", None) is broken:
                patches.enter_context(mock.patch.object(module, "broken", asked))
        yield worlds


def reasons(marks: Iterable[pytest.Mark]) -> list[str]:
    """Return for each mark of a fault why its test need not ask, "" for none."""
    return [str(mark.kwargs.get("unchecked", "")) for mark in marks if mark.name == "fault"]


def demand(marks: Iterable[pytest.Mark], worlds: list[Any]) -> None:
    """Demand that a test asked what is broken in some world, if it is to.

    Raises:
        AssertionError: it is to prove a row, and asked nothing; or it asked and need not.
    """
    for reason in reasons(marks):
        assert reason or worlds, "It proves a row of faults, and never asked what is broken."
        assert not (reason and worlds), "It asks what is broken, and says that there is no need."

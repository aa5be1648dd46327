"""Waiting for a condition, never for a length of time."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class DeadlineMissed(Exception):
    """A condition did not come true in time."""


def wait_until(
    condition: Callable[[], Value | None], timeout: float, what: str, *, interval: float = 0.05
) -> Value:
    """Poll `condition` until it returns something true, and return that.

    Args:
        condition: called at least once, and once more after the deadline; what it raises goes
            to the caller.
        timeout: seconds.
        what: the condition in words, for the error ("the queue is empty").
        interval: seconds between two polls.

    Raises:
        DeadlineMissed: after `timeout` seconds, with the last value seen.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise DeadlineMissed(f"Not within {timeout:g} s: {what} (last seen: {value!r}).")
        time.sleep(interval)

"""What is done otherwise on a stack that acts by itself than on `MotoStack`, which acts when asked.

Tests of the whole say it to `tests.support.world.World`, and so to either.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, cast, runtime_checkable
from unittest import mock

from local.deadline import wait_until
from tests.support import redrive_runs
from tests.support.cloud import forget
from tests.support.stack_fixtures import ended, history, waits_scaled
from workflows import recovery
from workflows.runtime import aws

_SECONDS = 60.0

Act = Callable[[], None]


@runtime_checkable
class InProcess(Protocol):
    """A stack, such as `MotoStack`, that does nothing by itself and whose clock can be moved."""

    before_state: Callable[[str, str], bool]

    def run_executions(self) -> None: ...

    def runs_a_lane(self, execution_arn: str) -> str: ...

    def poll(self) -> dict[str, Any] | None: ...

    def elapse(self, seconds: float) -> None: ...


def consume(stack: Any, is_done: Callable[[], bool]) -> None:
    """Let the consumer work until nothing is left to do, on a stack that acts by itself `is_done`.

    Raises:
        local.deadline.DeadlineMissed: it is not.
    """
    if isinstance(stack, InProcess):
        while stack.poll() is not None:
            stack.run_executions()
        stack.run_executions()
        return
    with _consuming(stack):
        wait_until(is_done, _SECONDS, "the work queue is empty and no retry runs")


def recover(stack: Any) -> None:
    """Let the sweep run once, as the schedule does."""
    if isinstance(stack, InProcess):
        recovery.recover()
    else:
        redrive_runs.recover(stack)


def elapse(stack: Any, seconds: float) -> None:
    """Let time pass, where it can be made to: elsewhere nothing happens."""
    if isinstance(stack, InProcess):
        stack.elapse(seconds)


def end(
    stack: Any, execution_arn: str, *, consuming: bool, meanwhile: tuple[str, Act] | None
) -> Any:
    """Return an execution when it ended.

    Args:
        stack: where.
        execution_arn: just started.
        consuming: let the consumer work meanwhile; a stack that acts when asked is asked when
            the execution waits for outcomes.
        meanwhile: a state, its lane's included, and what to do once when the execution is there
            or just before.
    """
    if not isinstance(stack, InProcess):
        with _consuming(stack, consuming):
            if meanwhile is not None:
                state, act = meanwhile
                there = f"{execution_arn} is in {state}"
                wait_until(lambda: state in history(stack, execution_arn), _SECONDS, there)
                act()
            return ended(stack, execution_arn, _SECONDS)
    acts = [meanwhile] if meanwhile else []
    others = stack.before_state

    def before_state(arn: str, state: str) -> bool:
        if acts and acts[0][0] == state and execution_arn in (arn, stack.runs_a_lane(arn)):
            acts.pop()[1]()
        if arn == execution_arn and consuming and state == "WaitForOutcomes":
            consume(stack, lambda: True)
        return others(arn, state)

    with mock.patch.object(stack, "before_state", before_state):
        execution = ended(cast(Any, stack), execution_arn)
    if acts:
        raise AssertionError(f"{execution_arn} was never in {acts[0][0]}")
    return execution


@contextmanager
def waits_real(stack: Any) -> Iterator[None]:
    """Let waits and retry intervals take their time for a while, where a machine's time is real."""
    if isinstance(stack, InProcess):
        yield
        return
    with waits_scaled(stack, 1):
        yield


@contextmanager
def application(stack: Any) -> Iterator[None]:
    """Let the application's own code run in this process against a stack for a while."""
    if isinstance(stack, InProcess):
        yield  # It does anyway.
        return
    with (
        mock.patch.dict(os.environ, stack.process_environment()),
        mock.patch.object(aws, "session", cache(aws.session.__wrapped__)),  # its credentials
    ):
        forget()
        try:
            yield
        finally:
            forget()


@contextmanager
def _consuming(stack: Any, wanted: bool = True) -> Iterator[None]:
    if not wanted:
        yield
        return
    redrive_runs.consume(stack, True)
    try:
        yield
    finally:
        redrive_runs.consume(stack, False)

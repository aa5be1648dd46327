"""A worker that dies at any of its calls: what SQS brings again ends in order, each once."""

import pytest

from tests.support.aws_calls import WorkerDied
from tests.support.fenced_group import stop_executions, watched_group

NUMBERS = (1, 2, 3)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def group(tables, queues, machines, later, monkeypatch):
    return watched_group(later, monkeypatch)


def begin(group, calls, failing):
    group.forget()
    group.failing.update(failing)
    calls.ends.clear()


@pytest.mark.parametrize("failing", [(), (1,)], ids=["healthy", "failing"])
@pytest.mark.parametrize("receive_count", [1, 2], ids=["first delivery", "second delivery"])
def test_worker_that_dies_at_any_call(group, calls, failing, receive_count):
    begin(group, calls, failing)
    group.deliver(*NUMBERS, receive_count=receive_count)
    ends = list(calls.ends)
    # What is after one call is before the next: nothing but the worker's memory lies between.
    for at in (*range(0, len(ends), 2), len(ends) - 1):
        begin(group, calls, failing)
        calls.error_at = at
        with pytest.raises(WorkerDied):
            group.deliver(*NUMBERS, receive_count=receive_count)
        group.failing.clear()
        group.unacknowledged = list(NUMBERS)

        group.assert_settled(NUMBERS, f"died {ends[at]}, its call {at // 2 + 1},")


def test_execution_that_is_stopped_before_any_of_its_states(group):
    group.forget()
    group.fail(1, 2, 3)
    states = group.execution().run()
    for at, state in enumerate(states):
        group.forget()
        group.fail(1, 2, 3)
        execution = group.execution()
        for _ in range(at):
            execution.step()
        stop_executions()

        group.assert_settled(NUMBERS, f"stopped before {state}, its state {at + 1},")

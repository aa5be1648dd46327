"""What a run holds in flight is visible again, however the run ended."""

import pytest

from local.deadline import wait_until
from tests.support.redrive_runs import (
    LOCK,
    all_visible,
    counters,
    held_records,
    recover,
    redrive,
)
from tests.support.stack_fixtures import (
    dead_letter,
    ended,
    history,
    put,
    queued,
    row,
    start_machine,
    transaction,
)

pytestmark = [
    pytest.mark.xdist_group("redrive options"),
    pytest.mark.usefixtures("empty_queues"),
]
EUROS = {"filter": {"payload": {"currency": "EUR"}}}


@pytest.fixture
def three_dead(stack):
    messages = [transaction(currency="CHF") for _ in range(3)]
    for message in messages:
        dead_letter(stack, message)
    return messages


def start_and_hold(stack):
    """Start a run that holds three messages while it watches the one that it redrove."""
    dead_letter(stack, transaction())
    request = EUROS | {"canary": {"messages": 1, "watch_seconds": 60}}
    arn = start_machine(stack, "redrive", {"request": request})
    wait_until(lambda: "WaitForOutcomes" in history(stack, arn), 20, "the run watches")
    return arn, arn.rpartition(":")[2]


def set_right(stack):
    recover(stack)
    return all_visible(stack)


def test_while_a_run_works_what_it_holds_is_in_flight_and_nobody_gives_it_back(stack, three_dead):
    arn, run_id = start_and_hold(stack)

    recover(stack)

    assert not any(letter["IsVisible"] for letter in queued(stack, "DeadLetter"))
    assert held_records(stack, run_id) == 3  # the canary took one at a time
    assert row(stack, "Runs", LOCK)["holder"] == run_id
    put(stack, "Runs", row(stack, "Runs", run_id) | {"status": "CANCELLING"})
    run = ended(stack, arn)
    assert counters(stack, run) == {"received": 1, "redriven": 1, "left": 3}
    assert all_visible(stack)


def test_stopped_run_s_held_messages_are_visible_and_its_row_is_set_right(stack, three_dead):
    arn, run_id = start_and_hold(stack)
    stack.client("stepfunctions").stop_execution(executionArn=arn)

    wait_until(lambda: set_right(stack), 20, "all dead letters are visible")

    found = row(stack, "Runs", run_id)
    assert (found["status"], found["failure"]) == (
        "ABORTED",
        "The execution was ended from outside.",
    )
    assert found["finished_at"]
    assert row(stack, "Runs", LOCK) == {}
    assert held_records(stack, run_id) == 0
    assert counters(stack, redrive(stack, 3)) == {"received": 3, "redriven": 3}

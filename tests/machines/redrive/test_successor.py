"""A run longer than one execution can hold goes on in a successor, under the same id."""

import uuid

import pytest

from local.deadline import wait_until
from tests.support.redrive_expressions import evaluate, next_of, states
from tests.support.redrive_runs import (
    JUDGED,
    LOCK,
    WAVE,
    counters,
    ledger,
    machine_with,
    recover,
    redrive,
    throw,
)
from tests.support.stack_fixtures import (
    dead_letters,
    ended,
    history,
    put,
    row,
    run_machine,
    start_machine,
    waits_scaled,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]
HAND_OVER = ["HandOverRun", "StartSuccessor"]
FULL = ("$number('300')", "$number('2')")  # an execution is full after two turns


def test_canary_goes_on_in_the_successor_where_it_was(stack):
    messages = dead_letters(stack, 7)
    canary = {"canary": {"messages": 1, "watch_seconds": 60}}
    usual = {"retrying": 0, "died_again": 0, "pending": 0, "moved_on": 0, "active": True}
    healthy = [{"Return": {"Payload": usual | {"processed": n}}} for n in (1, 3)]

    # Full after four turns: two batches and a look at each.
    with machine_with(stack, FULL[0], "$number('4')") as arn:
        first = run_machine(
            stack, arn, {"request": canary | {"max_messages": 7}}, mocks={"CountOutcomes": healthy}
        )
        # The successor has no mocks: it looks into the ledger.
        second = f"{first.arn}-s1"
        wait_until(lambda: "WaitForOutcomes" in history(stack, second), 30, "the step is watched")
        for message in messages:
            put(stack, "Messages", ledger(stack, message) | {"status": "PROCESSED"})
        last = ended(stack, second)

    assert first.states.count("RedriveMessages") == 2
    assert last.states[4:12] == [*JUDGED, *WAVE]  # a step of four in one batch
    assert last.output["redriven"] == 7


def test_record_and_lock_name_the_successor_before_it_is_started(stack):
    dead_letters(stack, 30)

    run_id = f"run-{uuid.uuid4()}"
    with machine_with(stack, *FULL) as arn, waits_scaled(stack, 1):
        mocks = {"StartSuccessor": throw("StepFunctions.StateMachineDeleting")}
        first = start_machine(stack, arn, name=run_id, mocks=mocks)
        wait_until(lambda: history(stack, first)[-1:] == ["StartSuccessor"], 30, "it hands over")
        record, lock = row(stack, "Runs", run_id), row(stack, "Runs", LOCK)
        stack.client("stepfunctions").stop_execution(executionArn=first)

    assert record["execution_arn"] == lock["execution_arn"] == f"{first}-s1"
    assert (record["status"], lock["holder"]) == ("RUNNING", run_id)
    recover(stack)
    assert row(stack, "Runs", LOCK)["holder"] == run_id  # it may still be coming
    put(stack, "Runs", record | {"owned_at": record["owned_at"] - 61})
    put(stack, "Runs", lock | {"acquired_at": lock["acquired_at"] - 61})
    assert recover(stack)["run_id"] == run_id
    now = row(stack, "Runs", run_id)
    assert (now["status"], now["failure"]) == ("FAILED", "The execution never began.")
    assert row(stack, "Runs", LOCK) == {}
    assert counters(stack, redrive(stack, 10)) == {"received": 10, "redriven": 10}


def more_to_do(**variables):
    usual = {
        "request": {},
        "status": "SUCCEEDED",
        "counts": dict.fromkeys(
            ("redriven", "quarantined", "already_processed", "discarded", "failed", "left"), 0
        ),
        "empty_polls": 0,
        "refusals": 0,
        "step": 0,
        "turns": 1,
        "millis": 14_400_000,
        "began": 0,
        "wave": 0,
        "last_wave": 0,
        "past": [],
        "turn": [],
        "verdicts": [],
        "window_sent": 0,
        "window_from": 0,
    }
    return next_of("MoreToDo", **(usual | variables))


def test_execution_hands_over_before_its_history_or_its_time_is_full():
    assert more_to_do(turns=299) == "ReceiveDeadLetters"
    assert more_to_do(turns=300) == "HandOverRun"
    assert more_to_do(millis=14_400_001) == "HandOverRun"


def test_successor_keeps_to_the_rate_of_the_one_before():
    full = {"window_sent": 1, "window_from": 14_399_500, "request": {"max_per_second": 1}}
    assert more_to_do(turns=500, **full) == "WaitForRate"

    run = {"id": "r", "part": 0, "trigger": "api", "requested_by": "o", "trace_id": "t"}
    known = {"counts": {}, "polls": 1, "held": 0, "step": 0, "watched": 0} | full
    given = evaluate(states()["StartSuccessor"]["Arguments"]["Input"], run=run, **known)
    assign = states()["InspectQueue"]["Assign"]
    taken = {
        name: evaluate(assign[name], states={"input": given})
        for name in ("window_from", "window_sent")
    }

    assert taken == {"window_from": 14_399_500, "window_sent": 1}


def test_execution_that_hands_over_has_finished_its_batch():
    assert more_to_do(turns=500, last_wave=1) == "GuardLoop"
    assert more_to_do(turns=500, verdicts=[{"verdict": "left"}]) == "HoldDeadLetters"
    assert more_to_do(turns=500, empty_polls=2) == "AnyDeadLetters"
    assert more_to_do(turns=500, step=1, counts={"redriven": 1}) == "WaitForOutcomes"

"""A run longer than one execution can hold goes on in a successor, under the same id."""

import uuid

import pytest

from local.deadline import wait_until
from tests.support.redrive_expressions import evaluate, next_of, states
from tests.support.redrive_runs import (
    GIVEN_BACK,
    JUDGED,
    LOCK,
    START,
    WAVE,
    all_visible,
    audited,
    counters,
    held_records,
    ledger,
    machine_with,
    recover,
    redrive,
    throw,
)
from tests.support.stack_fixtures import (
    Execution,
    dead_letter,
    dead_letters,
    ended,
    history,
    put,
    queued,
    row,
    run_machine,
    start_machine,
    transaction,
    waits_scaled,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]
HAND_OVER = ["HandOverRun", "StartSuccessor"]
FULL = ("$number('300')", "$number('2')")  # an execution is full after two turns


def as_run(stack, part, run_id):
    """Return a part's execution as if it were named like the run, for `counters`."""
    return Execution(part.arn, run_id, part.status, part.output, part.error, part.states)


def test_run_goes_on_in_a_successor_with_what_it_knows(stack):
    left = transaction(currency="CHF")
    dead_letter(stack, left)
    messages = dead_letters(stack, 44)
    request = {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 44}

    with machine_with(stack, *FULL) as arn:
        first = run_machine(stack, arn, {"request": request, "requested_by": "o@example.com"})
        second, third = (ended(stack, f"{first.arn}-s{part}") for part in (1, 2))

    assert first.output == second.output == {"run_id": first.name, "status": "CONTINUED"}
    assert first.states[-3:] == second.states[-3:] == [*HAND_OVER, "ContinuedBySuccessor"]
    assert second.states[:4] == START
    run = as_run(stack, third, first.name)
    assert counters(stack, run) == {"received": 44, "redriven": 44, "left": 1}
    assert run.output["run_id"] == first.name
    assert len(queued(stack, "Work")) == 44
    marks = {ledger(stack, message)["redrive_mark"] for message in messages}
    assert marks == {f"{first.name}#{part}.{turn}" for part in (0, 1) for turn in (0, 1)} | {
        f"{first.name}#2.0"
    }
    assert {ledger(stack, message)["redriven_by"] for message in messages} == {first.name}
    found = row(stack, "Runs", first.name)
    assert (found["status"], found["execution_arn"]) == ("SUCCEEDED", third.arn)
    assert (found["requested_by"], found["started_at"] < found["finished_at"]) == (
        "o@example.com", True,
    )  # fmt: skip
    assert row(stack, "Runs", first.name + "-s1") == row(stack, "Runs", LOCK) == {}
    assert all_visible(stack)
    assert held_records(stack, first.name) == 0
    (record,) = audited(stack, first.name)
    assert (record["result"], record["execution_arn"]) == ("SUCCEEDED", third.arn)
    assert int(record["counters"]["redriven"]) == 44


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


@pytest.mark.parametrize("state", HAND_OVER)
def test_hand_over_that_fails_for_good_fails_the_run_with_true_counters(stack, state):
    left = transaction(currency="CHF")
    dead_letter(stack, left)
    dead_letters(stack, 30)
    only = {"request": {"filter": {"payload": {"currency": "EUR"}}}}

    with machine_with(stack, *FULL) as arn:
        run = run_machine(stack, arn, only, mocks={state: throw("Some.ServiceException")})

    assert (run.status, run.error) == ("FAILED", "Some.ServiceException")
    assert run.states[-4:] == [state, *GIVEN_BACK]
    sent = len(queued(stack, "Work"))
    assert counters(stack, run) == {"received": sent, "redriven": sent, "left": 1}
    assert row(stack, "Runs", LOCK) == {}
    (record,) = audited(stack, run.name)
    assert record["result"] == "FAILED"

    def set_right():
        recover(stack)
        return all_visible(stack)

    wait_until(set_right, 20, "all dead letters are visible")


def test_successor_that_was_started_by_a_lost_try_is_not_started_twice(stack):
    dead_letters(stack, 30)

    with machine_with(stack, *FULL) as arn:
        mocks = {"StartSuccessor": throw("StepFunctions.ExecutionAlreadyExistsException")}
        run = run_machine(stack, arn, mocks=mocks)

    assert (run.status, run.output["status"]) == ("SUCCEEDED", "CONTINUED")
    assert run.states[-3:] == [*HAND_OVER, "ContinuedBySuccessor"]


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

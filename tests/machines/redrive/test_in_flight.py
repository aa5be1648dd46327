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
    sent,
    throw,
)
from tests.support.stack_fixtures import (
    dead_letter,
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

pytestmark = [
    pytest.mark.xdist_group("redrive options"),
    pytest.mark.usefixtures("empty_queues"),
]
NOTHING = {"request": {"filter": {"type": "nothing"}}}
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
    wait_until(lambda: "CountOutcomes" in history(stack, arn), 20, "the run watches")
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


def test_failed_run_s_held_messages_are_visible(stack, three_dead):
    with_error = {"ReceiveDeadLetters": [*_first_letters(stack), *throw("Some.ServiceException")]}
    run = run_machine(stack, "redrive", NOTHING, mocks=with_error)

    assert (run.status, run.error) == ("FAILED", "Some.ServiceException")
    wait_until(lambda: set_right(stack), 20, "all dead letters are visible")
    assert (row(stack, "Runs", run.name)["status"], row(stack, "Runs", LOCK)) == ("FAILED", {})
    assert held_records(stack, run.name) == 0


def _first_letters(stack):
    """Return the first poll's answer as a mock, for only a later entry is to fail."""
    answer = stack.client("sqs").receive_message(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"],
        MaxNumberOfMessages=10,
        VisibilityTimeout=300,
        AttributeNames=["All"],
    )
    keys = ("MessageId", "ReceiptHandle", "Body", "Attributes")
    return [{"Return": {"Messages": [{k: m[k] for k in keys} for m in answer["Messages"]]}}]


def test_run_that_cannot_give_back_ends_well_and_recovery_does_it(stack, three_dead):
    mocks = {"ReturnDeadLetters": throw("Lambda.TooManyRequestsException")}
    run = run_machine(stack, "redrive", NOTHING, mocks=mocks)

    assert (run.status, run.output["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert run.states[-2:] == ["ReturnDeadLetters", "FinishRun"]
    assert not all_visible(stack)
    assert recover(stack)["released"] == [run.name]
    assert all_visible(stack)
    assert recover(stack)["released"] == []


def test_stop_while_giving_back_loses_nothing(stack, three_dead):
    mocks = {"ReturnDeadLetters": throw("Lambda.TooManyRequestsException")}
    with waits_scaled(stack, 1):
        arn = start_machine(stack, "redrive", NOTHING, mocks=mocks)
        wait_until(
            lambda: history(stack, arn)[-1:] == ["ReturnDeadLetters"], 30, "the run gives back"
        )
        stack.client("stepfunctions").stop_execution(executionArn=arn)

    wait_until(lambda: set_right(stack), 20, "all dead letters are visible")
    assert all(not sent(stack, message) for message in three_dead)

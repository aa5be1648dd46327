"""The redrive machine when something breaks: partial answers, crashes, and services that fail."""

import uuid

import pytest

from tests.machines.scenarios.paths import NOTHING_RECEIVED
from tests.support.redrive_runs import (
    FAILED,
    GIVEN_BACK,
    LOCK,
    LOCK_IS_ANOTHERS,
    NO_RECORD,
    QUEUE,
    START,
    all_visible,
    audited,
    counters,
    on_dlq,
    redrive,
    sent,
    throw,
)
from tests.support.stack_fixtures import (
    dead_letter,
    put,
    row,
    run_machine,
    transaction,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]


# Partial failures


def guard_answers(*errors):
    """Return what GuardLoop's statements for messages answer: {} for done, or an error."""
    done = [{"Error": error} if error else {} for error in errors]
    responses = [*done, {}, {}, {}]
    return [{"Return": {"Responses": responses}}]


# Crashes: the execution is stopped while a state is at work, as in the console


# Loud failures


def assert_failed_loudly(stack, run, state, error="Some.ServiceException"):
    assert (run.status, run.error) == ("FAILED", error)
    end = FAILED if state in NOTHING_RECEIVED else GIVEN_BACK
    assert run.states[-1 - len(end) :] == [state, *end]
    assert all_visible(stack)
    recorded = row(stack, "Runs", run.name)
    assert (recorded["status"], recorded["failure"]) == ("FAILED", error)
    assert recorded["finished_at"]
    assert row(stack, "Runs", LOCK) == {}


def test_queue_that_cannot_be_inspected_fails_the_run_before_it_has_a_record(stack):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(stack, 1, mocks={"InspectQueue": throw("Some.ServiceException")})

    assert (run.status, run.error) == ("FAILED", "Some.ServiceException")
    assert run.states == ["InspectQueue", *NO_RECORD]
    assert row(stack, "Runs", run.name) == row(stack, "Runs", LOCK) == {}
    (record,) = audited(stack, run.name)
    assert (record["action"], record["result"]) == ("end_run", "FAILED")
    assert len(on_dlq(stack, message)) == 1
    assert sent(stack, message) == []


def test_run_of_a_person_whose_queue_cannot_be_inspected_is_recorded_as_failed(stack):
    run_id = f"run-{uuid.uuid4()}"
    put(stack, "Runs", {"run_id": LOCK, "holder": run_id, "lease_until": 4_102_444_800})
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING", "trigger": "api"})

    run = run_machine(
        stack,
        "redrive",
        {"trigger": "api"},
        name=run_id,
        mocks={"InspectQueue": throw("Some.ServiceException")},
    )

    assert_failed_loudly(stack, run, "InspectQueue")


def test_run_whose_failure_cannot_be_recorded_fails_with_the_first_error(stack):
    run = redrive(
        stack,
        1,
        mocks={"ReceiveDeadLetters": throw("Sqs.First"), "FailRun": throw("DynamoDb.Second")},
    )

    assert (run.status, run.error) == ("FAILED", "Sqs.First")
    assert run.states == [*START, "ReceiveDeadLetters", *GIVEN_BACK]
    # Until its lease ends, or the event of its end frees it.
    assert row(stack, "Runs", LOCK).get("holder") in (run.name, None)


def test_run_that_lost_its_lease_at_its_end_is_recorded_whole_and_leaves_the_lock(stack):
    message, run_id = transaction(), f"run-{uuid.uuid4()}"
    dead_letter(stack, message)
    new_holder = {"run_id": LOCK, "holder": "another", "lease_until": 4_102_444_800}
    put(stack, "Runs", new_holder)
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING", "dead_letter_queue": QUEUE})
    mocks = {"AcquireRun": [{"Return": {}}], "GuardLoop": guard_answers({})}

    run = redrive(stack, 1, name=run_id, mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "LeaseLost")
    assert run.states[-5:] == ["FinishRun", *LOCK_IS_ANOTHERS]
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert [entry["result"] for entry in audited(stack, run_id)] == ["FAILED"]
    assert row(stack, "Runs", LOCK) == new_holder

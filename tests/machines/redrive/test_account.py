"""The schedule, requests that nobody checked before, and one audit record for each run."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from local.deadline import wait_until
from tests.support.redrive_expressions import evaluate_all
from tests.support.redrive_runs import (
    COUNTERS,
    LOCK,
    LOCKED,
    audited,
    counters,
    ledger,
    sent,
    throw,
)
from tests.support.stack_fixtures import (
    dead_letter,
    ended,
    history,
    put,
    put_on_dlq,
    queued,
    row,
    run_machine,
    start_machine,
    transaction,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]
SCHEDULE = {"trigger": "schedule", "requested_by": "schedule", "request": {}}


def test_scheduled_run_on_an_empty_queue_is_three_states_and_a_record(stack):
    run = run_machine(stack, "redrive", SCHEDULE)

    assert run.states == ["InspectQueue", "AnythingToDo", "SkipRun"]
    reason = "The dead-letter queue is empty."
    assert run.output == {"run_id": run.name, "status": "SKIPPED", "reason": reason}
    (record,) = audited(stack, run.name)
    assert (record["actor"], record["role"], record["action"]) == (
        "schedule", "schedule", "skip_run",
    )  # fmt: skip
    assert (record["result"], record["execution_arn"]) == ("SKIPPED", run.arn)
    assert record["input"] == {"request": "{}", "reason": reason}
    assert record["entry"].startswith(record["at"])
    assert record["day"] == record["at"][:10]
    assert row(stack, "Runs", run.name) == row(stack, "Runs", LOCK) == {}


def test_scheduled_run_takes_what_there_is_with_its_own_request(stack):
    for _ in range(3):
        dead_letter(stack, transaction())

    run = run_machine(stack, "redrive", SCHEDULE | {"request": {"max_messages": 2}})

    assert counters(stack, run) == {"received": 2, "redriven": 2}
    found = row(stack, "Runs", run.name)
    assert (found["trigger"], json.loads(found["request"])) == ("schedule", {"max_messages": 2})


def test_scheduled_run_sees_messages_that_are_in_flight_too(stack):
    put_on_dlq(stack, "hello", "nobody")
    stack.client("sqs").receive_message(QueueUrl=stack.outputs["DeadLetterQueueUrl"])

    assert "AcquireRun" in run_machine(stack, "redrive", SCHEDULE).states


def test_scheduled_run_while_another_is_active_is_quiet_and_accounted_for(stack):
    watched = transaction()
    dead_letter(stack, watched)
    canary = {"messages": 1, "watch_seconds": 600}
    active = start_machine(stack, "redrive", {"request": {"canary": canary}})
    wait_until(lambda: "WaitForOutcomes" in history(stack, active), 60, "a run is active")
    put_on_dlq(stack, "hello", "nobody")

    run = run_machine(stack, "redrive", SCHEDULE)

    assert (run.status, run.states) == ("SUCCEEDED", [*LOCKED, "SkipRun"])
    assert run.output["status"] == "SKIPPED"
    (record,) = audited(stack, run.name)
    assert (record["result"], record["input"]["reason"]) == ("SKIPPED", run.output["reason"])
    assert row(stack, "Runs", LOCK)["holder"] == active.rpartition(":")[2]
    put(stack, "Messages", ledger(stack, watched) | {"status": "DEAD"})  # and so ends the watch
    assert ended(stack, active).output["status"] == "HALTED"


def test_skip_that_cannot_be_recorded_is_loud(stack):
    run = run_machine(stack, "redrive", SCHEDULE, mocks={"SkipRun": throw("DynamoDb.Unknown")})

    assert (run.status, run.error) == ("FAILED", "DynamoDb.Unknown")


INVALID = {
    "limit": {"max_messages": "many"},
    "negative limit": {"max_messages": -1},
    "unknown field": {"max_mesages": 1},
    "filter": {"filter": {"nope": 1}},
    "expression": {"filter": {"jmespath": "[["}},
    "rate": {"max_per_second": 0},
    "canary": {"canary": {"messages": 1}},
    "empty canary": {"canary": {}},
    "text": "text",
    "list": [1],
    "null": None,
    "dry run": {"dry_run": True},
    "plan": {"plan_hash": "0" * 64},
}


@pytest.mark.parametrize("request_", INVALID.values(), ids=INVALID)
def test_invalid_request_fails_loudly_before_anything_is_sent_and_the_lock_is_free(stack, request_):
    message = transaction()
    dead_letter(stack, message)

    run = run_machine(stack, "redrive", SCHEDULE | {"request": request_})

    assert run.status == "FAILED"
    assert run.error
    assert run.states[-2:] == ["FailRun", "RunFailed"]
    assert sent(stack, message) == []
    assert len(queued(stack, "DeadLetter")) == 1
    assert row(stack, "Runs", LOCK) == {}
    found = row(stack, "Runs", run.name)
    assert not found or found["status"] == "FAILED"
    assert not found or found["failure"].removeprefix("States.") == run.error
    assert [record["result"] for record in audited(stack, run.name)] == ["FAILED"]


def test_ended_run_is_accounted_for_once_with_its_request_and_counters(stack):
    dead_letter(stack, transaction())
    put_on_dlq(stack, "hello", "nobody")
    request = {"max_messages": 2}

    run = run_machine(
        stack, "redrive", {"request": request, "requested_by": "o@example.com", "trigger": "api"}
    )

    (record,) = audited(stack, run.name)
    assert (record["action"], record["result"]) == ("end_run", "SUCCEEDED")
    assert (record["actor"], record["role"]) == ("o@example.com", "api")
    assert json.loads(record["input"]["request"]) == request
    assert {name: int(record["counters"][name]) for name in COUNTERS} == {
        name: run.output[name] for name in COUNTERS
    }
    assert "body" not in str(record)


@pytest.mark.parametrize("state", ["FinishRun", "FailRun"])
def test_end_that_is_tried_again_is_recorded_once(stack, state):
    """The call of a try whose answer was lost, made again: the machine's own transaction."""
    run_id = f"run-{uuid.uuid4()}"
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING"})
    put(stack, "Runs", {"run_id": LOCK, "holder": run_id})

    for _ in range(2):
        stack.client("dynamodb").transact_write_items(**ending(stack, state, run_id))

        assert row(stack, "Runs", run_id)["finished_at"]
        assert row(stack, "Runs", LOCK) == {}
        assert len(audited(stack, run_id)) == 1


def test_record_that_somebody_closed_keeps_its_word_when_the_run_fails(stack):
    run_id = f"run-{uuid.uuid4()}"
    closed = {"run_id": run_id, "status": "SUCCEEDED", "finished_at": "2026-11-24T11:00:00.000Z"}
    put(stack, "Runs", closed)

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        stack.client("dynamodb").transact_write_items(**ending(stack, "FailRun", run_id))

    assert row(stack, "Runs", run_id) == closed
    assert audited(stack, run_id) == []


def ending(stack, state, run_id):
    machine = stack.client("stepfunctions").describe_state_machine(
        stateMachineArn=stack.outputs["RedriveStateMachineArn"]
    )
    found = json.loads(machine["definition"])["States"][state]["Arguments"]
    return evaluate_all(
        found,
        run={"id": run_id, "part": 0, "requested_by": "o", "trigger": "api", "trace_id": "t"},
        counts=dict.fromkeys(COUNTERS, 0),
        status="SUCCEEDED",
        reason="",
        in_flight=0,
        missing=0,
        failure="Some.Exception",
        request={},
        states={
            "context": {
                "State": {"EnteredTime": "2026-11-24T12:00:00.000Z"},
                "Execution": {"Id": "arn"},
            }
        },
    )

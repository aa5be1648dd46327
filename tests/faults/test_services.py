"""Services that throttle, refuse or are gone: what is loud, and what it leaves."""

import json
from functools import cache

import boto3
import pytest

from lambdas import log_in, send_message
from local.stack import ROOT
from tests.conftest import CONTEXT, api_event
from tests.faults.calls import failing
from tests.invariants import broken
from tests.stack_fixtures import row
from workflows import runs, users

# Of a run with something to send: the state, and the call that it makes.
CALLS = {
    "InspectQueue": "sqs.GetQueueAttributes",
    "AcquireRun": "dynamodb.TransactWriteItems",
    "ReceiveDeadLetters": "sqs.ReceiveMessage",
    "GuardLoop": "dynamodb.BatchExecuteStatement",
    "RedriveMessages": "sqs.SendMessageBatch",
    "DeleteDeadLetters": "sqs.DeleteMessageBatch",
}
FOR_EVER = 1_000


@pytest.fixture
def letters(world):
    """Give two dead letters."""
    messages = [world.message(), world.message()]
    for message in messages:
        world.dead_letter(message)
    return messages


@cache
def tasks():
    """Return every task of both machines, by machine and state."""
    return {
        (machine, name): state
        for machine in ("retry", "redrive")
        for name, state in json.loads(
            (ROOT / "statemachines" / f"{machine}.asl.json").read_text(encoding="utf-8")
        )["States"].items()
        if state["Type"] == "Task"
    }


@pytest.mark.fault(12)
@pytest.mark.parametrize("state", ["ReceiveDeadLetters", "GuardLoop", "DeleteDeadLetters"])
def test_call_that_is_throttled_for_a_while_does_not_fail_the_run(world, letters, state):
    with failing(CALLS[state], "ThrottlingException", times=2) as failed:
        run = world.redrive()
    world.settle()

    assert len(failed) == 2
    assert (run.status, run.output["redriven"]) == ("SUCCEEDED", 2)
    assert broken(world, moved=letters) == []


@pytest.mark.fault(12, 23)
@pytest.mark.parametrize(
    ("state", "error"),
    [
        *((state, "ThrottlingException") for state in CALLS),
        ("ReceiveDeadLetters", "AccessDeniedException"),
        ("RedriveMessages", "AccessDeniedException"),
    ],
)
def test_call_that_goes_on_failing_is_loud_after_bounded_tries(world, letters, state, error):
    with failing(CALLS[state], error, times=FOR_EVER) as failed:
        run = world.redrive()

    assert run.status == "FAILED"
    assert run.error
    # The first try and five more; closing the run may call the same operation as often.
    assert 6 <= len(failed) <= 12
    assert len(world.queued("DeadLetter")) == 2
    world.settle()
    assert broken(world) == []

    world.stack.elapse(1_000)
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(12)
@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Sandbox.Timedout"])
def test_function_that_does_not_answer_a_run_is_loud(world, letters, error):
    throw = {"Throw": {"Error": error, "Cause": "made up"}}
    run = world.run({}, mocks={"ValidateMessages": [throw]})

    assert (run.status, run.error) == ("FAILED", error)
    world.stack.elapse(1_000)
    world.settle()
    assert broken(world) == []
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(12)
@pytest.mark.parametrize("task", tasks(), ids="-".join)
def test_task_is_tried_again_a_bounded_number_of_times_with_jitter(task):
    for retrier in tasks()[task]["Retry"]:
        if retrier.get("MaxAttempts") == 0:
            continue  # an answer, no trouble
        assert retrier["MaxAttempts"] <= 10
        assert retrier["JitterStrategy"] == "FULL"
        assert retrier["BackoffRate"] > 1
        assert retrier["MaxDelaySeconds"] <= 60


@pytest.mark.fault(23)
@pytest.mark.parametrize("queue", ["Work", "DeadLetter"])
def test_queue_that_is_deleted_during_a_run_fails_it(world, letters, queue):
    sqs, url = world.stack.client("sqs"), world.stack.outputs[f"{queue}QueueUrl"]
    before = "RedriveMessages" if queue == "Work" else "ReceiveDeadLetters"

    run = world.run({}, meanwhile=(before, lambda: sqs.delete_queue(QueueUrl=url)))

    assert run.status == "FAILED"
    assert "NonExistent" in run.error or "QueueDoesNotExist" in run.error
    assert runs.get(run.name)["status"] == "FAILED"
    if queue == "Work":
        assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in letters]


@pytest.mark.fault(27)
def test_message_sent_while_the_table_is_gone_is_500_and_goes_nowhere(world):
    world.stack.client("dynamodb").delete_table(TableName="Messages")
    request = {"type": "transaction", "payload": world.message().payload}

    answer = send_message.handler(api_event("POST", "/messages/send", request), CONTEXT)

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["trace_id"]
    assert world.queued("Work") == []


@pytest.mark.fault(27)
def test_run_without_the_ledger_is_loud_and_leaves_the_dead_letters(world, letters):
    world.stack.client("dynamodb").delete_table(TableName="Messages")

    run = world.redrive()

    assert run.status == "FAILED"
    assert runs.get(run.name)["status"] == "FAILED"
    assert row(world.stack, "Runs", "LOCK#local-dead-letters.fifo") == {}
    assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in letters]


@pytest.mark.fault(27)
def test_login_without_the_secret_is_500_with_a_trace_id(world):
    user = {"email": "p@example.com", "password": "correct horse battery"}
    users.add_user(user["email"], user["password"], ["producer"])

    answer = log_in.handler(api_event("POST", "/users/login", user, roles=()), CONTEXT)

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["trace_id"]
    assert (
        "failed_logins"
        not in boto3.client("dynamodb").get_item(
            TableName="Users", Key={"email": {"S": user["email"]}}
        )["Item"]
    )

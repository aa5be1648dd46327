"""Services that throttle, refuse or are gone: what is loud, and what it leaves."""

import json
from contextlib import suppress
from functools import cache

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas import log_in, send_message
from local.stack import ROOT
from tests.conftest import CONTEXT, api_event
from tests.faults.calls import failing
from tests.faults.crashing_world import LATER
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
SENT = {"message_id", "type", "group_id", "payload"}


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


@pytest.mark.fault(12, unchecked="It reads the machines, and nothing runs.")
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
    before = "RedriveMessages" if queue == "Work" else "ReceiveDeadLetters"
    put_back = []

    run = world.run({}, meanwhile=(before, lambda: put_back.append(world.without_queue(queue))))

    assert run.status == "FAILED"
    assert "NonExistent" in run.error or "QueueDoesNotExist" in run.error
    assert runs.get(run.name)["status"] == "FAILED"
    if queue == "Work":
        assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in letters]
    for back in put_back:
        back()
    world.settle()
    assert broken(world) == []

    world.stack.elapse(LATER)
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(27)
def test_message_sent_while_the_table_is_gone_is_500_and_goes_nowhere(world):
    message = world.message()
    event = api_event("POST", "/messages/send", message.model_dump(include=SENT))

    with world.without_table("Messages"):
        answer = send_message.handler(event, CONTEXT)

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["trace_id"]
    assert world.queued("Work") == []
    world.settle()
    assert world.row(message) == {}

    world.send(message)  # as its producer does, who got no 202
    world.settle()
    assert broken(world, moved=[message]) == []


@pytest.mark.fault(27)
def test_run_without_the_ledger_is_loud_and_leaves_the_dead_letters(world, letters):
    with world.without_table("Messages"):
        run = world.redrive()

    assert run.status == "FAILED"
    assert runs.get(run.name)["status"] == "FAILED"
    assert row(world.stack, "Runs", "LOCK#local-dead-letters.fifo") == {}
    assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in letters]
    world.settle()
    assert broken(world) == []

    world.stack.elapse(LATER)
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(27)
@pytest.mark.parametrize("table", ["Messages", "Groups", "Accounts"])
def test_consumer_without_a_table_leaves_its_messages_to_be_delivered_again(world, table):
    pair = [
        world.message(type="entry", group_id=world.name("g"), number=number) for number in (1, 2)
    ]
    for message in pair:
        world.send(message)

    with world.without_table(table), suppress(ClientError):
        world.stack.poll()

    world.settle()
    assert broken(world, moved=pair) == []


@pytest.mark.fault(27, unchecked="A login touches no message.")
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

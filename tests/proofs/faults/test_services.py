"""Services that throttle, refuse or are gone: what is loud, and what it leaves."""

import json
from contextlib import contextmanager
from functools import cache

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas import log_in, send_message
from local.stack import ROOT
from tests.proofs.faults.calls import failing
from tests.proofs.faults.crashing_world import LATER
from tests.proofs.faults.queues import in_soak_of_each_queue, of_each_queue, of_registered_queues
from tests.support.history import states_of
from tests.support.invariants import broken
from tests.support.invocations import CONTEXT, api_event
from tests.support.stack_fixtures import row
from workflows.operator import user_changes
from workflows.redrive import runs
from workflows.runtime import aws, clock

# Of a run with something to send: the state, and the call that it makes.
CALLS = {
    "ReceiveDeadLetters": "sqs.ReceiveMessage",
    "GuardLoop": "dynamodb.BatchExecuteStatement",
    "RedriveMessages": "sqs.SendMessageBatch",
    "DeleteDeadLetters": "sqs.DeleteMessageBatch",
}
# Of the functions of a run: the state, and a call that they make.
FUNCTIONS = {
    "BeginRun": ("sqs.GetQueueAttributes", aws.sqs),
    "BeginRun and its lock": ("dynamodb.TransactWriteItems", aws.dynamodb),
    "ValidateMessages": ("dynamodb.BatchGetItem", aws.dynamodb),
    "DecideNext": ("dynamodb.BatchExecuteStatement", aws.dynamodb),
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
    """Return every task of the machines, by machine and state."""
    return {
        (machine, name): state
        for machine in ("retry", "redrive", "redrive_lane")
        for name, state in states_of(
            (ROOT / "statemachines" / f"{machine}.asl.json").read_text(encoding="utf-8")
        ).items()
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


@in_soak_of_each_queue
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
    # Codes that the services' models do not have go by the name of the service's own error.
    service = "Sqs" if CALLS[state].startswith("sqs.") else "DynamoDb"
    assert run.error == f"{service}.{service}Exception"
    # The first try and five more; closing the run may call the same operation as often.
    assert 6 <= len(failed) <= 12
    assert len(world.queued("DeadLetter")) == 2
    world.settle()
    assert broken(world) == []

    world.stack.elapse(1_000)
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(12, 23)
@pytest.mark.parametrize("state", FUNCTIONS)
def test_call_of_a_function_that_goes_on_failing_is_loud_after_bounded_tries(world, letters, state):
    operation, client = FUNCTIONS[state]
    with failing(operation, "ThrottlingException", times=FOR_EVER, client=client()) as failed:
        run = world.redrive()

    assert (run.status, run.error) == ("FAILED", "ClientError")
    assert 6 <= len(failed) <= 12
    assert run.states[-2:] == ["FailRun", "RunFailed"]
    world.stack.elapse(1_000)
    world.settle()
    sent = 2 if state == "DecideNext" else 0
    assert world.run_row(run.name).get("redriven", 0) == sent  # what the leg did is not forgotten
    assert broken(world, moved=letters[:sent]) == []

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


@of_each_queue
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


@of_each_queue
@pytest.mark.fault(23)
def test_dead_letter_queue_that_is_gone_fails_a_run_at_once_and_it_says_so(world, letters):
    is_missed(world, letters, "DeadLetter")


@of_registered_queues
@pytest.mark.fault(23)
def test_source_queue_that_is_gone_fails_a_run_at_once_and_it_says_so(world, letters):
    """A run of the built-in pair asks the dead-letter queue alone."""
    is_missed(world, letters, "Work")


def is_missed(world, letters, queue):
    """Redrive without one of the two queues, and look whether that is told and has no effect."""
    url = world.url(queue)
    before = [world.row(message).get("redrives", 0) for message in letters]
    back, began = world.without_queue(queue), clock.epoch()

    run = world.redrive()

    assert (run.status, run.error) == ("FAILED", "QueueMissing")
    assert run.states == ["BeginRun", "NextStep", "FailRun", "RunFailed"]
    assert clock.epoch() - began < 5  # no try again: it does not come back by itself
    assert runs.get(run.name)["reason"] == f"There is no queue {url}."
    back()
    assert [world.row(message).get("redrives", 0) for message in letters] == before
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@contextmanager
def lane_with(world, old, new):
    """Let the lane's machine have another text for a while."""
    client, arn = world.stack.client("stepfunctions"), world.machines["redrive_lane"]
    shipped = client.describe_state_machine(stateMachineArn=arn)["definition"]
    assert old in shipped
    client.update_state_machine(stateMachineArn=arn, definition=shipped.replace(old, new))
    yield
    client.update_state_machine(stateMachineArn=arn, definition=shipped)


def other_queue(world, name, **attributes):
    """Create a queue that is not the stack's, and let the world look at it as `Other`."""
    url = world.stack.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    world.stack.outputs["OtherQueueUrl"] = url
    return url


@pytest.mark.fault(23)
def test_messages_sent_to_another_queue_lie_there_whole_until_somebody_brings_them_back(
    world, letters
):
    url = other_queue(world, "other.fifo", FifoQueue="true")

    with lane_with(world, "$run.queue.source_url", f"'{url}'"):
        run = world.redrive()

    # The role forbids it on AWS; a queue that takes the messages cannot be told from ours.
    assert (run.status, run.output["redriven"]) == ("SUCCEEDED", 2)
    found = world.queued("Other")
    assert [m["Body"] for m in found] == [m.body() for m in letters]
    assert [m["MessageGroupId"] for m in found] == [m.group_id for m in letters]
    assert world.queued("Work") == world.queued("DeadLetter") == []
    world.settle()
    # Not processed for anybody: SQS took them, so they are said to be on their way.
    assert [world.row(message)["status"] for message in letters] == ["REDRIVEN"] * 2

    for message in letters:
        world.put_copy("Work", message)
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(23)
def test_work_queue_that_is_no_fifo_queue_refuses_each_message_and_nothing_is_deleted(
    world, letters
):
    # As AWS answers for a deduplication id that a standard queue does not take.
    why = {"Code": "InvalidParameterValue", "SenderFault": True}
    refused = {"Failed": [{"Id": str(number)} | why for number in range(2)]}

    run = world.run({}, mocks={"RedriveMessages": [{"Return": refused}]})

    assert (run.output["redriven"], run.output["failed"]) == (0, 2)
    assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in letters]
    assert world.queued("Work") == []
    world.settle()
    assert broken(world) == []

    world.stack.elapse(LATER)
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(23)
def test_run_that_reads_another_queue_loses_nothing_of_it_and_leaves_ours(world, letters):
    url = other_queue(world, "other.fifo", FifoQueue="true")
    for number in range(3):
        world.put_on("Other", f"somebody's {number}", world.name(f"other{number}"))

    with lane_with(world, "$run.queue.dead_letter_url", f"'{url}'"):
        run = world.redrive()

    assert (run.output["quarantined"], run.output["redriven"]) == (3, 0)
    assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in letters]
    for message_id in world.foreign_ids:
        assert row(world.stack, "Messages", f"sqs:{message_id}")["status"] == "QUARANTINED"
    world.settle()
    assert broken(world) == []

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

    with world.without_table(table):
        if table == "Groups":  # before anything is done, so the whole batch fails
            with pytest.raises(ClientError, match="ResourceNotFoundException"):
                world.stack.poll()
        else:
            failed = world.stack.poll()["batchItemFailures"]
            assert len(failed) == (2 if table == "Messages" else 0)

    # Without the accounts alone a message has failed like any other: nobody counts its effect.
    begun = table == "Accounts"
    assert [world.row(m)["status"] for m in pair] == (
        ["RETRYING", "PARKED"] if begun else ["ACCEPTED"] * 2
    )
    assert [world.row(m)["attempts"] for m in pair] == ([1, 0] if begun else [0, 0])
    assert bool(world.fence(pair[0].group_id)) == begun
    assert len(world.queued("Work")) == (0 if begun else 2)
    assert world.effects(pair[0].group_id) == []
    world.settle()
    assert broken(world, moved=pair) == []


@pytest.mark.fault(27, unchecked="A login touches no message.")
def test_login_without_the_secret_is_500_with_a_trace_id(world):
    user = {"email": "p@example.com", "password": "correct horse battery"}
    user_changes.add_user(user["email"], user["password"], ["producer"])

    answer = log_in.handler(api_event("POST", "/users/login", user, roles=()), CONTEXT)

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["trace_id"]
    counted = boto3.client("dynamodb").scan(TableName="Users")["Items"]
    assert not any("failed_logins" in item for item in counted)

"""What the tests of the redrive machine share: empty queues, runs, and what to look at.

The consumer is off unless a test turns it on, so that what was sent can be seen. A run that is
given as many messages as there are ends without polling an empty queue.
"""

import json
import uuid
from contextlib import contextmanager

from local.deadline import wait_until
from tests.support.stack_fixtures import (
    all_events,
    delete,
    machine_arn,
    queued,
    row,
    run_machine,
)
from workflows.runtime.aws import plain

QUEUE = "local-dead-letters.fifo"
LOCK = f"LOCK#{QUEUE}"
BEGUN = ["BeginRun", "NextStep"]
LEG = ["RunLanes", "StartLeg"]
START = [*BEGUN, *LEG]
JUDGED = ["ReceiveDeadLetters", "ValidateMessages"]
# Where ten of the largest messages of the queue do not fit a state.
MEASURED = ["ReceiveLargeDeadLetters", "ValidateMessages"]
WAVE = ["GuardLoop", "AnyToRedrive", "RedriveMessages", "DeleteDeadLetters", "MoreToDo"]
EMPTY_POLL = [*JUDGED, "GuardLoop", "AnyToRedrive", "MoreToDo"]
NO_MORE = [*EMPTY_POLL, *EMPTY_POLL]
LEG_OVER = ["SettleLeg", "DecideNext", "NextStep"]
FINISH = [*LEG_OVER, "FinishRun"]
FAILED = [*LEG_OVER, "FailRun", "RunFailed"]
GIVEN_BACK = ["GiveBackDeadLetters", *FAILED]  # what it had received
COUNTERS = (
    "received",
    "redriven",
    "quarantined",
    "already_processed",
    "discarded",
    "failed",
    "left",
)


def quiet(stack):
    """Turn the consumer off, empty both queues and free the lock."""
    consume(stack, False)
    for queue in ("Work", "DeadLetter"):
        stack.client("sqs").purge_queue(QueueUrl=stack.outputs[f"{queue}QueueUrl"])
    delete(stack, "Runs", LOCK)


def consume(stack, enabled):
    """Turn the consumer on or off; return when it is."""
    client = stack.client("lambda")
    queue = stack.outputs["WorkQueueUrl"].rpartition("/")[2]
    (mapping,) = (
        found
        for page in client.get_paginator("list_event_source_mappings").paginate()
        for found in page["EventSourceMappings"]
        if found["EventSourceArn"].endswith(f":{queue}")
    )
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)
    state = "Enabled" if enabled else "Disabled"
    wait_until(
        lambda: client.get_event_source_mapping(UUID=mapping["UUID"])["State"] == state,
        60,
        f"the consumer is {state}",
    )


def redrive(stack, max_messages, **options):
    """Run the machine for at most so many messages."""
    return run_machine(stack, "redrive", {"request": {"max_messages": max_messages}}, **options)


def counters(stack, execution):
    """Return a run's counters, the same in its row and in its output, without the zeros."""
    run = row(stack, "Runs", execution.name)
    if execution.status == "SUCCEEDED":
        assert {name: execution.output[name] for name in COUNTERS} == {
            name: run[name] for name in COUNTERS
        }
    return {name: int(run[name]) for name in COUNTERS if run[name]}


def sent(stack, message):
    """Return the copies of a message on the work queue."""
    return [m for m in queued(stack, "Work", message.group_id) if m["Body"] == message.body()]


def on_dlq(stack, message):
    """Return the copies of a message on the dead-letter queue."""
    return [m for m in queued(stack, "DeadLetter", message.group_id) if m["Body"] == message.body()]


def all_visible(stack):
    """Tell whether every dead letter can be received."""
    return all(letter["IsVisible"] for letter in queued(stack, "DeadLetter"))


def held_records(stack, run_id):
    """Return how many records of what a run leaves in flight there are."""
    pages = stack.client("dynamodb").get_paginator("scan")
    return sum(
        page["Count"]
        for page in pages.paginate(
            TableName=stack.outputs["RunsTableName"],
            FilterExpression="begins_with(run_id, :held)",
            ExpressionAttributeValues={":held": {"S": f"HELD#{run_id}#"}},
            ConsistentRead=True,
        )
    )


def batches_sent(stack, run):
    """Return how many messages each call of an execution sent to the work queue, in order."""
    found = []
    for event in all_events(stack, run.arn):
        if event["type"] == "TaskSucceeded":
            output = json.loads(event["taskSucceededEventDetails"]["output"])
            if "Successful" in output and "MessageId" in str(output["Successful"]):
                found.append(len(output["Successful"]))
    return found


def is_visible_again(stack, message):
    (letter,) = on_dlq(stack, message)
    return bool(letter["ReceiveCount"] and letter["IsVisible"])


def ledger(stack, message):
    return row(stack, "Messages", message.message_id)


def recover(stack):
    """Let the sweep set right what ended without a word, as the schedule does; return its word."""
    client = stack.client("lambda")
    (function,) = [
        found["FunctionName"]
        for found in client.list_functions()["Functions"]
        if "RecoverExecutions" in found["FunctionName"]
    ]
    answer = client.invoke(FunctionName=function, Payload=b"{}")
    said = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return said


def audited(stack, run_id):
    """Return the audit records of a run, oldest first, as plain Python values."""
    pages = (
        stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=stack.outputs["AuditTableName"],
            FilterExpression="run_id = :run_id",
            ExpressionAttributeValues={":run_id": {"S": run_id}},
            ConsistentRead=True,
        )
    )
    found = [plain({"Item": item}) for page in pages for item in page["Items"]]
    return sorted(found, key=lambda entry: str(entry["entry"]))


def process_all(stack, *messages):
    """Turn the consumer on until every copy on the work queue is consumed."""
    consume(stack, True)
    wait_until(lambda: not queued(stack, "Work"), 30, "the work queue is empty")
    consume(stack, False)
    for message in messages:
        assert ledger(stack, message)["status"] == "PROCESSED"


def quarantine_of(stack, key):
    """Return why a message is in quarantine, and its body as kept there."""
    found = row(stack, "Messages", key)
    assert (found["status"], found["trouble"]) == ("QUARANTINED", "QUARANTINED")
    assert found["reason"]["message"]
    assert "expires_at" not in found  # what is in trouble is not forgotten
    return found["reason"]["type"], found["body"]


@contextmanager
def machine_with(stack, text, replacement):
    """Give a copy of the redrive machine as deployed, with one text in it replaced; its ARN."""
    client = stack.client("stepfunctions")
    deployed = client.describe_state_machine(stateMachineArn=machine_arn(stack, "redrive"))
    assert text in deployed["definition"]
    arn = client.create_state_machine(
        name=f"copy-{uuid.uuid4()}",
        definition=deployed["definition"].replace(text, replacement),
        roleArn=deployed["roleArn"],
    )["stateMachineArn"]
    yield arn
    client.delete_state_machine(stateMachineArn=arn)


def throw(error):
    """Return a state's first entry that fails, for `mocks`."""
    return [{"Throw": {"Error": error, "Cause": "made up by a test"}}]

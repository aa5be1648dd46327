"""What a sender puts beside the body, on the whole stack: failed, parked, dead, back, done."""

import pytest

from local.deadline import wait_until
from tests.deployed.flows import finished, forget_dead_letters, frozen_account, settled
from tests.machines.scenarios.carrying import ALL, REASONS, SENDERS, TRACE
from tests.support.redrive_runs import consume
from tests.support.stack_fixtures import put, queued, row, transaction

pytestmark = pytest.mark.xdist_group("flows")


@pytest.fixture
def operator(stack, operator):
    forget_dead_letters(stack)
    consume(stack, True)
    yield operator
    consume(stack, True)
    forget_dead_letters(stack)


def comes(stack, account_id):
    """Let a message come from a sender that writes to the work queue itself."""
    message = transaction(account_id=account_id, group_id=account_id)
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs["WorkQueueUrl"],
        MessageBody=message.body(),
        MessageGroupId=account_id,
        MessageDeduplicationId=message.message_id,
        **ALL.arguments(),
    )
    return message


def test_attributes_and_trace_are_kept_from_the_first_failure_to_the_effect(stack, operator):
    account = frozen_account(stack)
    first, second = comes(stack, account), comes(stack, account)
    settled(operator, first.message_id, "DEAD")
    settled(operator, second.message_id, "PARKED")

    (letter,) = queued(stack, "DeadLetter", account)
    attributes = letter["MessageAttributes"]
    assert attributes == SENDERS | {name: attributes[name] for name in REASONS}
    assert letter["Attributes"]["AWSTraceHeader"] == TRACE

    put(stack, "Accounts", {"account_id": account, "status": "ACTIVE"})
    consume(stack, False)
    run_id = operator.reprocess(max_messages=1).expect(202)["run_id"]
    assert finished(operator, run_id)["redriven"] == 1
    (copy,) = queued(stack, "Work", account)
    assert copy["MessageAttributes"] == SENDERS
    assert copy["Attributes"]["AWSTraceHeader"] == TRACE

    consume(stack, True)
    for message in (first, second):
        settled(operator, message.message_id, "PROCESSED")
        assert "carried" not in row(stack, "Messages", message.message_id)
    wait_until(lambda: not queued(stack, "Work", account), 30, "nothing of the group is left")

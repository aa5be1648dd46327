"""A worker claims a message again between a run's verdict and the write: the row is the worker's.

Status and `redrives` are the same before and after that claim; only what grows with every claim
tells them apart.
"""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.support.messages import a_message, a_transaction
from tests.support.stack_fixtures import start_machine
from workflows.ledger import claims, lookup
from workflows.ledger.claims import Decision

MESSAGE = a_message()
INVALID = a_message(payload=a_transaction(amount="1.00", currency="nothing"))


@pytest.fixture
def stack():
    with MotoStack() as running:
        yield running


@pytest.mark.parametrize(
    ("message", "request_"),
    [(MESSAGE, {}), (INVALID, {}), (MESSAGE, {"filter": {"type": "another"}})],
    ids=["guard", "quarantine", "note"],
)
def test_row_that_was_claimed_again_since_the_verdict_is_left_to_its_worker(
    stack, message, request_
):
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"],
        MessageBody=message.body(),
        MessageGroupId=message.group_id,
        MessageDeduplicationId="a-copy",
    )
    assert claims.claim(message, "sqs-1").decision is Decision.PROCESS  # and its worker dies
    stack.elapse(181)
    claimed: list[dict[str, object]] = []

    def before_state(_arn, state):
        if state == "GuardLoop" and not claimed:
            assert claims.claim(message, "sqs-1").decision is Decision.PROCESS  # delivered again
            claimed.append(lookup.get(message.message_id))
        return True

    stack.before_state = before_state
    start_machine(stack, "redrive", {"request": {"max_messages": 1} | request_})
    stack.run_executions()

    assert [lookup.get(message.message_id)] == claimed

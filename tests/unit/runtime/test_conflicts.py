"""A transaction holds an item that a write wants: tried again, briefly, and no deed is denied.

DynamoDB then refuses the write, which moto never does; here its part of DynamoDB does. See
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

import itertools
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import botocore.endpoint
import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.exceptions import (
    ERROR_TYPE_PREFIX,
    DynamodbException,
    TransactionCanceledException,
)
from moto.dynamodb.responses import DynamoHandler

from lambdas import discard_messages, retry_messages, send_message
from tests.support.accounts import balance, freeze
from tests.support.cloud import audited
from tests.support.fenced_group import GROUP, change, consume_all, delivery, fail, fence_of, row
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_transaction
from tests.support.troubles import in_trouble, sent
from workflows import recovery
from workflows.groups.fence import START_GRACE_SECONDS
from workflows.ledger import lookup, transitions, writes
from workflows.operator import retry_by_hand
from workflows.queues.queue import default
from workflows.redrive import ownership, run_lock, runs
from workflows.redrive.run import new
from workflows.runtime import aws
from workflows.runtime.settings import settings

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

TRIES = 6
FOR_EVER = math.inf


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """Let nobody wait between two tries; give the pauses that were asked for."""
    pauses: list[float] = []
    # Not `time.sleep` itself: MiniStack's reaper, a thread in whatever imports it, sleeps too.
    for module in (aws, botocore.endpoint):
        monkeypatch.setattr(module, "time", mock.Mock(sleep=pauses.append))
    return pauses


def conflict(name="TransactionConflictException"):
    return DynamodbException(ERROR_TYPE_PREFIX + name, "made up")


def cancelled(*codes):
    return TransactionCanceledException([(code, "made up", None) for code in codes])


@contextmanager
def meeting(
    operation: str, times: float = 1, *, skip: int = 0, error: Exception | None = None
) -> Iterator[list[str]]:
    """Let DynamoDB refuse the next calls of an operation; give those that it refused."""
    usual = getattr(DynamoHandler, operation)
    calls = itertools.count()
    refused: list[str] = []

    def answer(handler):
        if skip <= next(calls) < skip + times:
            refused.append(operation)
            raise error or conflict()
        return usual(handler)

    with mock.patch.object(DynamoHandler, operation, answer):
        yield refused


def call(module, path, body, role="operator"):
    answer = module.handler(api_event("POST", path, body, roles=(role,)), CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


def send():
    body = {"type": "transaction", "payload": a_transaction(), "message_id": f"{GROUP}-1"}
    return call(send_message, "/messages/send", body, "producer")[0]


def discard():
    return call(discard_messages, f"/messages/{GROUP}-1/discard", {"reason": "why"})[0]


def results():
    return [record["result"] for record in audited()]


def briefly(slept):
    return len(slept) == TRIES - 1 and sum(slept) < 1.6


# Plain writes


@pytest.mark.parametrize("operation", ["put_item", "update_item"])
@pytest.mark.parametrize("times", [1, TRIES - 1])
def test_send_that_meets_a_transaction_is_answered_as_ever_and_noted(operation, times, slept):
    repeated = operation == "update_item" and send() == 202
    with meeting(operation, times) as refused:
        assert send() == (200 if repeated else 202)

    assert len(refused) == len(slept) == times
    assert row(1)["status"] == ("QUEUED" if repeated else "ACCEPTED")
    assert len(sent()) == 1


def test_send_that_is_never_noted_is_answered_and_sent_once(slept):
    assert send() == 202
    with meeting("update_item", FOR_EVER) as refused:
        assert send() == 200

    assert len(refused) == TRIES
    assert briefly(slept)
    assert row(1)["status"] == "ACCEPTED"
    assert send() == 200  # whoever asks again notes it, and SQS takes both for one message
    assert (row(1)["status"], len(sent())) == ("QUEUED", 1)


def test_send_that_cannot_be_recorded_is_500_and_sends_nothing(slept):
    with meeting("put_item", FOR_EVER):
        assert send() == 500

    assert briefly(slept)
    assert sent() == []


@pytest.mark.parametrize("skip", [0, 1], ids=["claim", "processed"])
def test_worker_that_never_gets_through_leaves_the_message_to_its_next_delivery(skip, slept, later):
    with (
        meeting("update_item", FOR_EVER, skip=skip),
        pytest.raises(ClientError, match="TransactionConflict"),
    ):
        consume_all(delivery(1))
    assert briefly(slept)
    later(settings().claim_lease_seconds + 1)

    assert consume_all(delivery(1, receive_count=2)) == ["PROCESSED"]
    assert (row(1)["status"], balance(), fence_of()) == ("PROCESSED", 10, None)


def given_holder(**columns):
    """Let a message that failed, and whose execution is over, hold its group."""
    fail()
    change(1, **columns)


def test_fence_that_never_goes_is_settled_with_the_next_delivery():
    given_holder(status="PROCESSED")

    with (
        meeting("delete_item", FOR_EVER),
        pytest.raises(ClientError, match="TransactionConflict"),
    ):
        consume_all(delivery(1))
    assert fence_of() is not None

    assert consume_all(delivery(1, receive_count=2)) == ["SETTLED"]
    assert fence_of() is None


def test_discard_that_meets_a_transaction_is_200_recorded_once_and_lets_the_group_go_on():
    given_holder(status="DEAD")

    with meeting("delete_item") as refused:
        assert discard() == 200

    assert refused
    assert (results(), fence_of()) == (["DISCARDED"], None)


def resuming():
    """Let the fence stay because a message is parked, and its new execution not be noted."""
    consume_all(delivery(2))
    cancellation = cancelled("TransactionConflict")
    return meeting("transact_write_items", FOR_EVER, skip=1, error=cancellation)


def removing():
    return meeting("delete_item", FOR_EVER)


@pytest.mark.parametrize("refusing", [removing, resuming])
def test_discard_whose_fence_never_goes_is_200_and_the_sweep_lets_the_group_go_on(refusing, later):
    given_holder(status="DEAD")
    freeze()

    with refusing() as refused:
        assert discard() == 200
    assert len(refused) == TRIES
    assert results() == ["DISCARDED"]
    assert (row(1)["status"], fence_of().generation) == ("DISCARDED", 1)

    (running,) = aws.stepfunctions().list_executions(
        stateMachineArn=settings().retry_state_machine_arn
    )["executions"]
    aws.stepfunctions().stop_execution(executionArn=running["executionArn"])
    later(START_GRACE_SECONDS + 1)
    assert recovery.recover().groups == [GROUP]
    assert fence_of().generation == 2


def retry():
    return call(retry_messages, "/messages/m-1/retry", None)[0]


def test_retry_that_is_never_noted_is_202_and_the_sweep_notes_it(later):
    in_trouble()

    with meeting("update_item", FOR_EVER) as refused:
        assert retry() == 202
    assert len(refused) == TRIES
    assert lookup.get("m-1")["trouble"] == "SENDING"

    later(retry_by_hand.SENDING_SECONDS + 1)
    assert recovery.recover().resent == ["m-1"]
    assert "trouble" not in lookup.get("m-1")
    assert (results(), len(sent())) == (["REDRIVEN"], 1)


def test_run_that_meets_a_transaction_begins_goes_on_and_ends():
    run = new("run-1", "arn:run-1", {})
    with meeting("transact_write_items", 2, error=cancelled("TransactionConflict")) as refused:
        assert ownership.claim(run, default())
    with meeting("transact_write_items", error=cancelled("TransactionConflict")) as refused_too:
        ownership.close(run, "2026-11-30T12:00:00.000Z")

    assert (len(refused), len(refused_too), run_lock.find(default())) == (2, 1, None)
    assert runs.get("run-1")["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("error", "tries"),
    [("ProvisionedThroughputExceededException", 3), ("ResourceNotFoundException", 1)],
)
def test_other_errors_are_for_botocore_s_own_rules(error, tries):
    with (
        meeting("update_item", FOR_EVER, error=conflict(error)) as refused,
        pytest.raises(ClientError, match=error),
    ):
        transitions.queued("m-1")

    assert len(refused) == tries


# Transactions


def change_of(message_id):
    return writes.change(message_id, "SET updated_at = :now", "#status = :it", {":it": "DEAD"})


@pytest.mark.parametrize(
    "codes",
    [
        (None, "TransactionConflict"),
        (None, "ThrottlingError"),
        ("ProvisionedThroughputExceeded", None),
        ("ThrottlingError", "TransactionConflict"),
        ("ConditionalCheckFailed", "ThrottlingError"),
    ],
)
def test_transaction_cancelled_by_what_passes_is_tried_again(codes, slept):
    in_trouble()
    part = change_of("m-1")

    with meeting("transact_write_items", error=cancelled(*codes)) as refused:
        assert aws.transact([part]) is None
    assert len(refused) == len(slept) == 1

    slept.clear()
    with (
        meeting("transact_write_items", FOR_EVER, error=cancelled(*codes)) as refused,
        pytest.raises(ClientError, match="TransactionCanceled"),
    ):
        aws.transact([part])
    assert len(refused) == TRIES  # and not so often at each of botocore's tries
    assert briefly(slept)


@pytest.mark.parametrize("other", [None, "ThrottlingError", "TransactionConflict"])
def test_transaction_that_can_never_be_is_not_tried_again(other):
    with (
        meeting("transact_write_items", error=cancelled("ValidationError", other)) as refused,
        pytest.raises(ClientError, match="TransactionCanceled"),
    ):
        aws.transact([change_of("m-1")])

    assert len(refused) == 1

"""Retries: the machine starts once for each generation of a fence, and its Lambda step."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from tests.support.accounts import freeze
from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, a_transaction
from tests.support.troubles import change
from workflows import retry
from workflows.groups import execution, fence
from workflows.ledger import claims, lookup, transitions
from workflows.messages.carried import NOTHING
from workflows.messages.envelope import InvalidMessage
from workflows.messages.reasons import reason_of
from workflows.messages.transaction import AccountFrozen
from workflows.runtime import aws
from workflows.runtime.executions import execution_status

MESSAGE = a_message()
BODY = MESSAGE.body()
MACHINE = ENVIRONMENT["RETRY_STATE_MACHINE_ARN"]
FROZEN = AccountFrozen("Account {account_id} is frozen.", account_id="acc-1")
LONGEST = "a" * 120
# Of m-1's first life, and its fence's first generation.
FIRST = ("acc-1", "m-1", 0, 1)


@pytest.fixture(autouse=True)
def executions(tables, machines):
    return lambda: machines.list_executions(stateMachineArn=MACHINE)["executions"]


def given_retrying(message=MESSAGE):
    claims.claim(message)
    arn = execution.execution_arn("m-1", 0, 1)
    assert (
        aws.transact([transitions.retrying(message, message.body(), NOTHING, FROZEN, arn, 1)])
        is None
    )


def test_execution_is_told_its_group_holder_and_generation(executions, machines):
    execution.start("acc-1", "m-1", 0, 7)

    (started,) = executions()
    assert started["executionArn"] == execution.execution_arn("m-1", 0, 7)
    found = machines.describe_execution(executionArn=started["executionArn"])
    assert json.loads(found["input"]) == {
        "group_id": "acc-1",
        "message_id": "m-1",
        "generation": 7,
    }


def test_execution_of_a_failed_message_is_told_which_attempt_that_was(executions, machines):
    claim = claims.claim(MESSAGE)

    fence.retrying(MESSAGE, BODY, NOTHING, claim, FROZEN, None)

    (started,) = executions()
    found = machines.describe_execution(executionArn=started["executionArn"])
    assert json.loads(found["input"]) == {
        "group_id": "acc-1", "message_id": "m-1", "generation": 1,
        "attempt": 1, "trace_id": MESSAGE.trace_id,
    }  # fmt: skip


def test_last_attempt_that_fails_is_told_apart():
    given_retrying()
    change(attempts=int(ENVIRONMENT["MAX_ATTEMPTS"]))
    freeze()

    with pytest.raises(retry.OutOfAttempts):
        retry.process("m-1", "acc-1", 1)

    assert lookup.get("m-1")["reason"]["type"] == "AccountFrozen"


def test_ledger_comes_before_the_start_of_the_execution_it_names(calls, executions):
    claim = claims.claim(MESSAGE)
    calls.ends.clear()

    fence.retrying(MESSAGE, BODY, NOTHING, claim, FROZEN, None)

    assert calls.ends == [
        "before TransactWriteItems", "after TransactWriteItems",
        "before StartExecution", "after StartExecution",
    ]  # fmt: skip
    row = lookup.get("m-1")
    assert (row["status"], row["body"], row["reason"]) == ("RETRYING", BODY, reason_of(FROZEN))
    assert row["execution_arns"] == [execution["executionArn"] for execution in executions()]


def test_second_start_after_the_end_of_the_first_is_none(executions, machines):
    execution.start(*FIRST)
    machines.stop_execution(executionArn=executions()[0]["executionArn"])

    execution.start(*FIRST)

    assert [execution["status"] for execution in executions()] == ["ABORTED"]


@pytest.mark.parametrize("message_id", ["m-1", LONGEST, "a:b@c=d+e.f", "7"])
def test_execution_name_is_one_and_says_the_message(message_id):
    prefix, _, name = execution.execution_arn(message_id, 100, 1_000_000).rpartition(":")

    assert prefix == "arn:aws:states:us-east-1:123456789012:execution:retry"
    assert re.fullmatch("[A-Za-z0-9_-]{1,80}", name)
    assert name.startswith(re.sub(r"[^A-Za-z0-9_-]", "-", message_id)[:40])
    assert name.endswith("-r100-g1000000")


def test_ids_that_read_alike_have_executions_of_their_own():
    ids = ("a.b", "a-b", "a:b", LONGEST, LONGEST[:-1])
    assert len({execution.execution_arn(message_id, 0, 1) for message_id in ids}) == len(ids)


def test_status_is_the_execution_s_or_none_if_it_never_started(executions, machines):
    arn = execution.execution_arn("m-1", 0, 1)
    assert (execution_status(""), execution_status(arn)) == (None, None)
    execution.start(*FIRST)
    assert execution_status(arn) == "RUNNING"
    machines.stop_execution(executionArn=arn)
    assert execution_status(arn) == "ABORTED"


def test_retry_that_fails_again_leaves_its_reason_and_its_class():
    given_retrying()
    freeze()

    with pytest.raises(AccountFrozen):
        retry.process("m-1", "acc-1", 1)

    row = lookup.get("m-1")
    assert row["status"] == "RETRYING"
    assert row["reason"] == reason_of(FROZEN) | {"final": False}


def test_invalid_message_is_final_and_of_the_very_class_that_the_machine_knows():
    debit = a_message(payload=a_transaction(kind="debit"))
    given_retrying(debit)

    with pytest.raises(InvalidMessage) as raised:
        retry.process("m-1", "acc-1", 1)

    assert type(raised.value) is InvalidMessage
    found = lookup.get("m-1")["reason"]
    assert (found["type"], found["final"]) == ("TransactionRejected", True)


@pytest.mark.parametrize("body", ["", "{", BODY.replace("m-1", "m.r1")])
def test_stored_body_that_is_no_envelope_is_of_the_very_class_too(body):
    given_retrying()
    change(body=body)
    with pytest.raises(InvalidMessage) as raised:
        retry.process("m-1", "acc-1", 1)

    assert type(raised.value) is InvalidMessage


def test_crash_between_effect_and_ledger_has_one_effect(calls, tables):
    given_retrying()
    calls.error_at = "after TransactWriteItems"
    with pytest.raises(WorkerDied):
        retry.process("m-1", "acc-1", 1)
    assert lookup.get("m-1")["status"] == "RETRYING"

    retry.process("m-1", "acc-1", 1)

    account = {"TableName": "Accounts", "Key": {"account_id": "acc-1"}}
    assert tables.get_item(**account)["Item"]["balance"] == 10
    assert lookup.get("m-1")["status"] == "PROCESSED"


def test_throttled_effect_is_no_reason_to_give_up(calls):
    given_retrying()
    calls.error = ClientError({"Error": {"Code": "ThrottlingException"}}, "TransactWriteItems")
    calls.error_at = "before TransactWriteItems"

    with pytest.raises(ClientError):
        retry.process("m-1", "acc-1", 1)

    assert lookup.get("m-1")["reason"]["final"] is False
    assert lookup.get("m-1")["reason"]["type"] == "ClientError"

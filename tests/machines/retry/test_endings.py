"""The retry machine by path, through the shipped ASL on the local stack; one test an ending."""

import json
import math
import uuid
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise

import jsonata
import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from local.stack import ROOT
from tests.support.stack_fixtures import (
    WAIT_SCALE,
    balance,
    delete,
    ended,
    events,
    freeze,
    history,
    machine_arn,
    put,
    queued,
    record,
    row,
    run_machine,
    start_machine,
    transaction,
    waits_scaled,
)
from workflows.messages.limits import ATTRIBUTE_RESERVE_BYTES
from workflows.runtime import clock

MAX_ATTEMPTS = 4  # of samconfig.toml's local parameters
MAX_MESSAGE_BYTES = 12_000  # the template's default
LOOK = ["InspectMessage", "ValidateMessage"]
ROUND = [*LOOK, "GuardLoop", "WaitBackoff", "ProcessMessage"]
PARKED = ["NextParked", "AnyParked"]
PROMOTED = [*PARKED, "PromoteParked", "ProcessMessage"]
RELEASED = [*PARKED, "ReleaseFence", "GroupReleased"]
ASK = ["InspectFence", "StillOurs"]
REFUSED = [*PARKED, "ReleaseFence", *ASK]
DEAD = ["DeadLetter", "MarkDead", "HoldOrContinue"]
HELD = [*DEAD, "GroupHeld"]
CRASH = {"Throw": {"Error": "Runtime.ExitError", "Cause": "exit status 137"}}
CANCELED = {"Throw": {"Error": "DynamoDb.TransactionCanceledException", "Cause": "a conflict"}}
NONE_PARKED: dict[str, dict[str, list[object]]] = {"Return": {"Items": []}}
FAR = 4_102_444_800  # the year 2100: no sweep takes a fence over that was owned then


def retrying(stack, **columns):
    """Return a message whose first processing failed, its row in the ledger, its group fenced."""
    message = transaction(**{name: columns.pop(name) for name in ("kind",) if name in columns})
    record(stack, message, "RETRYING", **columns)
    fence(stack, message)
    return message


def settled(stack, status="PROCESSED"):
    """Return a message that holds its group's fence and needs no retry any more."""
    message = retrying(stack)
    record(stack, message, status)
    return message


def fence(stack, message, **columns):
    """Fence the group of a message behind it, with nothing parked."""
    item = {
        "group_id": message.group_id,
        "item": "FENCE",
        "holder": message.message_id,
        "generation": 1,
        "parked": 0,
        "drained": 0,
        "execution_arn": "",
        "owned_at": FAR,
        "since": clock.now(),
        "fenced": "FENCED",
    }
    put(stack, "Groups", item | columns)


def park(stack, holder, number, *, status="PARKED", tries=0, **fields):
    """Park a message behind a group's fence; return it. `status` is what became of it since."""
    message = transaction(account_id=holder.group_id, **fields)
    record(stack, message, status, attempts=0, attempts_total=tries)
    item = {
        "group_id": message.group_id,
        "item": f"PARKED#{number:0>40}",
        "message_id": message.message_id,
        "body": message.body(),
        "trace_id": message.trace_id,
        "parked_at": clock.now(),
        "tries": tries,
    }
    put(stack, "Groups", item)
    raised = fence_of(stack, holder)
    put(stack, "Groups", raised | {"parked": raised["parked"] + 1})
    return message


def group(stack, message):
    """Return the items of a message's group: its fence, and what is parked, in its order."""
    answer = stack.client("dynamodb").query(
        TableName=stack.outputs["GroupsTableName"],
        KeyConditionExpression="group_id = :group_id",
        ExpressionAttributeValues={":group_id": {"S": message.group_id}},
        ConsistentRead=True,
    )
    return [
        {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
        for item in answer["Items"]
    ]


def fence_of(stack, message):
    return next((item for item in group(stack, message) if item["item"] == "FENCE"), None)


def parked(stack, message):
    return [item["message_id"] for item in group(stack, message) if item["item"] != "FENCE"]


def is_free(stack, message):
    """Tell whether a message's group has no fence and nothing parked."""
    return group(stack, message) == []


def status_of(stack, message):
    return row(stack, "Messages", message.message_id)["status"]


def retry(stack, message, machine="retry", **options):
    return run_machine(stack, machine, payload(message), **options)


def payload(message):
    return {"group_id": message.group_id, "message_id": message.message_id, "generation": 1}


@contextmanager
def retry_machine_with(stack, old, new):
    """Give the retry machine as deployed, except for one value in its conditions."""
    client = stack.client("stepfunctions")
    deployed = client.describe_state_machine(stateMachineArn=machine_arn(stack, "retry"))
    assert old in deployed["definition"]
    arn = client.create_state_machine(
        name=f"variant-{uuid.uuid4()}",
        definition=deployed["definition"].replace(old, new),
        roleArn=deployed["roleArn"],
    )["stateMachineArn"]
    yield arn
    client.delete_state_machine(stateMachineArn=arn)


@pytest.fixture(scope="module")
def continuing(stack):
    """Give the machine as `OnDeadLetter=continue` deploys it."""
    with retry_machine_with(stack, "'hold' =", "'continue' =") as arn:
        yield arn


def letters_of_group(stack, message):
    return queued(stack, "DeadLetter", message.group_id)


def reason_of(letter):
    return {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}


# Processed


def test_message_processed_at_the_first_retry(stack):
    message = retrying(stack)

    execution = retry(stack, message)

    assert execution.status == "SUCCEEDED"
    assert execution.states == ["StartGroup", *ROUND, *RELEASED]
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["attempts"]) == ("PROCESSED", 2)
    assert not ledger.keys() & {"trouble", "body", "reason"}
    assert balance(stack, message) == 10
    assert letters_of_group(stack, message) == []
    assert is_free(stack, message)


def test_message_processed_after_some_retries(stack):
    message = retrying(stack)
    frozen = {"Throw": {"Error": "AccountFrozen", "Cause": "It is frozen."}}

    execution = retry(stack, message, mocks={"ProcessMessage": [frozen, frozen]})

    assert execution.states == ["StartGroup", *ROUND, *ROUND, *ROUND, *RELEASED]
    assert row(stack, "Messages", message.message_id)["attempts"] == 4
    assert balance(stack, message) == 10


def test_message_processed_by_a_try_that_did_not_say_so_has_one_effect(stack):
    message = retrying(stack)
    retry(stack, message)
    record(stack, message, "RETRYING")  # as if the function had died before its last line
    fence(stack, message)

    assert retry(stack, message).states == ["StartGroup", *ROUND, *RELEASED]
    assert balance(stack, message) == 10


def test_crash_after_the_message_was_processed_lets_its_group_go(stack):
    message = settled(stack)
    counted = {"Return": {"Attributes": {"attempts": {"N": "2"}, "attempts_total": {"N": "2"}}}}

    execution = retry(
        stack,
        message,
        mocks={
            "InspectMessage": [inspected(message)],
            "GuardLoop": [counted],
            "ProcessMessage": [CRASH],
        },
    )

    assert execution.states == ["StartGroup", *ROUND, *LOOK, *RELEASED]
    assert status_of(stack, message) == "PROCESSED"
    assert is_free(stack, message)


def test_start_without_a_generation_is_of_a_fence_that_had_no_execution_yet(stack):
    message = retrying(stack)
    fence(stack, message, generation=0)
    given = payload(message)
    del given["generation"]

    assert run_machine(stack, "retry", given).states[-1] == "GroupReleased"
    assert is_free(stack, message)


# Dead


def test_message_out_of_attempts_is_dead_lettered_with_its_reason(stack):
    message = retrying(stack, redrives=2, attempts_total=9)
    freeze(stack, message)
    fenced = fence_of(stack, message)

    execution = retry(stack, message)

    assert execution.status == "SUCCEEDED"
    assert Counter(execution.states)["ProcessMessage"] == MAX_ATTEMPTS - 1
    assert execution.states[-4:] == HELD
    (letter,) = letters_of_group(stack, message)
    assert letter["Body"] == message.body()
    why = {"type": "AccountFrozen", "message": f"Account {message.group_id} is frozen."}
    assert reason_of(letter) == {"ReasonType": why["type"], "ReasonMessage": why["message"]}
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["trouble"]) == ("DEAD", "DEAD")
    assert ledger["attempts"] == MAX_ATTEMPTS
    assert ledger["reason"] == why | {"template": "Account {account_id} is frozen."}
    assert ledger["body"] == message.body()
    assert balance(stack, message) == 0
    assert fence_of(stack, message) == fenced
    events = [{**event, "at": "then"} for event in ledger["journey"]]
    failed = {"event": "attempt", "reason_type": "AccountFrozen", "at": "then"}
    numbers = range(10, 10 + MAX_ATTEMPTS - 1)  # the consumer's was the ninth
    died = {"event": "dead", "reason_type": "AccountFrozen", "at": "then"}
    assert events == [*({**failed, "number": number} for number in numbers), died]
    assert ledger["dead_at"] == ledger["updated_at"]


def test_invalid_message_is_dead_lettered_at_once(stack):
    message = retrying(stack, kind="debit")

    execution = retry(stack, message)

    assert execution.states == ["StartGroup", *ROUND, *LOOK, *HELD]
    (letter,) = letters_of_group(stack, message)
    assert reason_of(letter)["ReasonType"] == "TransactionRejected"
    assert "does not cover the debit" in reason_of(letter)["ReasonMessage"]
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["attempts"]) == ("DEAD", 2)
    assert ledger["reason"]["type"] == "TransactionRejected"
    assert fence_of(stack, message)["holder"] == message.message_id


@pytest.mark.parametrize("error", ["Runtime.ExitError", "Lambda.Unknown", "States.Timeout"])
def test_crash_of_the_function_is_an_attempt_and_the_reason(stack, error):
    message = retrying(stack)  # its ledger says AccountFrozen
    crash = {"Throw": {"Error": error, "Cause": "killed"}}

    execution = retry(stack, message, mocks={"ProcessMessage": [crash] * MAX_ATTEMPTS})

    assert Counter(execution.states)["ProcessMessage"] == MAX_ATTEMPTS - 1
    (letter,) = letters_of_group(stack, message)
    why = {"type": error, "message": "The function ended without an answer."}
    assert reason_of(letter) == {"ReasonType": why["type"], "ReasonMessage": why["message"]}
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["attempts"]) == ("DEAD", MAX_ATTEMPTS)
    assert ledger["reason"] == why


def test_crash_does_not_hide_the_reason_that_the_next_attempt_gives(stack):
    message = retrying(stack)
    freeze(stack, message)

    retry(stack, message, mocks={"ProcessMessage": [CRASH]})

    (letter,) = letters_of_group(stack, message)
    assert reason_of(letter)["ReasonType"] == "AccountFrozen"


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize(("filler", "size"), [(" ", 1), ("é", 4)])
def test_body_that_leaves_no_room_for_its_reason_is_dead_lettered_without(
    stack, filler, size, over
):
    """SQS counts attributes as size. A character that may have more bytes is taken for four."""
    message = retrying(stack, attempts=MAX_ATTEMPTS)
    room = MAX_MESSAGE_BYTES - ATTRIBUTE_RESERVE_BYTES - len(message.body())
    body = message.body() + " " * (room % size) + filler * (room // size + over)
    put(stack, "Messages", row(stack, "Messages", message.message_id) | {"body": body})

    retry(stack, message)

    (letter,) = letters_of_group(stack, message)
    assert letter["Body"] == body
    assert bool(letter.get("MessageAttributes")) is (over == 0)
    assert row(stack, "Messages", message.message_id)["status"] == "DEAD"


def test_message_without_a_recorded_reason_is_dead_lettered_all_the_same(stack):
    message = retrying(stack, attempts=MAX_ATTEMPTS)
    ledger = row(stack, "Messages", message.message_id)
    del ledger["reason"]
    put(stack, "Messages", ledger)

    assert retry(stack, message).states == ["StartGroup", *LOOK, *HELD]

    (letter,) = letters_of_group(stack, message)
    assert reason_of(letter)["ReasonType"] == "Unknown"


def test_message_that_dies_keeps_the_parked_ones_behind_it(stack):
    message = retrying(stack, kind="debit")
    later = park(stack, message, 2)

    assert retry(stack, message).states[-1] == "GroupHeld"

    assert parked(stack, message) == [later.message_id]
    assert status_of(stack, later) == "PARKED"
    assert balance(stack, message) == 0


def test_dead_message_lets_its_group_go_on_by_the_parameter(stack, continuing):
    message = retrying(stack, kind="debit")
    later = park(stack, message, 2)

    execution = retry(stack, message, continuing)

    assert execution.states == ["StartGroup", *ROUND, *LOOK, *DEAD, *PROMOTED, *RELEASED]
    assert (status_of(stack, message), status_of(stack, later)) == ("DEAD", "PROCESSED")
    assert len(letters_of_group(stack, message)) == 1
    assert is_free(stack, message)


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_holder_in_trouble_lets_its_group_go_on_by_the_parameter(stack, continuing, status):
    message = settled(stack, status)

    assert retry(stack, message, continuing).states == ["StartGroup", *LOOK, *RELEASED]
    assert status_of(stack, message) == status
    assert is_free(stack, message)


# Nothing to retry


@pytest.mark.parametrize("status", ["PROCESSED", "DISCARDED"])
def test_message_settled_before_the_retry_lets_its_group_go(stack, status):
    message = settled(stack, status)
    before = row(stack, "Messages", message.message_id)

    execution = retry(stack, message)

    assert execution.status == "SUCCEEDED"
    assert execution.states == ["StartGroup", *LOOK, *RELEASED]
    assert row(stack, "Messages", message.message_id) == before
    assert letters_of_group(stack, message) == []
    assert is_free(stack, message)


def test_message_that_the_ledger_forgot_lets_its_group_go(stack):
    message = retrying(stack)
    delete(stack, "Messages", message.message_id)

    execution = retry(stack, message)

    assert execution.states == ["StartGroup", *LOOK, *RELEASED]
    assert row(stack, "Messages", message.message_id) == {}
    assert letters_of_group(stack, message) == []
    assert is_free(stack, message)


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED", "REDRIVEN", "PROCESSING"])
def test_message_in_other_hands_is_left_alone_and_holds_its_group(stack, status):
    message = settled(stack, status)
    later = park(stack, message, 2)
    before = row(stack, "Messages", message.message_id), group(stack, message)

    execution = retry(stack, message)

    assert execution.status == "SUCCEEDED"
    assert execution.states == ["StartGroup", *LOOK, "NothingToRetry"]
    assert (row(stack, "Messages", message.message_id), group(stack, message)) == before
    assert status_of(stack, later) == "PARKED"
    assert letters_of_group(stack, message) == []


def inspected(message, **columns):
    """Return what InspectMessage would have found, for a row that changed right after."""
    item = {
        "message_id": {"S": message.message_id},
        "group_id": {"S": message.group_id},
        "trace_id": {"S": message.trace_id},
        "status": {"S": "RETRYING"},
        "body": {"S": message.body()},
        "attempts": {"N": "1"},
        "attempts_total": {"N": "1"},
        "redrives": {"N": "0"},
        "reason": {"M": {"type": {"S": "AccountFrozen"}, "message": {"S": "It is frozen."}}},
    }
    return {"Return": {"Item": item | columns}}


def test_message_settled_between_inspection_and_guard_is_not_dead_lettered(stack):
    message = settled(stack)

    execution = retry(stack, message, mocks={"InspectMessage": [inspected(message)]})

    assert execution.states == ["StartGroup", *ROUND[:3], *ASK, *LOOK, *RELEASED]
    assert row(stack, "Messages", message.message_id)["status"] == "PROCESSED"
    assert letters_of_group(stack, message) == []


def test_message_redriven_before_it_is_marked_dead_stays_redriven(stack):
    message = retrying(stack)
    record(stack, message, "REDRIVEN", redrives=1)
    final = {
        "M": {"type": {"S": "A"}, "message": {"S": "b"}, "final": {"BOOL": True}},
    }

    execution = retry(stack, message, mocks={"InspectMessage": [inspected(message, reason=final)]})

    assert execution.status == "SUCCEEDED"
    assert execution.states[-7:] == ["DeadLetter", "MarkDead", *ASK, *LOOK, "NothingToRetry"]
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["redrives"]) == ("REDRIVEN", 1)
    assert fence_of(stack, message)["holder"] == message.message_id


# Parked messages


def test_parked_messages_are_processed_in_the_order_of_their_numbers(stack):
    message = retrying(stack)
    second = park(stack, message, 9, amount=5.0)
    third = park(stack, message, 10, kind="debit", amount=15.0)  # needs both before it

    execution = retry(stack, message)

    assert execution.states == ["StartGroup", *ROUND, *PROMOTED, *PROMOTED, *RELEASED]
    assert balance(stack, message) == 0
    for one in (second, third):
        ledger = row(stack, "Messages", one.message_id)
        assert (ledger["status"], ledger["attempts"]) == ("PROCESSED", 1)
        assert ledger["execution_arns"] == [execution.arn]
        assert not ledger.keys() & {"trouble", "body"}
    assert letters_of_group(stack, message) == []
    assert is_free(stack, message)


def test_promoted_message_is_the_holder_and_is_tried_again_like_any(stack):
    message = settled(stack)
    later = park(stack, message, 2)

    execution = retry(stack, message, mocks={"ProcessMessage": [CRASH]})

    assert execution.states == ["StartGroup", *LOOK, *PROMOTED, *ROUND, *RELEASED]
    ledger = row(stack, "Messages", later.message_id)
    assert (ledger["status"], ledger["attempts"]) == ("PROCESSED", 2)
    assert balance(stack, message) == 10
    assert is_free(stack, message)


def test_promoted_message_that_dies_holds_the_group_in_its_turn(stack):
    message = settled(stack)
    second = park(stack, message, 2, kind="debit", tries=3)
    third = park(stack, message, 3)

    execution = retry(stack, message)

    assert execution.states == ["StartGroup", *LOOK, *PROMOTED, *LOOK, *HELD]
    (letter,) = letters_of_group(stack, message)
    assert letter["Body"] == second.body()
    ledger = row(stack, "Messages", second.message_id)
    assert (ledger["status"], ledger["trouble"], ledger["attempts"]) == ("DEAD", "DEAD", 1)
    assert ledger["attempts_total"] == ledger["journey"][0]["number"] == 4
    assert ledger["body"] == second.body()
    fenced = fence_of(stack, message)
    assert (fenced["holder"], fenced["generation"]) == (second.message_id, 1)
    assert (fenced["parked"], fenced["drained"], fenced["execution_arn"]) == (2, 1, execution.arn)
    assert fenced["owned_at"] <= clock.epoch()
    assert parked(stack, message) == [third.message_id]
    assert status_of(stack, third) == "PARKED"


def test_promoted_message_out_of_attempts_was_tried_as_often_as_any(stack):
    message = settled(stack)
    later = park(stack, message, 2)
    freeze(stack, message)

    execution = retry(stack, message)

    assert Counter(execution.states)["ProcessMessage"] == MAX_ATTEMPTS
    assert execution.states[-4:] == HELD
    assert row(stack, "Messages", later.message_id)["attempts"] == MAX_ATTEMPTS


@pytest.mark.parametrize("status", ["PROCESSED", "DISCARDED", "GONE"])
def test_parked_message_that_was_settled_meanwhile_is_dropped(stack, status):
    message = settled(stack)
    second = park(stack, message, 2, status=status)
    if status == "GONE":
        delete(stack, "Messages", second.message_id)
    before = row(stack, "Messages", second.message_id)
    third = park(stack, message, 3)

    execution = retry(stack, message)

    dropped = [*PROMOTED[:3], "DropParked"]
    assert execution.states == ["StartGroup", *LOOK, *dropped, *PROMOTED, *RELEASED]
    assert row(stack, "Messages", second.message_id) == before
    assert status_of(stack, third) == "PROCESSED"
    assert balance(stack, message) == 10  # of the third alone
    assert is_free(stack, message)


def test_conflict_does_not_drop_a_parked_message(stack):
    message = settled(stack)
    later = park(stack, message, 2)

    execution = retry(stack, message, mocks={"PromoteParked": [CANCELED]})

    kept = [*PROMOTED[:3], "DropParked", *ASK, *LOOK]
    assert execution.states == ["StartGroup", *LOOK, *kept, *PROMOTED, *RELEASED]
    assert status_of(stack, later) == "PROCESSED"
    assert is_free(stack, message)


def test_promotion_whose_answer_was_lost_goes_on(stack):
    message = settled(stack)
    second = park(stack, message, 2)
    item = next(i for i in group(stack, message) if i["item"] != "FENCE")
    third = park(stack, message, 3)
    record(stack, second, "RETRYING", attempts=1)  # as PromoteParked leaves it
    remove(stack, item)
    name = f"lost-{uuid.uuid4()}"
    arn = machine_arn(stack, "retry").replace(":stateMachine:", ":execution:")
    fence(
        stack, message, holder=second.message_id, parked=2, drained=1, execution_arn=f"{arn}:{name}"
    )

    mocks = {"NextParked": [{"Return": {"Items": [serialized(item)]}}]}
    execution = retry(stack, message, name=name, mocks=mocks)

    lost = [*PROMOTED[:3], "DropParked", "InspectFence", "StillOurs"]
    tried = [*LOOK, "GuardLoop", "WaitBackoff", "ProcessMessage"]
    assert execution.states == ["StartGroup", *LOOK, *lost, *tried, *PROMOTED, *RELEASED]
    assert [status_of(stack, m) for m in (second, third)] == ["PROCESSED", "PROCESSED"]


def test_message_parked_after_the_last_look_is_not_left_behind(stack):
    message = settled(stack)
    later = park(stack, message, 2)

    execution = retry(stack, message, mocks={"NextParked": [NONE_PARKED]})

    assert execution.states == ["StartGroup", *LOOK, *REFUSED, *LOOK, *PROMOTED, *RELEASED]
    assert status_of(stack, later) == "PROCESSED"
    assert is_free(stack, message)


# The fence


@pytest.mark.parametrize("other", [{"generation": 2}, {"holder": "another"}, None])
def test_fence_that_is_not_ours_is_not_released(stack, other):
    message = settled(stack)
    if other:
        fence(stack, message, **other)
    else:
        remove_fence(stack, message)
    before = group(stack, message)

    execution = retry(stack, message)

    assert execution.status == "SUCCEEDED"
    assert execution.states == ["StartGroup", *LOOK, *REFUSED, "NothingToRetry"]
    assert group(stack, message) == before


def remove_fence(stack, message):
    remove(stack, {"group_id": message.group_id, "item": "FENCE"})


def remove(stack, item):
    key = {name: item[name] for name in ("group_id", "item")}
    stack.client("dynamodb").delete_item(
        TableName=stack.outputs["GroupsTableName"], Key=serialized(key)
    )


def serialized(item):
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


@pytest.mark.parametrize("other", [{"generation": 2}, {"holder": "another"}])
@pytest.mark.parametrize("status", ["PARKED", "PROCESSED"])
def test_parked_message_behind_a_fence_that_is_not_ours_stays(stack, other, status):
    message = settled(stack)
    fence(stack, message, **other)
    later = park(stack, message, 2, status=status)
    before = group(stack, message)

    execution = retry(stack, message)

    assert execution.status == "SUCCEEDED"
    left = [*PROMOTED[:3], "DropParked", "InspectFence", "StillOurs", "NothingToRetry"]
    assert execution.states == ["StartGroup", *LOOK, *left]
    assert group(stack, message) == before
    assert status_of(stack, later) == status
    assert balance(stack, message) == 0


def test_fence_that_counts_more_than_there_are_fails_loudly_and_stays(stack):
    message = settled(stack)
    fence(stack, message, parked=1)
    before = fence_of(stack, message)

    execution = retry(stack, message)

    assert (execution.status, execution.error) == ("FAILED", "FenceInconsistent")
    assert execution.states == ["StartGroup", *[*LOOK, *REFUSED] * 5, "FenceInconsistent"]
    assert fence_of(stack, message) == before


def test_refusals_are_counted_anew_for_the_next_holder(stack):
    message = settled(stack)
    second, third = park(stack, message, 2), park(stack, message, 3)
    _, item, _ = group(stack, message)
    found = {"Return": {"Items": [serialized(item)]}}

    execution = retry(
        stack, message, mocks={"NextParked": [*[NONE_PARKED] * 4, found, *[NONE_PARKED] * 4]}
    )

    each = [*[*REFUSED, *LOOK] * 4, *PROMOTED]
    assert execution.states == ["StartGroup", *LOOK, *each, *each, *RELEASED]
    assert (status_of(stack, second), status_of(stack, third)) == ("PROCESSED", "PROCESSED")


# The successor


@pytest.fixture(scope="module")
def short(stack):
    """Give the machine whose executions take one step where those deployed take 400."""
    with retry_machine_with(stack, "$steps >= 400", "$steps >= 1") as arn:
        yield arn


def test_execution_that_took_many_steps_hands_over_to_a_successor(stack, short):
    message = retrying(stack)
    behind = [park(stack, message, number) for number in (2, 3)]

    first = retry(stack, message, short)
    second, third = (ended(stack, f"{first.arn}-s{number}") for number in (1, 2))

    handed_over = [*PARKED, "StartSuccessor", "ContinuedBySuccessor"]
    assert first.states == ["StartGroup", *ROUND, *handed_over]
    assert second.states == ["StartGroup", *LOOK, *PROMOTED, *handed_over]
    assert third.states == ["StartGroup", *LOOK, *PROMOTED, *RELEASED]
    assert [status_of(stack, one) for one in behind] == ["PROCESSED", "PROCESSED"]
    assert balance(stack, message) == 30
    assert is_free(stack, message)


def test_execution_with_nothing_parked_needs_no_successor(stack, short):
    message = retrying(stack)

    assert retry(stack, message, short).states == ["StartGroup", *ROUND, *RELEASED]


def test_successor_that_was_started_by_an_earlier_try_is_enough(stack, short):
    message = retrying(stack)
    later = park(stack, message, 2)
    exists = {
        "Throw": {"Error": "StepFunctions.ExecutionAlreadyExistsException", "Cause": "there is"}
    }

    execution = retry(stack, message, short, mocks={"StartSuccessor": [exists]})

    assert execution.states[-2:] == ["StartSuccessor", "ContinuedBySuccessor"]
    tries = [event["type"] for event in events(stack, execution.arn)].count("TaskFailed")
    assert tries == 1
    assert status_of(stack, later) == "PARKED"  # for the successor


def test_successor_that_cannot_be_started_fails_loudly_and_keeps_the_fence(stack, short):
    message = retrying(stack)
    later = park(stack, message, 2)
    before = group(stack, message)
    gone = {"Throw": {"Error": "Some.ServiceException", "Cause": "for good"}}

    with waits_scaled(stack, WAIT_SCALE / 10):
        execution = retry(stack, message, short, mocks={"StartSuccessor": [gone]})

    assert (execution.status, execution.states[-1]) == ("FAILED", "StartSuccessor")
    assert group(stack, message) == before
    assert status_of(stack, later) == "PARKED"


# The loop guard


def test_lambda_service_errors_are_retried_without_counting(stack):
    message = retrying(stack)
    busy = {"Throw": {"Error": "Lambda.TooManyRequestsException", "Cause": "429"}}

    execution = retry(stack, message, mocks={"ProcessMessage": [busy]})

    tries = [event["type"] for event in events(stack, execution.arn)].count("TaskFailed")
    assert tries == 7  # six retries, all of them one attempt
    assert execution.states == ["StartGroup", *ROUND, *ROUND, *RELEASED]
    assert row(stack, "Messages", message.message_id)["attempts"] == 3


def test_two_executions_share_the_attempts_of_one_message(stack):
    message = retrying(stack)
    freeze(stack, message)

    arns = [start_machine(stack, "retry", payload(message)) for _ in range(2)]
    both = [ended(stack, arn) for arn in arns]

    assert [execution.status for execution in both] == ["SUCCEEDED", "SUCCEEDED"]
    processed = sum(Counter(execution.states)["ProcessMessage"] for execution in both)
    assert processed == MAX_ATTEMPTS - 1
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["attempts"]) == ("DEAD", MAX_ATTEMPTS)
    assert len(letters_of_group(stack, message)) == 1


def test_guard_refuses_an_attempt_beyond_the_limit_whatever_was_read(stack):
    message = retrying(stack, attempts=MAX_ATTEMPTS)

    execution = retry(stack, message, mocks={"InspectMessage": [inspected(message)]})

    assert execution.states == ["StartGroup", *ROUND[:3], *ASK, *LOOK, *HELD]
    assert row(stack, "Messages", message.message_id)["attempts"] == MAX_ATTEMPTS
    (letter,) = letters_of_group(stack, message)
    assert reason_of(letter)["ReasonType"] == "AccountFrozen"  # not the refusal


def test_attempts_are_counted_before_the_function_runs(stack):
    message = retrying(stack)

    execution = retry(stack, message, mocks={"ProcessMessage": [CRASH]})

    for before, after in pairwise(execution.states):
        if after == "WaitBackoff":
            assert before == "GuardLoop"
        if after == "ProcessMessage":
            assert before == "WaitBackoff"


# Loud failures


@pytest.mark.parametrize("state", ["InspectMessage", "GuardLoop", "DeadLetter", "MarkDead"])
def test_service_that_fails_for_good_fails_the_execution_and_keeps_the_message(stack, state):
    message = retrying(stack, kind="debit")
    fenced = fence_of(stack, message)

    execution = retry_in_vain(stack, message, state)

    assert execution.status == "FAILED"
    assert execution.error == "Some.ServiceException"
    assert execution.states[-1] == state
    ledger = row(stack, "Messages", message.message_id)
    assert (ledger["status"], ledger["body"]) == ("RETRYING", message.body())
    # A second copy at worst, and only after the dead-letter queue has one.
    assert len(letters_of_group(stack, message)) == (1 if state == "MarkDead" else 0)
    assert fence_of(stack, message) == fenced


def test_execution_that_failed_can_be_taken_up_again(stack):
    message = retrying(stack, kind="debit")
    assert retry_in_vain(stack, message, "MarkDead").status == "FAILED"

    assert retry(stack, message).states[-1] == "GroupHeld"

    # Never the same deduplication id: the first copy may be gone from the queue by then.
    assert len(letters_of_group(stack, message)) == 2
    assert row(stack, "Messages", message.message_id)["status"] == "DEAD"


@pytest.mark.parametrize(
    ("state", "mocks"),
    [
        ("NextParked", {}),
        ("PromoteParked", {}),
        ("DropParked", {"PromoteParked": [CANCELED]}),
        ("ReleaseFence", {"NextParked": [NONE_PARKED]}),
        ("InspectFence", {"NextParked": [NONE_PARKED]}),
    ],
)
def test_service_that_fails_for_good_while_draining_keeps_fence_and_parked(stack, state, mocks):
    message = settled(stack)
    later = park(stack, message, 2)
    before = group(stack, message)

    execution = retry_in_vain(stack, message, state, **mocks)

    assert (execution.status, execution.states[-1]) == ("FAILED", state)
    assert group(stack, message) == before
    assert status_of(stack, later) == "PARKED"

    assert retry(stack, message).states == ["StartGroup", *LOOK, *PROMOTED, *RELEASED]
    assert status_of(stack, later) == "PROCESSED"


def retry_in_vain(stack, message, state, **mocks):
    """Run the machine while the service of a state fails for good, in a tenth of the usual time."""
    gone = {"Throw": {"Error": "Some.ServiceException", "Cause": "for good"}}
    with waits_scaled(stack, WAIT_SCALE / 10):
        return retry(stack, message, mocks=mocks | {state: [gone]})


# The wait


def backoff(attempts, base, cap, luck):
    """Evaluate the shipped expression of WaitBackoff, with what $random() gives."""
    machine = json.loads((ROOT / "statemachines" / "retry.asl.json").read_text())
    expression = machine["States"]["WaitBackoff"]["Seconds"].removeprefix("{%").removesuffix("%}")
    expression = expression.replace("${BackoffBaseSeconds}", str(base))
    expression = expression.replace("${BackoffCapSeconds}", str(cap))
    parsed = jsonata.Jsonata(expression.replace("$random()", "$luck"))
    return parsed.evaluate(None, {"attempts": attempts, "luck": luck})


@pytest.mark.parametrize(("base", "cap"), [(2, 300), (2, 8), (1, 1), (30, 10), (3600, 86_400)])
@pytest.mark.parametrize("attempts", range(2, 13))
def test_wait_is_a_whole_number_up_to_the_doubling_capped_limit(attempts, base, cap):
    limit = min(cap, base * 2 ** (attempts - 2))
    waits = [backoff(attempts, base, cap, luck) for luck in (0, 0.25, 0.5, math.nextafter(1, 0))]

    assert all(wait == int(wait) for wait in waits)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0, limit)


def test_wait_comes_before_every_attempt(stack):
    message = retrying(stack)
    freeze(stack, message)

    states = history(stack, retry(stack, message).arn)

    assert Counter(states)["WaitBackoff"] == Counter(states)["ProcessMessage"] == MAX_ATTEMPTS - 1

"""The second engine: what was mended in moto, so that it is AWS's behaviour that is compared."""

import json
from contextlib import ExitStack, nullcontext
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from tests.engines.moto_engine import quick
from tests.engines.moto_engine.as_aws import TIMED_OUT
from tests.engines.moto_engine.stack import MotoStack
from tests.support.redrive_runs import GIVEN_BACK, START
from tests.support.stack_fixtures import (
    all_events,
    dead_letter,
    ended,
    events,
    leg_arn,
    put,
    put_on_dlq,
    queued,
    row,
    run_machine,
    transaction,
)


@pytest.fixture
def moto():
    with MotoStack() as stack:
        yield stack


def execute(moto, *statements):
    """Execute PartiQL statements in one call, each (text, parameters); return the responses."""
    return moto.client("dynamodb").batch_execute_statement(
        Statements=[
            {
                "Statement": text,
                "Parameters": list(parameters),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            for text, *parameters in statements
        ]
    )["Responses"]


@pytest.fixture
def account(moto):
    put(moto, "Accounts", {"account_id": "a", "balance": 1, "status": "ACTIVE", "log": []})
    return lambda: row(moto, "Accounts", "a")


def test_update_statement_sets_adds_appends_and_removes(moto, account):
    text = (
        'UPDATE "Accounts" SET "owner"=? SET "balance"="balance"+1'
        ' SET "log"=list_append("log", ?) REMOVE "status" WHERE "account_id"=? AND "balance"<?'
    )

    execute(moto, (text, {"S": "o"}, {"L": [{"S": "x"}]}, {"S": "a"}, {"N": "2"}))

    assert account() == {"account_id": "a", "owner": "o", "balance": 2, "log": ["x"]}


def test_statement_whose_condition_fails_tells_the_item_and_stops_no_other(moto, account):
    refused = ('UPDATE "Accounts" SET "balance"=0 WHERE "account_id"=? AND "status"<>?',
               {"S": "a"}, {"S": "ACTIVE"})  # fmt: skip
    taken = ("INSERT INTO \"Accounts\" VALUE {'account_id': ?, 'balance': ?}",
             {"S": "b"}, {"N": "5"})  # fmt: skip

    first, second = execute(moto, refused, taken)

    assert first["Error"]["Code"] == "ConditionalCheckFailed"
    assert first["Error"]["Item"]["balance"] == {"N": "1"}
    assert "Error" not in second
    assert account()["balance"] == 1
    assert row(moto, "Accounts", "b")["balance"] == 5


def test_update_statement_makes_no_item(moto):
    text = 'UPDATE "Accounts" SET "balance"=? WHERE "account_id"=?'

    (answer,) = execute(moto, (text, {"N": "1"}, {"S": "nobody"}))

    assert answer["Error"]["Code"] == "ConditionalCheckFailed"
    assert row(moto, "Accounts", "nobody") == {}


def test_insert_statement_makes_an_item_once(moto):
    text = "INSERT INTO \"Accounts\" VALUE {'account_id': ?, 'balance': ?}"

    (first,) = execute(moto, (text, {"S": "n"}, {"N": "1"}))
    (second,) = execute(moto, (text, {"S": "n"}, {"N": "2"}))

    assert "Error" not in first
    assert second["Error"]["Code"] == "DuplicateItem"
    assert row(moto, "Accounts", "n")["balance"] == 1


def test_delete_statement_has_its_condition(moto, account):
    text = 'DELETE FROM "Accounts" WHERE "account_id"=? AND "status"=?'

    (kept,) = execute(moto, (text, {"S": "a"}, {"S": "FROZEN"}))
    assert (kept["Error"]["Code"], account()["balance"]) == ("ConditionalCheckFailed", 1)

    execute(moto, (text, {"S": "a"}, {"S": "ACTIVE"}))
    assert account() == {}


def test_batch_that_names_an_item_twice_is_refused_whole(moto, account):
    statements = [
        ('UPDATE "Accounts" SET "balance"=? SET "owner"=? WHERE "account_id"=?',
         {"N": "7"}, {"S": "b"}, {"S": "a"}),
        ("INSERT INTO \"Accounts\" VALUE {'balance': ?, 'account_id': ?}", {"N": "7"}, {"S": "b"}),
        ('DELETE FROM "Accounts" WHERE "status"=? AND "account_id"=?', {"S": "ACTIVE"}, {"S": "a"}),
    ]  # fmt: skip

    with pytest.raises(moto.client("dynamodb").exceptions.ClientError) as refused:
        execute(moto, *statements)

    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "Provided list of item keys contains duplicates",
    }
    assert account()["balance"] == 1
    assert row(moto, "Accounts", "b") == {}
    assert ["Error" in one for one in execute(moto, *statements[:2])] == [False, False]


def test_statement_on_no_table_fails_alone(moto):
    (answer,) = execute(moto, ('DELETE FROM "Nothing" WHERE "id"=?', {"S": "a"}))

    assert answer["Error"]["Code"] == "ResourceNotFound"


def delete_all(moto):
    sqs, url = moto.client("sqs"), moto.outputs["DeadLetterQueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_deduplication_id_is_remembered_for_five_minutes_after_the_message_is_deleted(moto):
    put_on_dlq(moto, "first", "g", "id")
    delete_all(moto)

    put_on_dlq(moto, "second", "g", "id")
    assert queued(moto, "DeadLetter") == []

    moto.elapse(301)
    put_on_dlq(moto, "third", "g", "id")
    assert [m["Body"] for m in queued(moto, "DeadLetter")] == ["third"]


def test_numbers_of_messages_grow(moto):
    send = moto.client("sqs").send_message
    url = moto.outputs["WorkQueueUrl"]

    numbers = [
        send(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId=str(n))[
            "SequenceNumber"
        ]
        for n in range(5)
    ]

    assert numbers == sorted(set(numbers))


def test_message_that_is_too_long_fails_alone(moto):
    entries = [
        {"Id": str(n), "MessageBody": "x" * size, "MessageGroupId": "g"}
        | {"MessageDeduplicationId": str(n)}
        for n, size in enumerate([1, 12_001])
    ]

    answer = moto.client("sqs").send_message_batch(
        QueueUrl=moto.outputs["WorkQueueUrl"], Entries=entries
    )

    assert [one["Id"] for one in answer["Successful"]] == ["0"]
    assert [(one["Id"], one["SenderFault"]) for one in answer["Failed"]] == [("1", True)]


@pytest.mark.parametrize("state", ["GuardLoop", "RedriveMessages", "DeleteDeadLetters"])
def test_execution_is_stopped_before_a_state(moto, state):
    message = transaction()
    dead_letter(moto, message)
    moto.before_state = lambda arn, entered: entered != state

    run = run_machine(moto, "redrive", {"request": {"max_messages": 1}})

    lane = ended(moto, leg_arn(moto, run.arn))
    assert lane.status == "ABORTED"
    assert state not in lane.states[:-1]
    assert (run.status, run.error) == ("FAILED", "LaneStopped")
    assert len(queued(moto, "DeadLetter")) == 1
    assert len(queued(moto, "Work")) == (state == "DeleteDeadLetters")
    assert row(moto, "Messages", message.message_id)["redrives"] == (state != "GuardLoop")


def test_mocked_state_meets_no_service(moto):
    dead_letter(moto, transaction())
    failed = [{"Throw": {"Error": "Sqs.Broken", "Cause": "made up"}}]

    run = run_machine(moto, "redrive", mocks={"ReceiveDeadLetters": failed})

    assert (run.status, run.error) == ("FAILED", "Sqs.Broken")
    assert run.states == [*START, "ReceiveDeadLetters", *GIVEN_BACK]
    assert queued(moto, "DeadLetter")[0]["ReceiveCount"] == 0


def test_execution_that_another_waits_for_runs_in_the_turn_of_that_one(moto):
    entered = []

    def note(arn, state):
        entered.append((arn, state))
        return True

    moto.before_state = note

    run = run_machine(moto, "redrive")

    leg = leg_arn(moto, run.arn)
    assert [state for _, state in entered if state != "RunLane"] == run.states
    assert {state for arn, state in entered if arn == leg} >= {"StartLeg", "SettleLeg"}
    assert moto.runs_a_lane(leg) == run.arn
    assert moto.runs_a_lane(run.arn) == ""


def test_legs_of_a_run_have_its_test_case_and_count_together(moto):
    """The lane's first receive fails, and the other leg's is its second."""
    dead_letter(moto, transaction())
    failed = [{"Throw": {"Error": "States.DataLimitExceeded", "Cause": "made up"}}]

    run = run_machine(moto, "redrive", mocks={"ReceiveDeadLetters": failed})

    assert (run.status, run.states.count("RunLanes")) == ("SUCCEEDED", 2)
    assert len(queued(moto, "Work")) == 1


ITEMS: dict[str, Any] = {
    "Type": "Map",
    "Items": [1, 2, 3],
    "ItemProcessor": {
        "StartAt": "First",
        "States": {
            "First": {"Type": "Pass", "Next": "Last"},
            "Last": {"Type": "Pass", "Output": "{% $states.input + 1 %}", "End": True},
        },
    },
    "End": True,
}


def map_items(moto, **changes):
    """Run a machine that is one Map of three items, in whose machine these states are others."""
    states = ITEMS["ItemProcessor"]["States"] | changes
    only = ITEMS | {"ItemProcessor": {"StartAt": "First", "States": states}}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Each", "States": {"Each": only}}
    stepfunctions = moto.client("stepfunctions")
    machine = stepfunctions.create_state_machine(
        name="map", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/m"
    )
    arn = stepfunctions.start_execution(
        stateMachineArn=machine["stateMachineArn"], name="once", input="{}"
    )["executionArn"]
    moto.run_executions()
    return stepfunctions.describe_execution(executionArn=arn), events(moto, arn)


def entered_in_turn(found):
    return [
        (event["stateEnteredEventDetails"]["name"], event["stateEnteredEventDetails"]["input"])
        for event in found
        if event["type"] == "PassStateEntered"
    ]


def test_items_take_turns_state_by_state(moto):
    ended, found = map_items(moto)

    assert json.loads(ended["output"]) == [2, 3, 4]
    assert entered_in_turn(found) == [
        (state, item) for state in ("First", "Last") for item in ("1", "2", "3")
    ]


def test_items_take_turns_in_an_order_of_choice(moto):
    asked = []

    def last_first(still_open, before):
        asked.append((still_open, before))
        return still_open[-1]

    moto.next_item = last_first

    ended, found = map_items(moto)

    assert json.loads(ended["output"]) == [2, 3, 4]
    assert entered_in_turn(found) == [
        (state, item) for item in ("3", "2", "1") for state in ("First", "Last")
    ]
    assert asked[0] == ([0, 1, 2], -1)
    assert ([0, 1], 2) in asked


def test_error_of_an_item_fails_its_map(moto):
    two = {"Condition": "{% $states.input = 2 %}", "Next": "Wrong"}
    first = {"Type": "Choice", "Default": "Last", "Choices": [two]}
    wrong = {"Type": "Fail", "Error": "Broken", "Cause": "made up"}

    ended, _ = map_items(moto, First=first, Wrong=wrong)

    assert (ended["status"], ended["error"]) == ("FAILED", "Broken")


@pytest.mark.parametrize("end", [False, TIMED_OUT])
def test_execution_is_ended_before_a_state_of_an_item(moto, end):
    moto.before_state = lambda arn, state: end if state == "Last" else True

    ended, found = map_items(moto)

    assert ended["status"] == (end or "ABORTED")
    assert entered_in_turn(found) == [("First", item) for item in ("1", "2", "3")]


def test_answer_of_a_nested_execution_has_the_names_and_times_that_aws_gives(moto):
    run = run_machine(moto, "redrive")

    (answer,) = (
        json.loads(event["taskSucceededEventDetails"]["output"])
        for event in events(moto, run.arn)
        if "startExecution" in event.get("taskSucceededEventDetails", {}).get("resource", "")
    )
    assert answer["ExecutionArn"] == leg_arn(moto, run.arn)
    assert (answer["Status"], answer["Output"]["lane"]["failure"]) == ("SUCCEEDED", "")
    assert {"Name", "Input", "StateMachineArn"} <= answer.keys()
    told = moto.client("stepfunctions").describe_execution(executionArn=answer["ExecutionArn"])
    for name in ("startDate", "stopDate"):
        assert answer[f"S{name[1:]}"] == pytest.approx(told[name].timestamp() * 1_000, abs=1)


def test_waiting_lets_time_pass_and_costs_none(moto):
    for _ in range(2):
        dead_letter(moto, transaction())
    request = {"max_messages": 2, "max_per_second": 0.1}

    run = run_machine(moto, "redrive", {"request": request})

    assert run.states.count("WaitForRate") <= 2  # ten seconds, in one go
    assert len(queued(moto, "Work")) == 2


def test_state_is_measured_in_bytes_of_utf_8(moto):
    moto.client("sqs").set_queue_attributes(
        QueueUrl=moto.outputs["DeadLetterQueueUrl"], Attributes={"MaximumMessageSize": "1048576"}
    )
    put_on_dlq(moto, "é" * 125_000, "g")  # 250,000 bytes; escaped, 750,000

    run = run_machine(moto, "redrive", {"request": {"max_messages": 1}})

    assert run.output["quarantined"] == 1


@pytest.mark.parametrize(
    ("error", "end"),
    [
        ("States.DataLimitExceeded", ["BeginRun", "FailRun", "RunFailed"]),
        ("States.Runtime", ["BeginRun"]),
    ],
)
def test_wildcard_catches_what_is_too_large_and_not_what_ends_an_execution(moto, error, end):
    throws = {"Throw": {"Error": error, "Cause": "made up"}}

    run = run_machine(moto, "redrive", {}, mocks={"BeginRun": [throws] * 6})

    assert (run.status, run.states) == ("FAILED", end)


BESIDE = {
    "text": {"DataType": "String.x", "StringValue": "é"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}
TRACE = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3f"}}


def received(moto, queue):
    (message,) = moto.client("sqs").receive_message(
        QueueUrl=moto.outputs[f"{queue}QueueUrl"],
        MessageSystemAttributeNames=["AWSTraceHeader"],
        MessageAttributeNames=["All"],
    )["Messages"]
    return message["MessageAttributes"], message["Attributes"]


def test_batch_keeps_system_attributes(moto):
    entry = {"Id": "0", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    beside = {"MessageAttributes": BESIDE, "MessageSystemAttributes": TRACE}
    url = moto.outputs["WorkQueueUrl"]

    moto.client("sqs").send_message_batch(QueueUrl=url, Entries=[entry | beside])

    assert received(moto, "Work") == (BESIDE, {"AWSTraceHeader": "Root=1-5759e988-bd862e3f"})


def test_binary_attributes_are_base64_in_a_state(moto):
    moto.client("sqs").send_message(
        QueueUrl=moto.outputs["DeadLetterQueueUrl"], MessageBody="hello", MessageGroupId="g",
        MessageDeduplicationId="d", MessageAttributes=BESIDE,
    )  # fmt: skip

    run = run_machine(moto, "redrive", {"request": {"max_messages": 1}})

    assert run.output["quarantined"] == 1
    (kept,) = (one for one in rows(moto) if one.get("body") == {"S": "hello"})
    assert kept["carried"]["M"]["bytes"] == {"S": "Binary\nAP8="}


def rows(moto):
    return moto.client("dynamodb").scan(TableName="Messages")["Items"]


@pytest.mark.parametrize(
    ("length", "attributes", "refused"),
    [
        (12_000 - 15, {"name": {"DataType": "String", "StringValue": "value"}}, False),
        (12_000 - 14, {"name": {"DataType": "String", "StringValue": "value"}}, True),
        (1, {f"a{n}": {"DataType": "Number", "StringValue": "1"} for n in range(10)}, False),
        (1, {f"a{n}": {"DataType": "Number", "StringValue": "1"} for n in range(11)}, True),
    ],
)
def test_attributes_count_as_size_and_are_ten_at_most(moto, length, attributes, refused):
    sqs, url = moto.client("sqs"), moto.outputs["WorkQueueUrl"]
    entry = {"MessageBody": "x" * length, "MessageGroupId": "g", "MessageAttributes": attributes}

    answer = sqs.send_message_batch(
        QueueUrl=url, Entries=[entry | {"Id": "0", "MessageDeduplicationId": "0"}]
    )
    assert bool(answer.get("Failed")) == refused
    with pytest.raises(sqs.exceptions.ClientError) if refused else nullcontext():
        sqs.send_message(QueueUrl=url, MessageDeduplicationId="1", **entry)
    assert len(queued(moto, "Work")) == (0 if refused else 2)


def test_history_is_told_in_pages_and_from_its_end(moto):
    arn = run_machine(moto, "redrive", {}).arn
    stepfunctions = moto.client("stepfunctions")
    whole = stepfunctions.get_execution_history(executionArn=arn, maxResults=1_000)["events"]

    first = stepfunctions.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=2)
    after = stepfunctions.get_execution_history(
        executionArn=arn, reverseOrder=True, maxResults=1_000, nextToken=first["nextToken"]
    )

    assert [event["id"] for event in first["events"]] == [whole[-1]["id"], whole[-2]["id"]]
    assert first["events"] + after["events"] == whole[::-1]
    assert "nextToken" not in after


def transacted(moto):
    """Let a transaction succeed and another fail; return rows and what the stream told of them."""
    put(moto, "Accounts", {"account_id": "a", "balance": 1, "log": ["x"], "of": {"n": 1}})
    update = {
        "TableName": "Messages",
        "Key": {"message_id": {"S": "m"}},
        "UpdateExpression": "SET #l = list_append(if_not_exists(#l, :none), :one), #s = :s",
        "ExpressionAttributeNames": {"#l": "journey", "#s": "status"},
        "ExpressionAttributeValues": {
            ":none": {"L": []}, ":one": {"L": [{"M": {"at": {"N": "1"}}}]}, ":s": {"S": "QUEUED"},
        },
    }  # fmt: skip
    check = {
        "TableName": "Accounts",
        "Key": {"account_id": {"S": "a"}},
        "ConditionExpression": "balance = :b",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    told: list[Any] = []
    for balance in ("1", "2", "1"):
        values = {":b": {"N": balance}}
        items = [{"Update": update},
                 {"ConditionCheck": check | {"ExpressionAttributeValues": values}}]  # fmt: skip
        try:
            moto.client("dynamodb").transact_write_items(TransactItems=items)
        except ClientError as error:
            told.append(error.response["CancellationReasons"])
        told.append(row(moto, "Messages", "m"))
    return [told, row(moto, "Accounts", "a"), moto.strange_moves()]


def told_of_a_run(moto):
    """Redrive a message; return which fields each event of the run and its lane has."""
    dead_letter(moto, transaction())
    run = run_machine(moto, "redrive")
    details = [
        {name: sorted(value) if isinstance(value, dict) else name for name, value in event.items()}
        for event in all_events(moto, run.arn)
    ]
    return [run.states, details, row(moto, "Runs", run.name).keys()]


@pytest.mark.parametrize("look", [transacted, told_of_a_run])
def test_what_makes_moto_quick_changes_no_answer(look):
    with MotoStack() as moto:
        quickly = look(moto)
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(quick, "patches", list))
        with MotoStack() as moto:
            slowly = look(moto)

    assert len(quickly) > 2
    assert quickly == slowly

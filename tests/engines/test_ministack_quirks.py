"""Why the quirks of MiniStack stand: each is shown made up for, and as MiniStack comes."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from threading import Barrier, BrokenBarrierError
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError
from ministack.core import iam_actions, lambda_runtime
from ministack.services import dynamodb, eventbridge, scheduler, stepfunctions

from local import ministack_lambda, ministack_quirks
from local.deadline import wait_until
from tests.support import aws_events


def http_get(running, path):
    try:
        with urlopen(running.api_url + path) as answer:  # noqa: S310 - our own stack
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def run_machine(running, machine_arn=None):
    states = running.client("stepfunctions")
    arn = states.start_execution(
        stateMachineArn=machine_arn or running.outputs["RetryStateMachineArn"]
    )["executionArn"]
    wait_until(
        lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING",
        20,
        "the execution ends",
    )
    return json.loads(states.describe_execution(executionArn=arn)["output"])


def test_quirks_are_of_this_version():
    assert version("ministack") == ministack_quirks.MINISTACK_VERSION


def test_sqs_tasks_keep_the_shape_that_aws_gives(small, bare):
    assert run_machine(small)["received"] == {}
    assert run_machine(bare)["received"] != {}, "no longer needed: the patch of sqs"


def test_error_of_a_lambda_has_the_name_of_its_class(small, bare):
    assert run_machine(small)["error"] == "AccountFrozen"
    assert run_machine(bare)["error"] != "AccountFrozen", "no longer needed: name_the_error"


def cold_starts(running):
    before = running.lambda_log().count("cold start")
    for _ in range(2):
        http_get(running, "/fail")
    return running.lambda_log().count("cold start") - before


def test_lambda_that_raised_stays_warm(small, bare):
    http_get(small, "/fail")

    assert cold_starts(small) == 0
    assert cold_starts(bare) > 0, "no longer needed: _keep_workers_as_aws_does"


def counted(running):
    """Return what 500 tasks of one machine have counted in one item, ten at a time."""
    table, key = running.outputs["UsersTableName"], {"email": {"S": str(uuid.uuid4())}}
    count = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:updateItem",
        "Arguments": {
            "TableName": table,
            "Key": key,
            "UpdateExpression": "ADD tasks :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        },
        "End": True,
    }
    every = {
        "Type": "Map",
        "Items": list(range(500)),
        "MaxConcurrency": 10,
        "ItemProcessor": {"StartAt": "Count", "States": {"Count": count}},
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Every", "States": {"Every": every}}
    machine = running.client("stepfunctions").create_state_machine(
        name=f"count-{uuid.uuid4()}",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::000000000000:role/machine",
    )
    run_machine(running, machine["stateMachineArn"])
    item = running.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
    return int(item["tasks"]["N"])


def test_dynamodb_tasks_lose_no_update(small):
    assert counted(small) == 500


def test_two_dynamodb_tasks_at_once_lose_an_update_in_ministack_as_it_comes(monkeypatch):
    """Both in threads, as those of executions, and held between an update's reading and writing.

    A bare stack loses updates, too, but only when a thread happens to be interrupted just there.
    """
    together, evaluate = Barrier(2), dynamodb._evaluate_condition

    def meet_and_evaluate(*given):
        try:
            together.wait(60)
        except BrokenBarrierError:
            pytest.fail("no longer needed: _do_dynamodb_tasks_in_turn")
        return evaluate(*given)

    monkeypatch.setattr(dynamodb, "_evaluate_condition", meet_and_evaluate)
    table = {"TableName": str(uuid.uuid4())}
    attributes = {"AttributeName": "email"}
    dynamodb._create_table(
        table
        | {"AttributeDefinitions": [attributes | {"AttributeType": "S"}]}
        | {"KeySchema": [attributes | {"KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
    )
    count = table | {
        "Key": {"email": {"S": "x"}},
        "UpdateExpression": "ADD tasks :one",
        "ConditionExpression": "attribute_not_exists(gone)",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(stepfunctions._invoke_dynamodb, ["updateItem"] * 2, [count, dict(count)]))

    item = stepfunctions._invoke_dynamodb("getItem", table | {"Key": count["Key"]})["Item"]
    assert item["tasks"] == {"N": "1"}, "no longer needed: _do_dynamodb_tasks_in_turn"


def test_failed_lambda_is_answered_by_the_gateway_response(small, bare):
    assert http_get(small, "/fail") == (502, {"error": "internal"})
    assert "two lines" in str(http_get(bare, "/fail")), "no longer needed: _LambdaFailed"


def test_gateway_responses_of_the_template_are_used(small, bare):
    assert http_get(small, "/none") == (404, {"error": "no such route"})
    assert http_get(bare, "/none")[0] == 403, "no longer needed: import_gateway_responses"


def variables(running):
    functions = running.client("lambda").list_functions()["Functions"]
    (function,) = (f for f in functions if "Unused" in f["FunctionName"])
    return function["Environment"]["Variables"]


def test_numbers_in_the_environment_of_a_lambda_are_strings(small, bare):
    assert variables(small)["NUMBER"] == "7"
    assert variables(bare)["NUMBER"] == 7, "no longer needed: create_function_with_strings"


def test_reference_to_a_secret_is_its_arn(small, bare):
    arn = variables(small)["SECRET"]
    assert arn.startswith("arn:aws:secretsmanager:")
    assert small.client("secretsmanager").get_secret_value(SecretId=arn)["ARN"] == arn
    assert ":" not in variables(bare)["SECRET"], "no longer needed: create_secret_known_by_arn"


def appended(running, attribute, *, added):
    """Append to a list as the redrive machine does; return the answer and the row."""
    table, key = running.outputs["UsersTableName"], {"email": {"S": attribute}}
    client = running.client("dynamodb")
    client.put_item(
        TableName=table,
        Item=key
        | {"log": {"L": [{"S": "first"}]}, "status": {"S": "old"}, "count": {"N": "1"}}
        | {"text": {"S": "no list"}, "gone": {"S": "?"}},
    )
    statement = (  # names are no parameters in PartiQL; these are ours
        f'UPDATE "{table}" SET "status"=? SET "{attribute}"=list_append("{attribute}", ?)'  # noqa: S608
        ' SET "count"="count"+1 REMOVE "gone" WHERE "email"=? AND "count"<? AND "status"<>?'
    )
    values = [{"S": "new"}, added, key["email"], {"N": "2"}, {"S": "new"}]
    answers = [
        client.batch_execute_statement(Statements=[{"Statement": statement, "Parameters": values}])
        for _ in range(2)
    ]
    item = client.get_item(TableName=table, Key=key)["Item"]
    return [answer["Responses"][0] for answer in answers], item


def test_partiql_appends_to_a_list(small, bare):
    event = {"M": {"event": {"S": "redriven"}, "number": {"N": "1"}}}

    (first, second), row = appended(small, "log", added={"L": [event]})

    assert "Error" not in first
    assert second["Error"]["Code"] == "ConditionalCheckFailed"
    assert row["log"] == {"L": [{"S": "first"}, event]}
    assert (row["status"], row["count"]) == ({"S": "new"}, {"N": "2"})
    assert "gone" not in row
    refused = appended(bare, "log", added={"L": [event]})[0][0]
    assert "Unsupported" in refused["Error"]["Message"], "no longer needed: _append_to_lists"


@pytest.mark.parametrize(
    ("attribute", "added", "says"),
    [
        ("none", {"L": []}, "does not exist"),
        ("text", {"L": []}, "incorrect data type"),
        ("log", {"S": "a"}, "incorrect data type"),
    ],
)
def test_partiql_appends_to_nothing_but_lists(small, attribute, added, says):
    (answer, _), row = appended(small, attribute, added=added)

    assert answer["Error"]["Code"] == "ValidationError"
    assert says in answer["Error"]["Message"]
    assert row["status"] == {"S": "old"}


def named_twice(running):
    """Name one item twice in a batch, another once between; return the error and the items."""
    table, keys = running.outputs["UsersTableName"], [str(uuid.uuid4()) for _ in range(2)]
    client = running.client("dynamodb")
    client.put_item(TableName=table, Item={"email": {"S": keys[0]}})
    insert = f"INSERT INTO \"{table}\" VALUE {{'count': ?, 'email': ?}}"
    update = f'UPDATE "{table}" SET "count"=? WHERE "email"=?'  # noqa: S608
    delete = f'DELETE FROM "{table}" WHERE "email"=?'  # noqa: S608
    statements = [
        {"Statement": update, "Parameters": [{"N": "7"}, {"S": keys[0]}]},
        {"Statement": insert, "Parameters": [{"N": "7"}, {"S": keys[1]}]},
        {"Statement": delete, "Parameters": [{"S": keys[0]}]},
    ]
    error = None
    try:
        client.batch_execute_statement(Statements=statements)
    except client.exceptions.ClientError as refused:
        error = refused.response["Error"]
    items = [client.get_item(TableName=table, Key={"email": {"S": key}}) for key in keys]
    once = client.batch_execute_statement(Statements=statements[:2])["Responses"]
    return error, [item.get("Item") for item in items], [one.get("Error") for one in once]


def test_batch_that_names_an_item_twice_is_refused_whole(small, bare):
    error, (first, second), once = named_twice(small)

    assert (error["Code"], error["Message"]) == (
        "ValidationException",
        "Provided list of item keys contains duplicates",
    )
    assert (set(first), second, once) == ({"email"}, None, [None, None])
    assert named_twice(bare)[0] is None, "no longer needed: _refuse_one_item_twice_as_aws_does"


@pytest.mark.parametrize(
    ("message", "log", "name"),
    [
        (
            "m",
            "Traceback\n  File\nworkflows.messages.transaction.AccountFrozen: m",
            "AccountFrozen",
        ),
        ("", "Traceback\n  File\nKeyboard", "Keyboard"),
        ("a\nb: c\n", "x\nRuntimeError: 1\n\nDuring\n\npkg.f.<locals>.Odd: a\nb: c\n", "Odd"),
        ("Worker process died", "", "Runtime.ExitError"),
        ("m", "no traceback at all", "Runtime.HandlerError"),
    ],
)
def test_error_name_is_read_from_the_traceback(message, log, name):
    body = {"errorMessage": message, "errorType": "Runtime.HandlerError"}

    named = ministack_lambda.name_the_error({"error": True, "body": body, "log": log})

    assert named["body"]["errorType"] == name


def test_worker_for_node_ends_each_trace_with_the_name_of_the_error():
    script = lambda_runtime._NODEJS_WORKER_SCRIPT
    assert ".name" not in script.rpartition("trace: ")[2], "no longer needed"

    patched = ministack_lambda.with_names_of_errors(script)

    ends = ["\\n${err.name}: ${err.message}`", "\\n${e.name}: ${e.message}`"]
    assert [patched.count(end) for end in ends] == [1, 1]


def test_result_without_an_error_is_left_alone():
    result = {"body": {"errorType": "Runtime.HandlerError"}, "log": ""}

    assert ministack_lambda.name_the_error(result) is result


@pytest.mark.parametrize("action", ["SendMessage", "DeleteMessage", "ChangeMessageVisibility"])
def test_batch_is_authorized_like_one_message(action):
    extract = iam_actions.extract_iam_action
    target = {"x-amz-target": f"AmazonSQS.{action}Batch"}
    request: Any = ("sqs", "POST", "/", target, b"{}", {})

    as_aws = ministack_quirks.authorize_batches_as_aws_does(extract)
    assert as_aws(*request) == f"sqs:{action}"
    assert extract(*request) == f"sqs:{action}Batch", "no longer needed"


STATEMENTS = {
    'UPDATE "Messages" SET "status"=? REMOVE "from" WHERE "message_id"=?': "Update",
    "INSERT INTO \"Messages\" VALUE {'message_id':?}": "Insert",
    'DELETE FROM "Messages" WHERE "message_id"=?': "Delete",
    'SELECT "body" FROM "Messages"': "Select",
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement_of_a_batch_is_authorized_by_itself_on_its_table(statement):
    checks = iam_actions.dynamodb_transaction_checks
    body = json.dumps({"Statements": [{"Statement": statement}] * 2}).encode()
    request = ("dynamodb:BatchExecuteStatement", body, "us-east-1", "123456789012")

    as_aws = ministack_quirks.authorize_statements_as_aws_does(checks)
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/Messages"
    assert as_aws(*request) == [(f"dynamodb:PartiQL{STATEMENTS[statement]}", table)] * 2
    assert checks(*request) == [], "no longer needed"


def test_transaction_is_authorized_as_before():
    checks = iam_actions.dynamodb_transaction_checks
    body = json.dumps({"TransactItems": [{"Put": {"TableName": "Messages"}}]}).encode()
    request = ("dynamodb:TransactWriteItems", body, "us-east-1", "123456789012")

    assert ministack_quirks.authorize_statements_as_aws_does(checks)(*request) == checks(*request)


def notified(monkeypatch):
    """Return what a schedule without an Input, due since long, sends to a function."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        eventbridge, "_dispatch_to_lambda", lambda _, payload: sent.append(json.loads(payload))
    )
    target = {"Arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "RoleArn": "r"}
    due = {"ScheduleExpression": "at(2020-01-01T00:00:00)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    scheduler._create_schedule(str(uuid.uuid4()), due | {"Target": target})
    scheduler._tick_schedules()
    (event,) = sent
    return event


def test_schedule_without_an_input_sends_its_detail_as_a_text(monkeypatch):
    assert notified(monkeypatch)["detail"] == {}, "no longer needed: _notify_of_schedules"

    monkeypatch.setattr(eventbridge, "_invoke_target", eventbridge._invoke_target)
    ministack_quirks._notify_of_schedules_as_aws_does(eventbridge)
    found, recorded = notified(monkeypatch), aws_events.schedule_notification()
    assert found.keys() == recorded.keys()
    for name in ("version", "detail-type", "source", "detail"):
        assert found[name] == recorded[name]


def test_ids_that_sqs_does_not_take_are_refused(small, bare):
    def receive(running):
        return running.client("sqs").receive_message(
            QueueUrl=running.outputs["WorkQueueUrl"], ReceiveRequestAttemptId="rückführung-0"
        )

    with pytest.raises(ClientError, match="InvalidParameterValue"):
        receive(small)
    assert receive(bare), "no longer needed: _with_legal_ids"


def test_names_that_no_execution_may_have_are_refused(small, bare):
    def start(running):
        return running.client("stepfunctions").start_execution(
            stateMachineArn=running.outputs["RetryStateMachineArn"], name="a/b"
        )

    with pytest.raises(ClientError, match="InvalidName"):
        start(small)
    assert start(bare), "no longer needed: _refuse_names"

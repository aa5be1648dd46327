"""Every event that AWS sends, through the handler that gets it: no shape of it may fail one."""

import importlib
import json
from typing import Any

import pytest

from lambdas import consume_messages, log_in, recover_executions
from tests.support import aws_events
from tests.support.aws_events import bare, binary, in_base64, sqs_event, sqs_record, status_change
from tests.support.aws_events import text as text_attribute
from tests.support.fenced_group import GROUP, fail, generations, row, stop_executions
from tests.support.invocations import CONTEXT
from tests.support.messages import a_message
from tests.support.template import template

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "token_key", "recursion_limit")


# --- The sweep ----------------------------------------------------------------------------------


def an_input(**changes):
    return json.dumps({"group_id": GROUP, "message_id": "m", "generation": 1} | changes)


SWEEPS: dict[str, Any] = {
    "the schedule's input": aws_events.sweep_input(),
    "a schedule without an input": aws_events.schedule_notification(),
    "an execution whose input was left out": status_change(None),
    "a run's end": status_change('{"trigger": "api", "request": {}}', machine="redrive"),
    "a console's empty input": status_change("{}"), "a console's list": status_change("[1]"),
    "a console's null": status_change("null"),
    "a group that is no text": status_change(an_input(group_id=7)),
    "a group that is nothing": status_change(an_input(group_id="")),
    "a group that no message can have": status_change(an_input(group_id="rück " + 300 * "x")),
    "no input at all": {}, "an input that is a text": "sweep", "an input that is null": None,
}  # fmt: skip


@pytest.mark.parametrize("event", SWEEPS.values(), ids=SWEEPS)
def test_whatever_names_no_group_lets_the_sweep_look_at_everything(event):
    fail()
    stop_executions()

    assert recover_executions.handler(event, CONTEXT)["groups"] == [GROUP]
    assert generations() == ["0-g1", "0-g2"]


@pytest.mark.parametrize("status", ["ABORTED", "FAILED", "TIMED_OUT"])
def test_end_of_an_execution_recovers_the_group_that_its_input_names(status):
    fail()
    stop_executions()
    other = status_change(an_input(group_id="other"), status)

    assert recover_executions.handler(other, CONTEXT)["groups"] == []
    ours = status_change(an_input(), status)
    assert recover_executions.handler(ours, CONTEXT)["groups"] == [GROUP]


# --- The API ------------------------------------------------------------------------------------

ROUTES = [
    (properties["Handler"].removesuffix(".handler"), *place)
    for resource in template()["Resources"].values()
    if resource["Type"] == "AWS::Serverless::Function"
    for properties in [resource["Properties"]]
    for event in properties.get("Events", {}).values()
    if event["Type"] == "Api"
    for place in [(event["Properties"]["Method"].upper(), event["Properties"]["Path"])]
]
WITH_A_BODY = [route for route in ROUTES if route[1] in ("POST", "PATCH")]
SIGNING_IN = {"email": "a@example.com", "password": "at-least-12-characters"}


def answer(module, event):
    found = importlib.import_module(module).handler(event, CONTEXT)
    is_json = found["multiValueHeaders"]["Content-Type"] == ["application/json"]
    return found["statusCode"], json.loads(found["body"]) if is_json else found["body"]


@pytest.mark.parametrize(("module", "method", "path"), ROUTES)
def test_every_route_answers_a_request_without_headers_query_and_body(module, method, path):
    status, body = answer(module, bare(aws_events.api_request(method, path)))

    assert status < 500, body
    if method in ("POST", "PATCH", "DELETE"):
        assert status == 202 or body["error"]["code"]


@pytest.mark.parametrize(("module", "method", "path"), WITH_A_BODY)
def test_every_route_reads_a_body_that_comes_in_base64(module, method, path):
    request = aws_events.api_request(method, path, {"no such field": "ü"})

    status, body = answer(module, in_base64(request))

    assert (status, body) == answer(module, request)
    assert body["error"]["code"] == "invalid_request"


def test_what_comes_in_base64_is_understood():
    request = aws_events.api_request("POST", "/users/login", SIGNING_IN, roles=())

    status, body = answer(log_in.__name__, in_base64(request))

    assert (status, body["error"]["code"]) == (401, "wrong_credentials")


@pytest.mark.parametrize("sent", [b"\xff\xfe{}", b"\x1f\x8b\x08binary"])
@pytest.mark.parametrize(("module", "method", "path"), WITH_A_BODY)
def test_bytes_that_are_no_text_are_refused(module, method, path, sent):
    request = in_base64(aws_events.api_request(method, path), sent)

    status, body = answer(module, request)

    assert (status, body["error"]["code"]) == (422, "invalid_request")
    assert body["error"]["details"]["fields"] == [
        {"field": "body", "problem": "not JSON: no text in UTF-8"}
    ]


# --- The work queue -----------------------------------------------------------------------------


def test_consumer_reads_a_batch_with_fifo_and_binary_attributes():
    attributes = {"bytes": binary(b"\x00\xff"), "text": text_attribute("ü")}
    messages = [a_message(message_id=f"{GROUP}-{number}") for number in (1, 2)]
    records = [
        sqs_record(message.body(), message.group_id, number, attributes)
        for number, message in enumerate(messages)
    ]
    foreign = sqs_record("not an envelope", "foreign", 2, attributes)

    found = consume_messages.handler(sqs_event(*records, foreign), CONTEXT)

    assert found == {"batchItemFailures": []}
    assert [row(number)["status"] for number in (1, 2)] == ["PROCESSED", "PROCESSED"]

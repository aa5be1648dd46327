"""The size of a request's body: what is too large is refused before anything reads it."""

import base64
import json

import pytest

from lambdas import api, show_docs
from tests.support.cloud import audited
from tests.support.invocations import CONTEXT, api_event
from tests.support.pairs import STANDARD
from tests.support.template import template
from tests.support.troubles import in_trouble, row
from workflows.operator import edit_letter
from workflows.queues import registry
from workflows.queues.letters import hash_of

MOST = 262_144
EDIT = ("PATCH", "/messages/{message_id}")
EDIT_MOST = 1_048_576
WITH_BODY = [
    (method.upper(), path)
    for path, methods in json.loads(
        show_docs.handler(api_event("GET", "/openapi.json", roles=()), CONTEXT)["body"]
    )["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
]


def call(method, resource, body, *, in_base64=False, message_id="m-1"):
    path = resource.replace("{message_id}", message_id)
    event = api_event(
        method, path, resource=resource, roles=("operator",), path_parameters={"message_id": "m-1"}
    )
    sent = base64.b64encode(body.encode()).decode() if in_base64 else body
    answer = show_docs.handler(event | {"body": sent, "isBase64Encoded": in_base64}, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


def of_size(size):
    """Return a JSON object of that many bytes, with an accent in it."""
    found = json.dumps({"é": ""}, ensure_ascii=False)
    return found[:-2] + "x" * (size - len(found.encode())) + '"}'


@pytest.mark.parametrize("in_base64", [False, True])
@pytest.mark.parametrize(("method", "resource"), WITH_BODY)
def test_larger_body_is_413_and_is_not_parsed(method, resource, in_base64, monkeypatch, tables):
    monkeypatch.setattr(api, "loads", lambda _: pytest.fail("it was parsed"))
    most = EDIT_MOST if (method, resource) == EDIT else MOST

    status, body = call(method, resource, of_size(most + 1), in_base64=in_base64)

    assert (status, body["error"]["code"]) == (413, "body_too_large")
    assert f"{most + 1} bytes" in body["error"]["message"]
    assert str(most) in body["error"]["message"]
    assert body["trace_id"] == "request-1"
    assert set(body) == {"error", "trace_id"}
    assert audited() == []


@pytest.mark.parametrize(("method", "resource"), WITH_BODY)
def test_largest_body_is_read(method, resource, tables, queues, machines):
    most = EDIT_MOST if (method, resource) == EDIT else MOST

    status, body = call(method, resource, of_size(most))

    assert (status, body["error"]["code"]) == (422, "invalid_request")


def test_just_one_route_takes_more_and_it_is_in_the_template():
    events = [
        event["Properties"]
        for resource in template()["Resources"].values()
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    ]

    assert set(api.LARGER_BODY_BYTES) == {EDIT}
    assert EDIT in {(event["Method"].upper(), event["Path"]) for event in events}


def test_worst_body_of_unknown_fields_names_twenty_and_says_how_many_more():
    """450,000 of them made an answer of 51 MB from 794 MB of memory."""
    many = "{" + ",".join(f'"{number:x}":1' for number in range(110_000)) + "}"
    assert 0.9 * EDIT_MOST < len(many) <= EDIT_MOST

    status, body = call(*EDIT, many)

    details = body["error"]["details"]
    assert (status, len(details["fields"])) == (422, 20)
    assert details["more"] == 110_000 - 20
    assert len(json.dumps(body)) < 5_000


def test_largest_message_that_can_be_edited_can_be_sent_in_escapes(tables, queues):
    for name in ("orders", "orders-dead"):
        queues.create_queue(QueueName=name, Attributes={"MaximumMessageSize": str(EDIT_MOST)})
    registry.register(STANDARD, "o")
    message_id, before = "sqs:orders:o-1", '{"id": "o-1"}'
    in_trouble(
        message_id=message_id, body=before, payload_hash=hash_of(before), carried={}, redrives=1,
        letter_id="sqs-1", meaning_hash=None,
    )  # fmt: skip
    text = "é" * ((edit_letter.BODIES_BYTES - 200) // 2)

    status, body = call(*EDIT, json.dumps({"body": text}), message_id=message_id)

    assert status == 200, body
    assert row(message_id)["body"] == text

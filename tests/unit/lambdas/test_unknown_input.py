"""Unknown input: no route passes over a parameter or a field that it does not know, or guesses."""

import json
from unittest.mock import Mock

import pytest

from lambdas import show_docs
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_transaction
from tests.support.template import template
from tests.support.troubles import in_trouble, row
from workflows.redrive.requests import RedriveRequest
from workflows.runtime import asked
from workflows.runtime.asked import names

DOCS = ("/docs", "/openapi.json")
ROUTES = [
    (event["Properties"]["Method"].upper(), event["Properties"]["Path"])
    for resource in template()["Resources"].values()
    for event in resource["Properties"].get("Events", {}).values()
    if event["Type"] == "Api" and event["Properties"]["Path"] not in DOCS
]
BODIES = {
    "/users/login": {"email": "o@example.com", "password": "correct horse"},
    "/messages/send": {"type": "transaction", "payload": a_transaction()},
    "/messages/discard": {"filter": {"reason": "AccountFrozen"}, "reason": "why"},
    "/messages/{message_id}/discard": {"reason": "why"},
    "/messages/{message_id}": {"payload": a_transaction()},
    "/messages": {"filter": {"reason": "AccountFrozen"}, "merge": {"currency": "EUR"}},
    "/messages/retry": {"filter": {"reason": "AccountFrozen"}},
    "/messages/{message_id}/retry": {},
    "/messages/dlq/reprocess": {"filter": {"reason": "AccountFrozen"}},
    "/types/{type}": {"function": "ship-order"},
    "/queues/{queue}": {"source_queue": "team-a", "dead_letter_queue": "team-a-dead"},
}


@pytest.fixture(autouse=True)
def _cloud(tables, queues, machines):
    """Have something on which a request that is understood would act."""
    in_trouble()


def call(method, resource, body=None, query=None):
    path = resource.replace("{message_id}", "m-1").replace("{run_id}", "run-1")
    path = path.replace("{group_id}", "acc-1")
    roles = ("producer", "operator")
    event = api_event(method, path, body, query=query, resource=resource, roles=roles)
    return answered(event)


def answered(event):
    answer = show_docs.handler(event, CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


def refused(answer):
    """Return the fields that an answer refuses, and why; nothing has happened."""
    status, body = answer
    assert (status, body["error"]["code"]) == (422, "invalid_request")
    assert row()["status"] == "DEAD"
    return {found["field"]: found["problem"] for found in body["error"]["details"]["fields"]}


def body_of(method, resource):
    return BODIES.get(resource) if method in ("POST", "PATCH", "PUT") else None


@pytest.mark.parametrize(("method", "resource"), ROUTES)
def test_every_route_refuses_a_parameter_that_it_does_not_know(method, resource):
    found = refused(call(method, resource, body_of(method, resource), {"nonsense": "1"}))

    assert list(found) == ["query.nonsense"]
    assert found["query.nonsense"].startswith("is not known")


@pytest.mark.parametrize(("method", "resource"), ROUTES)
def test_every_route_refuses_a_field_that_it_does_not_know(method, resource):
    found = refused(call(method, resource, (body_of(method, resource) or {}) | {"nonsense": 1}))

    assert next(iter(found.values())).startswith("is not known")
    assert list(found) == ["body.nonsense" if body_of(method, resource) is not None else "body"]


@pytest.mark.parametrize(
    ("resource", "name", "meant"),
    [
        ("/messages/dlq", "group", "group_id"),
        ("/messages/dlq", "Reason", "reason"),
        ("/messages/dlq", "older-than", "older_than"),
        ("/messages/quarantine", "finger_print", "fingerprint"),
        ("/messages/dlq/reprocess", "limits", "limit"),
        ("/groups", "fence", "fenced"),
        ("/audit", "messageId", "message_id"),
        ("/audit", "form", "from"),
    ],
)
def test_nearest_known_parameter_is_named(resource, name, meant):
    found = refused(call("GET", resource, query={name: "x"}))

    assert found == {f"query.{name}": f"is not known; did you mean {meant}?"}


@pytest.mark.parametrize(
    ("body", "field", "meant"),
    [
        ({"dryrun": True}, "dryrun", "dry_run"),
        ({"Filter": {}}, "Filter", "filter"),
        ({"max_persecond": 5}, "max_persecond", "max_per_second"),
        ({"reason": "AccountFrozen"}, "reason", "filter.reason"),
        ({"message_ids": ["none"]}, "message_ids", "filter.message_ids"),
        ({"filter": {"message_id": ["none"]}}, "filter.message_id", "message_ids"),
        ({"canary": {"messages": 1, "watch_second": 9}}, "canary.watch_second", "watch_seconds"),
    ],
    ids=str,
)
def test_nearest_known_field_is_named(body, field, meant):
    found = refused(call("POST", "/messages/dlq/reprocess", body))

    assert found[f"body.{field}"] == f"is not known; did you mean {meant}?"


def test_nearest_known_field_of_a_payload_is_named():
    payload = a_transaction() | {"amuont": 1}

    status, answer = call("POST", "/messages/send", {"type": "transaction", "payload": payload})

    assert (status, answer["error"]["code"]) == (422, "invalid_message")
    assert answer["error"]["message"] == "amuont: is not known; did you mean amount?"


def test_what_resembles_nothing_is_told_what_is_known():
    found = refused(call("GET", "/groups", query={"xyz": "1"}))

    assert found == {"query.xyz": "is not known; known are fenced, limit, cursor"}
    assert refused(call("GET", "/messages/status", query={"x": "1"})) == {
        "query.x": "is not known; known are queue"
    }


@pytest.mark.parametrize("place", ["body", "query"])
def test_answer_names_the_first_problems_and_how_many_more_there_are(place, monkeypatch):
    """45,000 unknown fields made an answer of 6 MB; `test_body_size` has as many as fit."""
    compared = Mock(return_value=[])
    monkeypatch.setattr(asked, "get_close_matches", compared)
    many = {f"{number:05}" + "x" * 99: "1" for number in range(2_000 if place == "body" else 90)}
    status, answer = (
        call("POST", "/users/login", {"email": "o@example.com", "password": "secret"} | many)
        if place == "body"
        else call("GET", "/groups", query=many)
    )

    error = answer["error"]
    assert (status, error["code"]) == (422, "invalid_request")
    assert [len(found["field"]) for found in error["details"]["fields"]] == [len(place) + 65] * 20
    assert error["details"]["more"] == len(many) - 20
    assert error["message"].endswith(f"; and {len(many) - 20} more")
    assert compared.call_count == 20


def test_parameter_that_is_given_twice_is_refused():
    event = api_event("GET", "/messages/dlq", query={"reason": "AccountFrozen"})
    event["multiValueQueryStringParameters"] = {"reason": ["KeyError", "AccountFrozen"]}

    assert list(refused(answered(event))) == ["query.reason"]


@pytest.mark.parametrize("limit", ["1_0", "5.0", "+5", " 5", "٥", "5e0", "true", ""])
@pytest.mark.parametrize("resource", ["/messages/dlq", "/groups", "/audit"])
def test_number_in_a_query_is_written_in_digits(resource, limit):
    assert list(refused(call("GET", resource, query={"limit": limit}))) == ["query.limit"]


GUESSED = [
    ("/messages/dlq/reprocess", {"dry_run": "yes"}, "dry_run"),
    ("/messages/dlq/reprocess", {"dry_run": 1}, "dry_run"),
    ("/messages/dlq/reprocess", {"max_messages": "5"}, "max_messages"),
    ("/messages/dlq/reprocess", {"max_messages": True}, "max_messages"),
    ("/messages/dlq/reprocess", {"max_messages": 5.0}, "max_messages"),
    ("/messages/dlq/reprocess", {"max_per_second": "5"}, "max_per_second"),
    ("/messages/dlq/reprocess", {"max_per_second": True}, "max_per_second"),
    ("/messages/dlq/reprocess", {"canary": {"messages": "1", "watch_seconds": 1}}, "messages"),
    ("/messages/retry", {"filter": {}, "limit": "1"}, "limit"),
    ("/messages/retry", {"filter": {}, "reset_redrives": "true"}, "reset_redrives"),
    ("/messages/{message_id}/retry", {"reset_redrives": 1}, "reset_redrives"),
    ("/messages/{message_id}/retry", {"reset_redrives": "on"}, "reset_redrives"),
]


@pytest.mark.parametrize(("resource", "body", "field"), GUESSED, ids=str)
def test_no_text_or_truth_value_is_taken_for_another_type(resource, body, field):
    (found,) = refused(call("POST", resource, body))

    assert found.endswith(f".{field}")


@pytest.mark.parametrize("body", ["", " ", "{}", "null"])
def test_request_that_takes_no_body_may_have_an_empty_one(body):
    assert call("GET", "/messages/{message_id}", body)[0] == 200


def test_whole_request_of_a_run_is_understood():
    full = {
        "filter": {"message_ids": ["none"], "older_than": "1h"},
        "max_messages": 1,
        "max_per_second": 1,
        "canary": {"messages": 1, "watch_seconds": 1, "max_failures": 0},
        "dry_run": True,
        "plan_hash": None,
    }

    assert call("POST", "/messages/dlq/reprocess", full)[0] == 200


def test_description_says_that_no_other_fields_are_taken():
    document = json.loads(
        show_docs.handler(api_event("GET", "/openapi.json", roles=()), CONTEXT)["body"]
    )
    schemas = document["components"]["schemas"]
    seen: set[str] = set()

    def check(node):
        for part in node.values() if isinstance(node, dict) else node:
            if isinstance(part, dict | list):
                check(part)
        name = node.get("$ref", "").rpartition("/")[2] if isinstance(node, dict) else ""
        if name and name not in seen:
            seen.add(name)
            if "oneOf" not in schemas[name]:  # whose parts say so themselves
                assert schemas[name]["additionalProperties"] is False, name
            check(schemas[name])

    for methods in document["paths"].values():
        for operation in methods.values():
            check(operation.get("requestBody", {}))
    assert {"Filter", "Canary", "RedriveRequest", "SendRequest", "Login"} <= seen


def test_names_are_known_by_where_they_belong():
    known = names(RedriveRequest | None)

    assert known["filter"] == "filter"
    assert known["reason"] == "filter.reason"
    assert known["watch_seconds"] == "canary.watch_seconds"
    assert names(RedriveRequest, ["filter"])["reason"] == "reason"
    assert names(RedriveRequest, ["filter", "payload"]) == {}

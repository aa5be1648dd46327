"""The routes of message types by their events: answers, refusals, who may, what is recorded."""

import json
from typing import Any

import pytest

from lambdas import register_types, show_types
from tests.support.accounts import freeze
from tests.support.cloud import ACCOUNT, REGION, audited
from tests.support.effects import EffectError, Functions
from tests.support.fenced_group import consume_all
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message
from tests.support.troubles import in_trouble
from workflows.consume import Delivery
from workflows.messages import registered_types

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:team-ship"
LEAST = {"function": "team-ship"}
NO_NAME = "type: must have 1 to 64 letters"
SCHEMA = {"type": "object", "properties": {"total": {"minimum": 0.5}}}
ALL: dict[str, Any] = {
    "function": f"{ARN}:live",
    "schema": SCHEMA,
    "group": "customer.id",
    "max_age_seconds": 3_600,
    "invalid_errors": ["OrderCancelled"],
}


@pytest.fixture(autouse=True)
def functions(environment):
    return Functions()


def call(module, method, name=None, body=None, query=None, role="operator"):
    path, resource = ("/types", "/types") if name is None else (f"/types/{name}", "/types/{type}")
    event = api_event(
        method, path, body, roles=(role,), email="o@example.com", query=query, resource=resource,
        path_parameters={"type": name} if name else None,
    )  # fmt: skip
    answer = module.handler(event, CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


def put(name="order", body=None, **options):
    return call(register_types, "PUT", name, LEAST if body is None else body, **options)


def delete(name="order", query=None, **options):
    return call(register_types, "DELETE", name, query=query, **options)


def get(name=None, role="producer"):
    return call(show_types, "GET", name, role=role)


def code(answer):
    return answer[0], answer[1]["error"]["code"]


def test_type_is_registered_once_and_then_changed_wholly(functions):
    assert put(body=ALL) == (201, ALL | {"type": "order"})
    assert functions.dry == [f"{ARN}:live"]
    assert functions.events == []

    status, answer = put()

    assert status == 200
    assert answer == {
        "type": "order", "function": ARN, "schema": None, "group": None, "max_age_seconds": None,
        "invalid_errors": [],
    }  # fmt: skip
    assert get("order") == (200, answer)
    assert [one["type"] for one in get()[1]["types"]] == ["transaction", "order"]
    assert put()[0] == 200
    records = [record for record in audited() if record["action"] == "register_type"]
    assert [one["result"] for one in records] == ["REGISTERED", "CHANGED", "UNCHANGED"]
    assert len(records[0]["input"].pop("schema_hash")) == 64
    asked = {name: value for name, value in ALL.items() if name != "schema"}
    assert records[0]["input"] == asked | {"type": "order"}


def test_built_in_type_is_shown_and_stays_as_it_is():
    assert get("transaction")[1]["schema"]["required"][0] == "account_id"
    assert code(put("transaction")) == (409, "built_in_type")
    assert code(delete("transaction")) == (409, "built_in_type")


@pytest.mark.parametrize("module", [register_types, show_types])
def test_type_that_nobody_registered_is_not_there(module):
    method, role = ("DELETE", "operator") if module is register_types else ("GET", "producer")
    for name in ("order", "no%20name", "a" * 65):
        assert code(call(module, method, name, role=role)) == (404, "unknown_type")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"function": "arn:aws:lambda:eu-west-9:123456789012:function:x"}, "function"),
        ({"function": "arn:aws:sqs:us-east-1:123456789012:team-ship"}, "function"),
        ({"function": "a b"}, "function"), ({"function": None}, "function"),
        ({"schema": {"type": "no"}}, "schema"), ({"schema": False}, "schema"),
        ({"schema": {"$ref": "https://example.com"}}, "schema"),
        ({"group": "customer["}, "group"), ({"group": "map(&a, b)"}, "group"),
        ({"group": "a" * 513}, "group"), ({"max_age_seconds": 0}, "max_age_seconds"),
        ({"max_age_seconds": "9"}, "max_age_seconds"), ({"invalid_errors": ["a b"]}, "invalid_er"),
        ({"invalid_errors": ["E"] * 21}, "invalid_errors"), ({"functions": "x"}, "functions"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(change, field):
    status, answer = put(body=LEAST | change)

    assert status == 422
    assert field in answer["error"]["message"]
    assert registered_types.every() == []


@pytest.mark.parametrize("name", ["-a", "a" * 65, "a%20b", "%2F"])
def test_name_that_no_message_could_have_is_refused(name):
    status, answer = put(name)
    assert (status, answer["error"]["message"][: len(NO_NAME)]) == (422, NO_NAME)


@pytest.mark.parametrize(
    ("function", "refused", "error", "says"),
    [
        ("others", None, "permission_missing", "EffectFunctionArns does not name arn:aws:lambda"),
        ("team-ship:live:x", None, "invalid_request", "no name or ARN"),
        ("team-ship", "AccessDeniedException", "permission_missing", "lacks lambda:InvokeFunction"),
        ("team-ship", "ResourceNotFoundException", "function_missing", "There is no function"),
    ],
)
def test_function_that_cannot_be_invoked_is_told_why(functions, function, refused, error, says):
    if refused:
        functions.refused[ARN] = refused

    answer = put(body={"function": function})

    assert code(answer) == (422, error)
    assert says in answer[1]["error"]["message"]
    assert registered_types.every() == []


def an_order(**changes):
    return a_message(**{"type": "order", "payload": {}} | changes)


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED", "RETRYING"])
def test_type_of_messages_in_trouble_is_removed_by_force_only(functions, status):
    put()
    if status == "RETRYING":

        def fail(_event):
            raise EffectError("Error", "down")

        functions.do = fail
        message = an_order()
        consume_all(Delivery(message.body(), message.group_id, "sqs-1", "1", 1))
    else:
        in_trouble(status, an_order())

    refused = delete()
    assert code(refused) == (409, "type_in_use")
    assert status.lower() in refused[1]["error"]["message"]
    assert delete(query={"force": "true"})[0] == 200

    assert get("order")[0] == 404
    records = [(one["action"], one["result"]) for one in audited()][-2:]
    assert records == [("remove_type", "TypeInUse"), ("remove_type", "REMOVED")]


def test_trouble_of_another_type_is_none_of_this_one():
    put()
    in_trouble("DEAD", a_message(message_id="other"))
    freeze()
    frozen = a_message()
    consume_all(Delivery(frozen.body(), frozen.group_id, "sqs-1", "1", 1))

    assert delete()[0] == 200


def test_who_may():
    assert code(put(role="producer")) == (403, "forbidden")
    assert code(delete(role="producer")) == (403, "forbidden")
    assert get()[0] == 200

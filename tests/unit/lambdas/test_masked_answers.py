"""What a registered queue masks, in the answers of every function that tells of its messages."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lambdas import list_dead_letters, list_quarantine, show_message
from tests.support.invocations import CONTEXT, api_event
from tests.support.pairs import STANDARD
from tests.support.troubles import in_trouble
from workflows.queues import registry

pytestmark = pytest.mark.usefixtures("tables", "recursion_limit")

ID = "sqs:orders:o-1"
SECRET = "ann@example.com"
PATHS: dict[str, tuple[Any, str]] = {
    "dead letters": (list_dead_letters, "/messages/dlq"),
    "causes": (list_dead_letters, "/messages/dlq/groups"),
    "quarantine": (list_quarantine, "/messages/quarantine"),
    "record": (show_message, f"/messages/{ID}"),
}


@pytest.fixture(autouse=True)
def message(tables):
    """Register a queue whose labels are of masked fields, and put a message in trouble."""
    mask = ("body.customer", "attributes.ErrorMessage", "attributes.cause")
    labels: dict[str, Any] = {"type": "body.customer.kind", "group": "body.customer.email"}
    registry.register(replace(STANDARD, mask=mask, error="attributes.cause", **labels), "o")
    given_as("DEAD")


def given_as(status):
    reason = {"type": f"Late-{SECRET}", "message": f"{SECRET} is late"}
    in_trouble(
        status, message_id=ID, type=f"kind-{SECRET}", group_id=SECRET, reason=reason,
        redrives=1, body="{}", journey=[{"event": "dead", "at": "x", "reason_type": SECRET}],
    )  # fmt: skip


def ask(module, path, role, **query):
    parameters = {"message_id": ID} if "{" in path or ID in path else None
    resource = "/messages/{message_id}" if parameters else path
    given = query if parameters else {"queue": "orders"} | query
    event = api_event(
        "GET", path, roles=role, email="o@example.com", query=given, resource=resource,
        path_parameters=parameters,
    )  # fmt: skip
    answer = module.handler(event, CONTEXT)
    return int(answer["statusCode"]), answer["body"]


@pytest.mark.parametrize("name", PATHS)
def test_masked_fields_are_shown_to_operators_and_replaced_for_others(name):
    if name == "quarantine":
        given_as("QUARANTINED")
    module, path = PATHS[name]

    status, seen = ask(module, path, ("producer",))
    whole = ask(module, path, ("producer", "operator"))[1]

    assert status == 200
    assert SECRET not in seen
    assert SECRET in whole
    assert "***" in seen
    one, other = json.loads(seen), json.loads(whole)
    assert one.keys() == other.keys()


def test_record_of_a_queue_that_is_gone_is_masked_wholly():
    registry.remove("orders", "o", force=True)
    module, path = PATHS["record"]

    assert SECRET not in ask(module, path, ("producer",))[1]


@pytest.mark.parametrize("by", ["type", "group_id", "reason"])
def test_filter_by_a_masked_field_is_for_operators(by):
    module, path = PATHS["dead letters"]

    status, body = ask(module, path, ("producer",), **{by: "x"})
    assert (status, json.loads(body)["error"]["code"]) == (403, "forbidden")
    assert ask(module, path, ("producer", "operator"), **{by: "x"})[0] == 200


def test_fingerprint_of_what_is_masked_tells_no_guess_right():
    module, path = PATHS["dead letters"]
    (seen,) = json.loads(ask(module, path, ("producer",))[1])["messages"]
    (whole,) = json.loads(ask(module, path, ("producer", "operator"))[1])["messages"]

    assert seen["fingerprint"] != whole["fingerprint"]
    assert json.loads(ask(*PATHS["record"], ("producer",))[1])["fingerprint"] == seen["fingerprint"]
    asked = ask(module, path, ("producer",), fingerprint=whole["fingerprint"])
    assert (asked[0], "only operators" in asked[1]) == (403, True)
    assert ask(module, path, ("producer", "operator"), fingerprint=whole["fingerprint"])[0] == 200

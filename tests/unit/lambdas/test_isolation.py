"""Producers that do not trust each other: no id, group or record of one is another's."""

import json

import pytest

from lambdas import (
    list_dead_letters,
    list_groups,
    list_quarantine,
    retry_messages,
    send_message,
    show_group,
    show_message,
    show_queues,
    show_status,
)
from tests.support.cloud import ENVIRONMENT, drain
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_transaction
from workflows.groups.fence import raise_ahead
from workflows.messages import isolation
from workflows.messages.envelope import parse
from workflows.runtime import aws
from workflows.runtime.settings import settings

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture(autouse=True)
def isolated(tables, queues, machines, monkeypatch):
    """Isolate producers."""
    monkeypatch.setenv("ISOLATE_PRODUCERS", "true")
    settings.cache_clear()
    yield
    settings.cache_clear()


def call(module, method, path, body=None, email=ANN, roles=("producer",), **more):
    answer = module.handler(
        api_event(method, path, body, email=email, roles=roles, **more), CONTEXT
    )
    return answer["statusCode"], json.loads(answer["body"]), answer["multiValueHeaders"]


def send(email=ANN, roles=("producer",), **fields):
    body = {"type": "transaction", "payload": a_transaction()} | fields
    return call(send_message, "POST", "/messages/send", body, email, roles)


def show(message_id, email=ANN, roles=("producer",)):
    parameters = {"message_id": message_id}
    path = f"/messages/{message_id}"
    status, body, _ = call(
        show_message, "GET", path, None, email, roles,
        path_parameters=parameters, resource="/messages/{message_id}",
    )  # fmt: skip
    return status, body


def show_its_group(group_id, email):
    return call(
        show_group, "GET", f"/groups/{group_id}", None, email,
        path_parameters={"group_id": group_id}, resource="/groups/{group_id}",
    )[:2]  # fmt: skip


def sent():
    """Return what is on the work queue."""
    return [
        parse(found["Body"], found["Attributes"]["MessageGroupId"])
        for found in drain(aws.sqs(), ENVIRONMENT["WORK_QUEUE_URL"])
    ]


def test_sender_sees_its_ids_as_it_gave_them():
    status, sent, headers = send(message_id="m-1", group_id="g-1")

    assert (status, sent["message_id"], sent["group_id"]) == (202, "m-1", "g-1")
    assert headers["Location"][0].endswith("/messages/m-1")
    assert send(message_id="m-1", group_id="g-1")[1] == sent | {"duplicate": True}
    status, record = show("m-1")
    assert (status, record["message_id"], record["group_id"]) == (200, "m-1", "g-1")
    assert record["submitted_by"] == ANN


def test_one_id_is_two_messages_of_two_senders():
    """Neither takes the other's id, whatever it sends under it."""
    assert send(ANN, message_id="m-1")[0] == 202
    assert send(BOB, message_id="m-1", payload=a_transaction(amount="99.00"))[0] == 202

    assert show("m-1", ANN)[1]["submitted_by"] == ANN
    assert show("m-1", BOB)[1]["submitted_by"] == BOB
    assert send(BOB, message_id="m-1")[0] == 409  # of its own


def test_no_producer_reads_another_s_message_by_any_id():
    made_up = send(ANN)[1]["message_id"]
    scope = isolation.scope(ANN, ["producer"])

    for message_id in (made_up, scope + made_up):
        status, body = show(message_id, BOB)
        assert (status, body["error"]["code"]) == (404, "message_not_found")
        assert body["error"]["message"] == f"There is no message {message_id}."
    assert show(made_up, ANN)[0] == 200


def test_no_producer_stops_another_s_group():
    for email in (ANN, BOB):
        send(email, message_id="m-1", group_id="g-1")
    of_ann, of_bob = sorted(sent(), key=lambda message: message.submitted_by)

    assert of_ann.group_id != of_bob.group_id
    raise_ahead(of_ann)
    status, body = show_its_group("g-1", ANN)
    assert (status, body["group_id"], body["holder"]) == (200, "g-1", "m-1")
    assert isolation.scope(ANN, ["producer"]).strip("=") not in json.dumps(body)
    status, body = show_its_group("g-1", BOB)
    assert (status, body["error"]["message"]) == (404, "Group g-1 is not fenced.")


@pytest.mark.parametrize(
    ("module", "path"),
    [
        (list_dead_letters, "/messages/dlq"),
        (list_dead_letters, "/messages/dlq/groups"),
        (list_quarantine, "/messages/quarantine"),
        (list_groups, "/groups"),
        (show_queues, "/queues"),
        (show_status, "/messages/status"),
    ],
)
def test_what_all_producers_share_is_shown_to_operators_only(module, path):
    status, body, _ = call(module, "GET", path)

    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert "own messages only" in body["error"]["message"]
    assert call(module, "GET", path, roles=("operator", "producer"))[0] == 200


def test_operator_sees_and_mends_all_by_what_the_ledger_calls_them():
    send(ANN, message_id="m-1")
    (row,) = aws.dynamodb().scan(TableName="Messages")["Items"]
    both = ("operator", "producer")

    status, record = show(row["message_id"], "o@example.com", both)

    assert (status, record["submitted_by"]) == (200, ANN)
    assert record["message_id"] == f"{isolation.scope(ANN, ['producer'])}m-1"
    path = {"message_id": row["message_id"]}
    status, body, _ = call(
        retry_messages, "POST", f"/messages/{row['message_id']}/retry", {}, "o@example.com", both,
        path_parameters=path, resource="/messages/{message_id}/retry",
    )  # fmt: skip
    assert (status, body["error"]["code"]) == (409, "message_not_in_trouble")
    assert send("o@example.com", both, message_id="m-1")[1]["message_id"] == "m-1"


@pytest.mark.parametrize("field", ["message_id", "group_id"])
def test_id_that_leaves_no_room_is_refused(field):
    assert send(**{field: "m" * isolation.LENGTH})[0] == 202
    status, body, _ = send(**{field: "m" * (isolation.LENGTH + 1)})

    assert (status, body["error"]["code"]) == (422, "invalid_request")
    assert body["error"]["message"] == f"{field}: must have at most 95 characters"


def test_nothing_is_isolated_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("ISOLATE_PRODUCERS", "false")
    settings.cache_clear()

    send(ANN, message_id="m-1")

    assert show("m-1", BOB)[1]["submitted_by"] == ANN
    assert call(show_status, "GET", "/messages/status", email=BOB)[0] == 200

"""Retry, edit and their bulk forms by their events: answers, refusals, and what is recorded."""

import json

import pytest
from botocore.exceptions import ClientError

from lambdas import discard_messages, edit_messages, retry_messages
from tests.support.cloud import audited
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction
from tests.support.troubles import in_trouble, row, sent
from workflows.ledger import lookup

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

CANARY = "canary-7c1f"
NEW = a_transaction(amount="11.00")


def call(module, method, path, body=None):
    event = api_event(method, path, body, roles=("operator",), email="o@example.com")
    answer = module.handler(event, CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


def retry(body=None, message_id="m-1"):
    return call(retry_messages, "POST", f"/messages/{message_id}/retry", body)


def edit(payload, message_id="m-1"):
    return call(edit_messages, "PATCH", f"/messages/{message_id}", {"payload": payload})


def code(answer):
    return answer[0], answer[1]["error"]["code"]


@pytest.mark.parametrize("body", [None, "null", {}, {"reset_redrives": False}])
def test_retry_is_202_with_the_message_as_it_was_sent(body):
    in_trouble()

    assert retry(body) == (
        202,
        {"message_id": "m-1", "group_id": "acc-1", "status": "REDRIVEN", "redrives": 1},
    )
    assert len(sent()) == 1


def test_refused_retries_say_why_and_are_recorded():
    in_trouble(redrives=3)
    in_trouble("QUARANTINED", a_message(message_id="m-2"))
    in_trouble("PROCESSED", a_message(message_id="m-3"), trouble=None)
    in_trouble("QUARANTINED", message_id="sqs:0-1")
    in_trouble("QUARANTINED", a_message(message_id="m-4"), body=None)
    reset = {"reset_redrives": True}

    assert code(retry()) == (409, "redrive_limit_reached")
    assert code(retry(message_id="m-2")) == (409, "reset_needed")
    assert code(retry(message_id="m-3")) == (409, "message_not_in_trouble")
    assert code(retry(reset, "sqs:0-1")) == (409, "foreign_message")
    assert code(retry(reset, "m-4")) == (409, "body_missing")
    assert code(retry(message_id="none")) == (404, "message_not_found")
    assert sent() == []
    assert [(record["result"], record["message_id"]) for record in audited()] == [
        ("RedriveLimitReached", "m-1"), ("ResetNeeded", "m-2"), ("NotInTrouble", "m-3"),
        ("ForeignMessage", "sqs:0-1"), ("BodyMissing", "m-4"), ("MessageNotFound", "none"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body", [{"reset_redrives": 2}, {"reset_redrives": None}, {"all": True}, "[]", "{"]
)
def test_bad_retry_is_422_and_does_nothing(body):
    in_trouble()

    assert code(retry(body)) == (422, "invalid_request")
    assert (sent(), audited()) == ([], [])


def test_edit_is_200_with_the_new_budget_and_hash():
    in_trouble("QUARANTINED", redrives=3)

    assert edit(NEW) == (
        200,
        {
            "message_id": "m-1", "group_id": "acc-1", "status": "QUARANTINED", "redrives": 3,
            "redrive_limit": 6, "payload_hash": a_message(payload=NEW).payload_hash,
        },
    )  # fmt: skip


def test_edit_of_a_message_that_a_stopped_run_may_have_sent_is_200():
    in_trouble(status="REDRIVEN", trouble="DEAD", redrives=1)

    for _ in range(2):  # the same again changes nothing
        status, edited = edit(NEW)
        assert (status, edited["status"], edited["redrive_limit"]) == (200, "REDRIVEN", 4)


def test_edit_of_a_message_that_goes_on_at_once_is_200(monkeypatch):
    in_trouble()
    read = lookup.get

    def read_once_and_then_find_it_gone_on(message_id):
        found = read(message_id)
        return found | {"status": "PROCESSING"} if "superseded_hashes" in found else found

    monkeypatch.setattr(lookup, "get", read_once_and_then_find_it_gone_on)

    status, edited = edit(NEW)
    assert (status, edited["status"]) == (200, "PROCESSING")


def test_edit_that_changes_nothing_is_200():
    in_trouble()

    status, body = edit(a_transaction())

    assert (status, body["redrive_limit"]) == (200, None)


def test_refused_edits_name_the_field_or_the_limit_and_no_value(output):
    in_trouble()
    in_trouble("QUARANTINED", message_id="sqs:0-1")

    wrong = edit(a_transaction(amount=CANARY))
    large = edit(a_transaction(amount="0" * 12_000 + "1"))

    assert code(wrong) == (422, "invalid_message")
    assert "amount" in wrong[1]["error"]["message"]
    assert code(large) == (413, "message_too_large")
    assert "10976" in large[1]["error"]["message"]
    assert code(edit(NEW, "sqs:0-1")) == (409, "foreign_message")
    assert code(edit(NEW, "none")) == (404, "message_not_found")
    names = ["account_id", "amount", "currency", "kind"]
    assert [record["input"] for record in audited()] == [{"fields": names}] * 4
    assert CANARY not in json.dumps(wrong) + json.dumps(audited(), default=str) + output()


def test_edit_tells_no_log_and_no_record_a_value(output):
    in_trouble()

    assert edit(a_transaction(account_id=CANARY))[0] == 200
    assert CANARY not in json.dumps(audited(), default=str) + output()


@pytest.mark.parametrize("names", ["\ud800", "x" * 100_000])
def test_odd_names_are_422_and_recorded(names):
    in_trouble()

    status = edit({names: 1})

    assert code(status) == (422, "invalid_message")
    (record,) = audited()
    assert record["result"] == "InvalidPayload"


def three():
    for number, redrives in ((1, 0), (2, 3), (3, 0)):
        group = f"acc-{number}"
        message = a_message(message_id=f"m-{number}", group_id=group)
        at = f"2026-11-24T12:00:0{number}.000Z"
        in_trouble(message=message, redrives=redrives, updated_at=at)


def test_retry_of_many_has_partial_results():
    three()

    status, body = call(retry_messages, "POST", "/messages/retry", {"filter": {}})

    assert (status, body["more"], body["cursor"]) == (200, False, None)
    assert body["results"][0] == {"message_id": "m-1", "status": "REDRIVEN"}
    assert [result.get("status") for result in body["results"]] == ["REDRIVEN", None, "REDRIVEN"]
    assert set(body["results"][1]) == {"message_id", "error"}
    assert set(body["results"][1]["error"]) == {"code", "message"}
    assert body["results"][1]["error"]["code"] == "redrive_limit_reached"
    assert sorted(copy[0] for copy in sent()) == ["m-1.r1", "m-3.r1"]
    assert [(record["message_id"], record["result"]) for record in audited()] == [
        ("m-1", "REDRIVEN"), ("m-2", "RedriveLimitReached"), ("m-3", "REDRIVEN"),
    ]  # fmt: skip


def test_retry_of_many_goes_on_by_cursor_and_resets():
    three()
    wanted = {"filter": {}, "limit": 2, "reset_redrives": True}

    first = call(retry_messages, "POST", "/messages/retry", wanted)[1]
    second = call(retry_messages, "POST", "/messages/retry", wanted | {"cursor": first["cursor"]})

    assert (first["more"], len(first["results"])) == (True, 2)
    assert (second[1]["more"], len(second[1]["results"])) == (False, 1)
    assert len(sent()) == 3
    assert row("m-2")["redrive_limit"] == 6


def test_error_that_nobody_foresaw_is_told_of_its_message_only(calls, output):
    three()
    calls.error_at = "before SendMessage"
    calls.error = ClientError({"Error": {"Code": CANARY}}, "SendMessage")

    status, body = call(retry_messages, "POST", "/messages/retry", {"filter": {}})

    assert status == 200
    assert body["results"][0]["error"]["code"] == "internal_error"
    assert body["results"][2]["status"] == "REDRIVEN"
    assert CANARY not in json.dumps(body)
    assert '"ClientError"' in output()
    assert call(retry_messages, "POST", "/messages/m-1/retry")[0] == 202


def test_edit_of_many_has_partial_results():
    three()
    in_trouble(message=a_message(message_id="m-4", payload={}))
    in_trouble(message=a_message(message_id="m-5", payload=NEW))

    status, body = call(
        edit_messages, "PATCH", "/messages",
        {"filter": {"message_ids": ["m-1", "m-4", "m-5"]}, "merge": {"amount": "11.00"}},
    )  # fmt: skip

    assert status == 200
    by_id = {result["message_id"]: result for result in body["results"]}
    assert set(by_id) == {"m-1", "m-4"}  # nothing would change of the other
    assert by_id["m-1"]["status"] == "DEAD"
    assert by_id["m-4"]["error"]["code"] == "invalid_message"
    assert row("m-1")["payload_hash"] == a_message(payload=NEW).payload_hash
    assert "superseded_hashes" not in row("m-3")


def test_discard_of_many_has_partial_results():
    three()

    status, body = call(
        discard_messages, "POST", "/messages/discard",
        {"filter": {"group_id": "acc-2"}, "reason": " given up "},
    )  # fmt: skip

    assert status == 200
    assert body["results"] == [{"message_id": "m-2", "status": "DISCARDED"}]
    assert row("m-2")["discarded"]["reason"] == "given up"
    assert row("m-1")["status"] == "DEAD"


@pytest.mark.parametrize("body", [
    {}, {"filter": None}, {"filter": {"jmespath": "["}}, {"filter": {"older_than": "x"}},
    {"filter": {"newer_than": "20261202"}}, {"filter": {"newer_than": 20261202}},
    {"filter": {}, "limit": 101}, {"filter": {}, "status": "RETRYING"},
    {"filter": {}, "cursor": "x"}, {"filter": {"payload": {"a": CANARY * 60}}},
    {"filter": {}, "limit": 0}, {"filter": {"nothing": 1}}, {"filter": {}, "more": 1},
    {"filter": {}, "merge": {}}, {"filter": {}, "merge": [1]}, {"filter": {}, "merge": None},
], ids=str)  # fmt: skip
@pytest.mark.parametrize(
    ("module", "method", "path", "more"),
    [
        (retry_messages, "POST", "/messages/retry", {}),
        (edit_messages, "PATCH", "/messages", {"merge": {"amount": "1.00"}}),
        (discard_messages, "POST", "/messages/discard", {"reason": "why"}),
    ],
    ids=["retry", "edit", "discard"],
)
def test_bad_selection_is_422_and_acts_on_nothing(module, method, path, more, body):
    in_trouble()
    before = row()

    answer = call(module, method, path, more | body)

    assert code(answer) == (422, "invalid_request")
    assert CANARY not in json.dumps(answer)
    assert (row(), sent(), audited()) == (before, [], [])

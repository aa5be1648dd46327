"""`GET /audit`, and what the functions that act leave for it, by their events."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas import discard_messages, list_audit, reprocess_dead_letters
from lambdas.list_audit import AuditRecord
from tests.support.aws_calls import Calls
from tests.support.cloud import audited
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message
from tests.support.troubles import in_trouble
from workflows.runtime import aws

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

CANARY = "canary-7c1f"
OPERATOR = {"roles": ("operator",), "email": "o@example.com"}
WHO = {
    "actor": "o@example.com",
    "role": "operator",
    "source_ip": "192.0.2.1",
    "trace_id": "request-1",
    "queue": "default",
}


def dead(message_id="m-1", **changes):
    why = {"type": "OSError", "message": CANARY}
    in_trouble(message=a_message(message_id=message_id, **changes), reason=why)


def answer_of(module, *event, **more):
    answer = module.handler(api_event(*event, **OPERATOR | more), CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


def discard(message_id="m-1", **more):
    path = f"/messages/{message_id}/discard"
    return answer_of(discard_messages, "POST", path, {"reason": "why"}, **more)


def reprocess(**body):
    return answer_of(reprocess_dead_letters, "POST", "/messages/dlq/reprocess", body)


def listed(**query):
    return answer_of(list_audit, "GET", "/audit", query=query)


def results():
    return [(record["action"], record["result"]) for record in audited()]


def test_deeds_and_refusals_are_listed_with_all_that_is_known():
    dead()
    run = reprocess(max_messages=2)[1]
    assert [discard()[0], discard("m-2")[0], reprocess()[0]] == [200, 404, 409]

    status, body = listed()

    assert (status, body["cursor"]) == (200, None)
    assert all(record.keys() == AuditRecord.model_fields.keys() for record in body["records"])
    found = [
        {name: value for name, value in record.items() if value is not None}
        for record in body["records"]
    ]
    for record in found:
        assert record.pop("entry").startswith(record.pop("at"))
    why = {"input": {"reason": "why"}, "action": "discard_message"}
    assert found == [
        WHO | {"input": {}, "action": "start_run", "result": "RunActive"},
        WHO | why | {"message_id": "m-2", "result": "MessageNotFound"},
        WHO | why | {"message_id": "m-1", "result": "DISCARDED"},
        WHO
        | {"input": {"max_messages": 2}, "action": "start_run", "result": "STARTED"}
        | {"run_id": run["run_id"], "execution_arn": run["execution_arn"]},
    ]


def test_address_is_the_connection_s_and_not_what_a_header_claims():
    discard(headers={"X-Forwarded-For": "203.0.113.9"})

    assert [record["source_ip"] for record in audited()] == ["192.0.2.1"]


def test_who_acts_with_two_roles_acts_as_operator():
    discard(roles=("producer", "operator"))

    assert [record["role"] for record in audited()] == ["operator"]


@pytest.mark.parametrize(
    "event",
    [
        {"roles": ("producer",)},
        {"message_id": "x" * 257},
    ],
    ids=["forbidden", "unreadable"],
)
def test_request_that_is_no_action_of_an_operator_leaves_no_record(event):
    assert discard(**event)[0] in (403, 422)
    assert audited() == []


def test_unforeseen_failure_is_recorded_too(calls: Calls):
    dead()
    calls.error = ClientError({"Error": {"Code": "Throttled"}}, "TransactWriteItems")
    calls.error_at = "before TransactWriteItems"

    assert discard()[0] == 500
    assert results() == [("discard_message", "ClientError")]


def test_lost_record_of_a_refusal_is_logged_and_the_refusal_still_the_answer(calls: Calls, output):
    calls.error = ClientError({"Error": {"Code": "Throttled"}}, "PutItem")
    calls.error_at = "before PutItem"

    status, body = discard("unknown")

    assert (status, body["error"]["code"]) == (404, "message_not_found")
    found = [json.loads(line) for line in output().splitlines()]
    (lost,) = [line for line in found if line.get("action") == "record_refusal"]
    assert (lost["status"], lost["trace_id"]) == ("error", "request-1")
    assert (lost["details"]["error"], lost["details"]["refused"]) == (
        "ClientError",
        "MessageNotFound",
    )
    assert [line["Errors"] for line in found if "_aws" in line] == [[1.0]]


def test_failed_start_leaves_both_its_records_under_one_trace(calls: Calls):
    calls.error = ClientError({"Error": {"Code": "Throttled"}}, "StartExecution")
    calls.error_at = "before StartExecution"

    assert reprocess()[0] == 500
    assert results() == [
        ("start_run", "STARTED"), ("end_run", "FAILED"), ("start_run", "ClientError"),
    ]  # fmt: skip
    assert {record["trace_id"] for record in audited()} == {"request-1"}


def test_list_is_filtered_and_paged():
    for number in range(3):
        dead(f"m-{number}")
        discard(f"m-{number}", email=f"{number % 2}@example.com")

    first = listed(actor="0@example.com", limit="1")[1]
    second = listed(actor="0@example.com", limit="1", cursor=first["cursor"])[1]
    by_message = listed(message_id="m-1", **{"from": "2026-01-01T00:00:00Z", "to": "2026-12-31"})[1]

    found = [page["records"][0]["message_id"] for page in (first, second)]
    assert (found, second["cursor"]) == (["m-2", "m-0"], None)
    assert [record["actor"] for record in by_message["records"]] == ["1@example.com"]


def test_record_of_the_machine_is_listed_as_it_is():
    at = "2026-11-20T12:00:00.000Z"
    item: dict[str, Any] = {
        "day": at[:10], "entry": f"{at}#run-1", "at": at, "actor": "schedule", "role": "schedule",
        "action": "end_run", "run_id": "run-1", "result": "SUCCEEDED", "input": {},
        "counters": {"received": 3, "redriven": 2}, "execution_arn": "arn:1", "trace_id": "t-1",
    }  # fmt: skip
    aws.dynamodb().put_item(TableName="Audit", Item=item)

    (record,) = listed(**{"from": at, "to": at})[1]["records"]

    del item["day"]
    assert record == dict.fromkeys(record) | item


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"from": CANARY}, "from"),
        ({"to": "2026-11-24T12:00:00"}, "to"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "366"),
        ({"cursor": CANARY}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "100"),
        ({"actor": ""}, "actor"),
        ({"message_id": "x" * 257}, "message_id"),
    ],
    ids=str,
)
def test_wrong_query_is_422_naming_the_field_or_the_limit_and_no_value(query, named):
    status, body = listed(**query)

    assert (status, body["error"]["code"]) == (422, "invalid_request")
    assert named in body["error"]["message"]
    assert CANARY not in json.dumps(body)


def test_nothing_of_a_payload_or_an_error_s_text_is_recorded():
    dead(payload={CANARY: CANARY})
    for message_id in ("m-1", "m-1", "m-2"):
        discard(message_id)

    assert len(audited()) == 3
    assert CANARY not in json.dumps(listed()[1])

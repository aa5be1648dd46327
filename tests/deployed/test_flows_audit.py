"""Over HTTP: what operators did is on record, who from where and how it ended, and stays so."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from boto3.dynamodb.types import TypeDeserializer

from tests.deployed.flows import assert_problem, dead_message, finished
from tests.support.redrive_runs import LOCK, consume
from tests.support.stack_fixtures import dead_letter, delete, transaction

pytestmark = pytest.mark.xdist_group("flows")

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


def audit(client, **query):
    return client.call("GET", f"/audit?{urlencode(query)}")


def records(client, **query):
    return audit(client, **query).expect(200)["records"]


def discard(client, message_id, reason="the customer left"):
    return client.call("POST", f"/messages/{message_id}/discard", {"reason": reason})


def stored(stack, message_id):
    """Return the rows of the audit table about a message, as they are."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(
        TableName=stack.outputs["AuditTableName"]
    )  # fmt: skip
    rows = [
        {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
        for page in pages
        for item in page["Items"]
    ]
    return [row for row in rows if row.get("message_id") == message_id]


def test_discard_and_its_refusals_are_on_record(stack, producer, operator, email):
    account_id, record = dead_message(stack, producer)
    message_id = record["message_id"]
    unknown = f"unknown-{uuid.uuid4()}"
    began = datetime.now(UTC)

    assert_problem(discard(operator, unknown), 404, "message_not_found")
    first = discard(operator, message_id)
    discard(operator, message_id, "once more").expect(200)

    assert first.status == 200
    unchanged, discarded = records(operator, message_id=message_id)
    (refused,) = records(operator, message_id=unknown)
    for found in (unchanged, discarded, refused):
        assert (found["actor"], found["role"]) == (email, "operator")
        assert found["source_ip"] == "127.0.0.1"
        assert abs(datetime.fromisoformat(found["at"]) - began) < timedelta(seconds=30)
        assert (found["action"], found["run_id"]) == ("discard_message", None)
        assert found["trace_id"]
    assert [found["result"] for found in (refused, discarded, unchanged)] == [
        "MessageNotFound", "DISCARDED", "UNCHANGED",
    ]  # fmt: skip
    assert discarded["input"] == {"reason": "the customer left"}
    assert len(stored(stack, message_id)) == 2
    assert account_id not in json.dumps(stored(stack, message_id))  # nothing of the payload


def test_start_of_a_run_is_on_record_with_its_execution_and_input(stack, operator, email):
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["DeadLetterQueueUrl"])
    delete(stack, "Runs", LOCK)
    dead_letter(stack, transaction())
    request = {"max_messages": 1, "canary": {"messages": 1, "watch_seconds": 600}}
    consume(stack, False)  # or the message would end, and with it the run
    try:
        run = operator.reprocess(**request).expect(202)
        second = operator.reprocess()
    finally:
        consume(stack, True)
    finished(operator, run["run_id"])

    (started,) = (r for r in records(operator, actor=email) if r["run_id"] == run["run_id"]
                  and r["action"] == "start_run")  # fmt: skip
    assert (started["result"], started["input"]) == ("STARTED", request)
    assert started["execution_arn"] == run["execution_arn"]
    assert (started["role"], started["source_ip"]) == ("operator", "127.0.0.1")
    assert_problem(second, 409, "run_active")
    (refused,) = (
        r for r in records(operator, actor=email) if r["trace_id"] == second.json["trace_id"]
    )
    assert (refused["action"], refused["result"]) == ("start_run", "RunActive")


def test_producer_may_neither_read_the_records_nor_leave_one(producer, operator):
    unknown = f"unknown-{uuid.uuid4()}"

    assert_problem(audit(producer), 403, "forbidden")
    assert_problem(discard(producer, unknown), 403, "forbidden")
    assert records(operator, message_id=unknown) == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_records_have_no_other_route(operator, method):
    assert operator.call(method, "/audit", {}).status in (403, 404, 405)

"""Messages over HTTP, as somebody with only the README and a token sees them."""

import json
import uuid

import pytest

from tests.deployed.flows import assert_problem, credit, settled
from tests.support.stack_fixtures import row

pytestmark = pytest.mark.xdist_group("flows")


# Sending


def test_message_is_queued_and_then_processed(stack, producer):
    payload = credit()
    sent = producer.send(payload)
    message_id = sent.json["message_id"]

    assert sent.status == 202
    assert sent.json == {
        "message_id": message_id,
        "group_id": payload["account_id"],
        "status": "QUEUED",
        "duplicate": False,
    }
    record = settled(producer, message_id, "PROCESSED")
    assert (record["attempts"], record["redrives"], record["reason"]) == (1, 0, None)
    assert record["execution_arns"] == []
    assert record["submitted_by"] == stack.users["producer"]["email"]
    assert record["first_sent_at"] <= record["updated_at"]
    assert str(row(stack, "Accounts", payload["account_id"])["balance"]) == "12.34"


def test_same_message_again_is_a_duplicate_with_one_effect(stack, producer):
    payload, message_id = credit(), f"message-{uuid.uuid4()}"
    producer.send(payload, message_id=message_id).expect(202)
    early = producer.send(payload, message_id=message_id)
    settled(producer, message_id, "PROCESSED")
    late = producer.send(payload, message_id=message_id)

    assert (early.status, early.json["duplicate"]) == (200, True)
    assert (late.status, late.json["duplicate"], late.json["status"]) == (200, True, "PROCESSED")
    assert str(row(stack, "Accounts", payload["account_id"])["balance"]) == "12.34"


def test_other_payload_under_the_same_id_is_a_conflict(producer):
    payload, message_id = credit(), f"message-{uuid.uuid4()}"
    producer.send(payload, message_id=message_id).expect(202)

    answer = producer.send(payload | {"amount": "12.35"}, message_id=message_id)

    assert_problem(answer, 409, "message_id_conflict")


def test_too_large_message_is_413_and_names_the_limit(producer):
    # The one field of a transaction that may be valid and long: zeros in front of a number.
    answer = producer.send(credit(amount="0" * 12_000 + "12.34"))

    assert_problem(answer, 413, "message_too_large")
    assert "10976 bytes" in answer.json["error"]["message"]


def test_body_of_a_request_that_is_too_large_is_413_before_it_is_read(producer):
    answer = producer.call("POST", "/messages/send", {"x" * 262_144: 1})

    assert_problem(answer, 413, "body_too_large")


def test_idempotency_key_is_the_message_id(producer):
    body = {"type": "transaction", "payload": credit()}
    key = f"key-{uuid.uuid4()}"
    answers = [
        producer.call("POST", "/messages/send", body, {"Idempotency-Key": key}) for _ in range(2)
    ]
    other = producer.call(
        "POST", "/messages/send", body | {"message_id": "another"}, {"Idempotency-Key": key}
    )

    assert [answer.status for answer in answers] == [202, 200]
    assert {answer.json["message_id"] for answer in answers} == {key}
    assert_problem(other, 422, "invalid_request")


def test_curl_without_a_content_type_is_understood(producer):
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # what `curl -d` says
    body = json.dumps({"type": "transaction", "payload": credit()})

    assert producer.call("POST", "/messages/send", body, form).status == 202


# Looking


def test_status_shows_queues_and_trouble(stack, producer):
    body = producer.status().expect(200)

    assert set(body) == {"work_queue", "dead_letter_queue", "messages", "groups"}
    assert set(body["work_queue"]) == {"name", "visible", "in_flight", "delayed"}
    assert set(body["dead_letter_queue"]) == set(body["work_queue"]) | {"oldest_age_seconds"}
    assert set(body["messages"]) == {"dead", "lost", "quarantined", "retrying"}
    assert set(body["groups"]) == {"fenced", "parked"}
    assert body["work_queue"]["name"] == stack.outputs["WorkQueueUrl"].rpartition("/")[2]

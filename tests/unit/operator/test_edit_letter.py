"""Edits of a registered queue's message: another body, and everything else of it kept."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.cloud import audited, drain
from tests.support.messages import an_operator
from tests.support.pairs import STANDARD
from tests.support.troubles import LIMIT, change, in_trouble, row
from workflows.ledger import large, writes
from workflows.messages.limits import ATTRIBUTE_RESERVE_BYTES, MessageTooLarge
from workflows.operator import retry_by_hand
from workflows.operator.edit import EditRequest, NoPayload, edit, merge
from workflows.operator.edit_letter import BodiesTooLarge, UnfitBody
from workflows.operator.retry_by_hand import RetryRequest
from workflows.queues import letters, registry
from workflows.queues.letters import IDENTITY_ATTRIBUTE, hash_of
from workflows.queues.permissions import QueueMissing
from workflows.runtime import aws

ACTOR = an_operator()
ID = "sqs:orders:o-1"
BODY = '{"id": "o-1", "total": 1.50, "kind": "a"}'
FIXED = '{"id": "o-1", "total": 2}'
BINARY = base64.b64encode(b"\x00\xff").decode()
ATTRIBUTES = {"raw": f"Binary\n{BINARY}", "team": "String\nblue"}
SIZE = 250_000


@pytest.fixture(autouse=True)
def source(tables, queues):
    """Give what every test needs: tables, and a registered queue."""
    for name, size in (("orders", SIZE + 1_000), ("orders-dead", SIZE)):
        queues.create_queue(QueueName=name, Attributes={"MaximumMessageSize": str(size)})
    given_queue()
    return queues


def given_queue(**settings):
    registry.register(replace(STANDARD, **settings), "o")


def given(status="DEAD", body=BODY, message_id=ID, **columns):
    usual = {"message_id": message_id, "body": body, "payload_hash": hash_of(body),
             "type": "orders", "group_id": "tenant", "carried": ATTRIBUTES, "redrives": 1,
             "letter_id": "sqs-1", "meaning_hash": None}  # fmt: skip
    in_trouble(status, **usual | columns)


def texts(found):
    return {
        name: value.partition("\n")[2]
        for name, value in found["carried"].items()
        if not value.startswith("Binary")
    }


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_edit_changes_the_body_and_keeps_what_is_beside_it(status):
    given(status)
    before = row(ID)

    assert edit(ID, FIXED, ACTOR) == row(ID)

    found = row(ID)
    changed = {name for name in found if found[name] != before.get(name)}
    assert changed == {"body", "payload_hash", "superseded_hashes", "original_body", "edited_at",
                       "redrive_limit", "carried", "journey", "message_group"}  # fmt: skip
    assert (found["body"], found["original_body"]) == (FIXED, BODY)
    assert found["payload_hash"] == hash_of(FIXED)
    assert found["superseded_hashes"] == [hash_of(BODY)]
    assert found["redrive_limit"] == 1 + LIMIT
    assert found["message_group"] == "tenant"
    assert found["carried"].items() >= ATTRIBUTES.items()
    assert texts(found)[IDENTITY_ATTRIBUTE] == f"{ID} {hash_of(FIXED)}"


def test_parts_of_a_body_that_an_edit_puts_into_its_row_are_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(large, "_MOST_BYTES", 20)
    large.keep(ID, "sqs-1", BODY, ATTRIBUTES)
    given()
    change(ID, **large.columns("sqs-1", BODY, ATTRIBUTES))

    edit(ID, FIXED, ACTOR)

    assert (row(ID)["body"], row(ID)["original_body"]) == (FIXED, BODY)
    (part,) = [one for one in aws.scan("Messages") if "part" in one]
    assert part["expires_at"] == pytest.approx(writes.expiry(), abs=60)


def test_what_is_sent_is_the_edited_body_with_its_attributes_and_is_known_again(source):
    given("QUARANTINED", body="no JSON", message_id="sqs:orders:" + "c" * 40)
    message_id = "sqs:orders:" + "c" * 40

    edit(message_id, {"id": "o-7", "text": "é"}, ACTOR)
    retry_by_hand.retry(message_id, RetryRequest(reset_redrives=True), ACTOR)

    (sent,) = drain(source, STANDARD.source_url)
    attributes: dict[str, Any] = sent["MessageAttributes"]
    assert sent["Body"] == '{"id":"o-7","text":"é"}'
    assert attributes["raw"]["BinaryValue"] == b"\x00\xff"
    assert attributes["team"]["StringValue"] == "blue"
    found = {n: one["StringValue"] for n, one in attributes.items() if "StringValue" in one}
    # Although the expression finds another identity now, where it had found none.
    assert letters.read(STANDARD, sent["Body"], found, "").message_id == message_id
    assert row(message_id)["sent_hash"] == hash_of(sent["Body"])


def test_edit_again_keeps_the_first_body_and_each_hash_and_one_attribute():
    given()
    edit(ID, FIXED, ACTOR)
    edit(ID, BODY + " ", ACTOR)

    assert row(ID)["original_body"] == BODY
    assert row(ID)["superseded_hashes"] == [hash_of(BODY), hash_of(FIXED)]
    assert texts(row(ID))[IDENTITY_ATTRIBUTE] == f"{ID} {hash_of(BODY + ' ')}"


def test_hash_of_another_letter_of_the_identity_supersedes_nothing():
    given(payload_hash=hash_of("another event of the order"))
    edit(ID, FIXED, ACTOR)

    assert row(ID)["superseded_hashes"] == [hash_of(BODY)]


def test_labels_are_the_new_body_s_and_the_message_group_stays():
    given_queue(type="body.kind", group="body.customer")
    given(message_group="fifo-group", group_id="c-1")

    merge(ID, {"kind": "b", "customer": "c-2"}, ACTOR)

    found = row(ID)
    assert (found["type"], found["group_id"], found["message_group"]) == ("b", "c-2", "fifo-group")


def test_merge_is_of_a_json_object_and_passes_over_what_it_would_not_change():
    given()

    assert merge(ID, {"kind": "a"}, ACTOR) is None
    assert merge(ID, {"kind": None, "total": 3}, ACTOR) == row(ID)
    assert row(ID)["body"] == '{"id":"o-1","total":3}'
    for body in ("text", "[1]", '{"n": 0.12345678901234567890123}', '{"a": 1, "a": 2}'):
        given(body=body)
        with pytest.raises(UnfitBody):
            merge(ID, {"kind": "b"}, ACTOR)
        assert row(ID)["body"] == body


@pytest.mark.parametrize("content", [BODY, {"kind": "a", "id": "o-1", "total": 1.5}])
def test_what_says_the_same_changes_nothing(content):
    given()
    before = row(ID)

    assert edit(ID, content, ACTOR) == before
    assert [record["result"] for record in audited()] == ["UNCHANGED"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"id": "o-2", "total": 1}, "identity cannot be edited"),
        ({"id": "o-1"}, "has no total"),
        ("text", "body: is not of type object"),
        ({"id": "o-1", "total": 1, "x": "\ufffe"}, "characters that SQS takes in no message"),
        (BODY + "\x00", "characters"),
        (BODY + "\ud800", "characters"),
    ],
)
def test_body_that_cannot_be_the_message_s_is_no_edit(content, says):
    given_queue(schema={"type": "object", "required": ["total"]})
    given()
    before = row(ID)

    with pytest.raises(UnfitBody, match=says):
        edit(ID, content, ACTOR)
    assert (row(ID), audited()) == (before, [])


def test_attribute_that_has_no_room_is_left_out_where_the_identity_tells_the_message():
    ten = {f"a{n}": "String\nx" for n in range(10)}
    given(carried=ten)

    with pytest.raises(UnfitBody, match="no room for RedriveIdentity"):
        edit(ID, "text", ACTOR)
    edit(ID, FIXED, ACTOR)

    assert row(ID)["carried"] == ten


def test_size_is_what_the_queue_takes_and_what_the_ledger_keeps(source):
    given()
    room = SIZE - ATTRIBUTE_RESERVE_BYTES - len("raw" "Binary" "xx" "team" "String" "blue") - len(
        f"{IDENTITY_ATTRIBUTE}String{ID} {hash_of('')}"
    )  # fmt: skip

    with pytest.raises(MessageTooLarge):
        edit(ID, "x" * (room + 1), ACTOR)
    edit(ID, "x" * room, ACTOR)
    edit(ID, "y", ACTOR)
    given(body="x" * 100_000)
    with pytest.raises(BodiesTooLarge):
        edit(ID, "y" * 235_000, ACTOR)
    source.delete_queue(QueueUrl=STANDARD.source_url)
    with pytest.raises(QueueMissing):
        edit(ID, "y", ACTOR)


def test_whole_body_is_of_registered_queues_only_and_audited_by_its_size():
    in_trouble()
    with pytest.raises(NoPayload):
        edit("m-1", "text", ACTOR)
    given()
    edit(ID, "text of é", ACTOR)

    (record,) = audited()
    assert record["input"] == {
        "bytes": 10, "previous_hash": hash_of(BODY), "payload_hash": hash_of("text of é"),
    }  # fmt: skip


@pytest.mark.parametrize("given", [{}, {"payload": {}, "body": "x"}, {"body": ""}])
def test_request_has_a_payload_or_a_body(given):
    with pytest.raises(ValidationError):
        EditRequest.model_validate(given)

"""What a dead letter of a registered queue is, whatever it holds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pairs import STANDARD
from workflows.messages import ids
from workflows.queues import letters
from workflows.queues.letters import IDENTITY_ATTRIBUTE, hash_of, identity_attribute

BODY = '{"id": "o-1", "total": 1.50, "kind": "order"}'


def read(body=BODY, attributes=None, group="", receives="", **settings):
    return letters.read(replace(STANDARD, **settings), body, attributes or {}, group, receives)


def content(body, group="", queue="orders"):
    return ids.of_content(queue, group, hash_of(body))


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("body.id", "sqs:orders:o-1"),
        ("body.total", "sqs:orders:1.5"),
        ("attributes.key", "sqs:orders:k-1"),
        ("group", "sqs:orders:g-1"),
        ("body.missing", content(BODY, "g-1")),
        ("body", content(BODY, "g-1")),  # an object tells nothing
        ("", content(BODY, "g-1")),
    ],
)
def test_identity_is_what_the_expression_finds_or_else_of_the_content(identity, expected):
    found = read(attributes={"key": "k-1"}, group="g-1", identity=identity)

    assert found.message_id == expected


@pytest.mark.parametrize(
    "identity", ["é", "a b", "x" * 120, "m.r3", "../status", "0" * 40, content("x")[-40:]]
)
def test_identity_that_is_no_id_stands_as_its_hash_and_forges_no_other(identity):
    found = ids.of_queue("orders", identity)

    assert found != f"sqs:orders:{identity}"
    assert len(found) <= 120
    assert ids.queue_of(found) == "orders"
    assert found != content("x")


def test_identity_of_one_queue_is_none_of_another():
    assert content(BODY) != content(BODY, queue="bills")
    assert content(BODY, "g") != content(BODY, "h")
    assert ids.queue_of("sqs:0000-1111") == ids.queue_of("order-1") == "default"


def test_attribute_of_ours_counts_for_its_body_and_its_queue_alone():
    ours = identity_attribute("sqs:orders:o-9", BODY)[IDENTITY_ATTRIBUTE]["StringValue"]
    others = identity_attribute("sqs:bills:o-9", BODY)[IDENTITY_ATTRIBUTE]["StringValue"]

    def known(value, body=BODY, identity=""):
        return read(body, {IDENTITY_ATTRIBUTE: value}, identity=identity).message_id

    assert known(ours) == "sqs:orders:o-9"
    # An edit may have put an identity into a body that had none.
    assert known(ours, identity="body.id") == "sqs:orders:o-9"
    assert known(ours, BODY + " ", identity="body.id") == "sqs:orders:o-1"
    assert known(ours, "another body") == content("another body")
    assert known(others) == known("sqs:orders:o-9") == known("") == content(BODY)


@pytest.mark.parametrize(
    "forged",
    ["sqs:orders:", "sqs:orders:x y", "sqs:orders:" + "x" * 3_000, "sqs:orders:m.r3", "sqs:orders"],
)
def test_attribute_that_names_no_message_counts_for_nothing(forged):
    value = f"{forged} {hash_of(BODY)}"

    assert read(attributes={IDENTITY_ATTRIBUTE: value}, identity="").message_id == content(BODY)
    by_itself = ids.of_letter("orders", "0000-1111")
    kept = identity_attribute(by_itself, BODY)[IDENTITY_ATTRIBUTE]["StringValue"]
    assert read(attributes={IDENTITY_ATTRIBUTE: kept}).message_id == by_itself


def test_our_attribute_tells_no_expression_anything():
    ours = identity_attribute("sqs:orders:o-9", BODY)[IDENTITY_ATTRIBUTE]["StringValue"]

    found = read(attributes={IDENTITY_ATTRIBUTE: ours}, type="attributes.RedriveIdentity")
    assert found.type == "orders"


def test_labels_are_what_the_registration_says():
    found = read(group="g-1", type="body.kind")

    assert (found.type, found.group_id) == ("order", "g-1")
    assert read(type="'a constant'").type == "a_constant"
    assert read(type="body.missing").type == "orders"
    assert letters.read(replace(STANDARD, group="body.kind"), BODY, {}, "g-1").group_id == "order"


@pytest.mark.parametrize(
    ("error", "attributes", "expected"),
    [
        ("", {}, ("DeadLettered", "It ended on the dead-letter queue after 4 receives.")),
        ("", {"ErrorType": "Late", "ErrorMessage": "too late"}, ("Late", "too late")),
        ("body.kind", {"ErrorType": "Late"}, ("order", "It ended on the dead-letter queue after")),
        ("body.missing", {"ErrorCode": "E7"}, ("E7", "It ended on the dead-letter queue after")),
    ],
)
def test_reason_is_what_is_known(error, attributes, expected):
    found = read(attributes=attributes, receives="4", error=error).reason

    assert found["type"] == expected[0]
    assert found["message"].startswith(expected[1])


@given(
    st.text(), st.text(max_size=200), st.sampled_from(["body.id", "body", "[body.id, group]", ""])
)
def test_no_body_is_too_strange(body, attribute, identity):
    found = read(body, {"a": attribute}, "g", identity=identity)

    assert found.message_id.startswith("sqs:orders:")
    assert found.body_hash == hash_of(body)
    assert read(body, {"a": attribute}, "g", identity=identity) == found

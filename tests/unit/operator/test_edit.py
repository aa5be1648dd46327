"""Edits: another payload, everything else kept, and a new budget."""

import json

import pytest

from tests.support.aws_calls import WorkerDied
from tests.support.cloud import audited
from tests.support.interleaving import every_order, watch
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import LIMIT, in_trouble, row, sent
from workflows.ledger import claims
from workflows.ledger.lookup import MessageNotFound
from workflows.ledger.transitions import NotInTrouble
from workflows.messages.envelope import InvalidPayload, UnknownType, parse
from workflows.messages.limits import MessageTooLarge
from workflows.operator import retry_by_hand
from workflows.operator.edit import asked, edit, merge, patched
from workflows.operator.mend import BodyMissing, ForeignMessage, MessageChanged
from workflows.operator.retry_by_hand import RetryRequest
from workflows.runtime import aws

ACTOR = an_operator()
NEW = a_transaction(amount="11.00")
OTHER = a_transaction(amount="12.00")
CANARY = "canary-7c1f"

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines")


def hash_of(payload):
    return a_message(payload=payload).payload_hash


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_edit_changes_the_payload_and_nothing_else_of_the_message(status):
    message = in_trouble(status, redrives=2)

    answer = edit("m-1", NEW, ACTOR)

    assert answer == row()
    after = parse(row()["body"], "acc-1")
    assert after.model_dump() == message.model_dump() | {"payload": NEW}
    assert (row()["status"], row()["trouble"]) == (status, status)
    assert (row()["redrives"], row()["redrive_limit"]) == (2, 2 + LIMIT)
    assert row()["payload_hash"] == after.payload_hash == hash_of(NEW)
    assert sent() == []


def test_original_and_every_earlier_hash_are_kept():
    message = in_trouble()
    edit("m-1", NEW, ACTOR)
    edit("m-1", OTHER, ACTOR)

    assert row()["original_body"] == message.body()
    assert row()["superseded_hashes"] == [message.payload_hash, hash_of(NEW)]
    edit("m-1", NEW, ACTOR)
    assert row()["superseded_hashes"] == [message.payload_hash, hash_of(NEW), hash_of(OTHER)]
    assert row()["original_body"] == message.body()


def test_hashes_are_bounded_and_the_first_one_stays():
    in_trouble(superseded_hashes=[f"{n:064}" for n in range(100)])

    edit("m-1", NEW, ACTOR)

    hashes = row()["superseded_hashes"]
    assert (len(hashes), hashes[0], hashes[1]) == (100, f"{0:064}", f"{2:064}")
    assert hashes[-1] == a_message().payload_hash


def test_edit_is_told_by_names_and_hashes_and_no_value():
    message = in_trouble()

    edit("m-1", a_transaction(account_id=CANARY), ACTOR)

    (event,) = row()["journey"]
    assert event | {"at": ""} == {
        "event": "edited", "at": "", "by": "o@example.com", "previous_hash": message.payload_hash,
    }  # fmt: skip
    (record,) = audited()
    assert (record["action"], record["result"]) == ("edit_message", "EDITED")
    assert record["input"] == {
        "fields": ["account_id", "amount", "currency", "kind"],
        "previous_hash": message.payload_hash,
        "payload_hash": hash_of(a_transaction(account_id=CANARY)),
    }
    assert CANARY not in json.dumps(record, default=str)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({}, InvalidPayload),
        (a_transaction(amount="-1"), InvalidPayload),
        (a_transaction(note="x"), InvalidPayload),
        (a_transaction(account_id="a b"), InvalidPayload),
        (a_transaction(amount="0" * 12_000 + "1"), MessageTooLarge),
    ],
)
def test_payload_that_could_not_be_sent_is_no_edit(payload, error):
    in_trouble()
    before = row()

    with pytest.raises(error):
        edit("m-1", payload, ACTOR)

    assert (row(), audited()) == (before, [])


def test_message_of_a_type_that_is_gone_cannot_be_edited():
    in_trouble(message=a_message(type="gone"))

    with pytest.raises(UnknownType):
        edit("m-1", NEW, ACTOR)


@pytest.mark.parametrize(
    "status", ["QUEUED", "PROCESSING", "PROCESSED", "RETRYING", "REDRIVEN", "PARKED", "DISCARDED"]
)
def test_message_that_is_not_in_trouble_is_not_edited(status):
    in_trouble(status, trouble=None)
    before = row()

    with pytest.raises(NotInTrouble, match=f"m-1 is {status}"):
        edit("m-1", NEW, ACTOR)
    with pytest.raises(NotInTrouble):
        merge("m-1", {"amount": "11.00"}, ACTOR)

    assert row() == before


def test_what_has_no_envelope_or_no_body_cannot_be_edited():
    with pytest.raises(MessageNotFound):
        edit("m-1", NEW, ACTOR)
    in_trouble("QUARANTINED", message_id="sqs:0-1")
    with pytest.raises(ForeignMessage):
        edit("sqs:0-1", NEW, ACTOR)
    in_trouble("QUARANTINED", body="{")
    with pytest.raises(ForeignMessage):
        edit("m-1", NEW, ACTOR)
    in_trouble("QUARANTINED", body=None)
    with pytest.raises(BodyMissing):
        edit("m-1", NEW, ACTOR)


def test_message_that_the_ledger_never_knew_can_be_edited_and_sent():
    """A run quarantined it: its row has what the run could read, and no sender."""
    in_trouble(
        "QUARANTINED", submitted_by=None, trace_id=None, redrives=0, execution_arns=["arn:1"]
    )

    edit("m-1", NEW, ACTOR)
    retry_by_hand.retry("m-1", RetryRequest(reset_redrives=True), ACTOR)

    ((_, _, body),) = sent()
    assert parse(body, "acc-1").payload == NEW
    assert claims.claim(parse(body, "acc-1"), "sqs-1").decision is claims.Decision.PROCESS


# --- Merge patches ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        # The examples of RFC 7396, appendix A, but those whose patch is no object.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_is_that_of_the_rfc(before, patch, after):
    kept = json.dumps(before)

    assert patched(before, patch) == after
    assert json.dumps(before) == kept


def test_merge_edits_the_payload_or_passes_over_what_it_would_not_change():
    in_trouble()

    assert merge("m-1", {"amount": "10.00"}, ACTOR) is None
    assert audited() == []
    assert merge("m-1", {"amount": "11.00"}, ACTOR) == row()
    assert parse(row()["body"], "acc-1").payload == NEW
    with pytest.raises(InvalidPayload):
        merge("m-1", {"amount": None}, ACTOR)
    assert parse(row()["body"], "acc-1").payload == NEW


def test_names_that_a_client_made_up_are_cut_for_the_audit():
    names = asked({f"{n}-" + "\ud800é" * 5_000: 1 for n in range(5_000)})["fields"]

    assert len(names) == 50
    assert all(len(name) <= 64 and name.isascii() for name in names)


# --- Two at once, and crashes -------------------------------------------------------------


def empty():
    for table, keys in (("Messages", ["message_id"]), ("Audit", ["day", "entry"])):
        for item in aws.dynamodb().scan(TableName=table)["Items"]:
            key = {name: item[name] for name in keys}
            aws.dynamodb().delete_item(TableName=table, Key=key)


def test_two_patches_at_once_are_both_in_or_one_is_told_in_every_order():
    """A patch is of the payload that was read: neither may undo the other."""
    watch(aws.dynamodb())
    lost = []

    def patch(changes):
        try:
            merge("m-1", changes, ACTOR)
        except MessageChanged:
            lost.append(changes)

    def scene():
        empty()
        lost.clear()
        in_trouble()
        return {
            "one": lambda: patch({"amount": "11.00"}),
            "two": lambda: patch({"currency": "USD"}),
        }

    ends = set()
    for order in every_order(scene):
        expected = a_transaction(amount="11.00", currency="USD")
        for changes in lost:
            expected |= {name: a_transaction()[name] for name in changes}
        assert parse(row()["body"], "acc-1").payload == expected, order
        assert len(lost) < 2, order
        assert len(audited()) == len(row()["journey"]) == 2 - len(lost), order
        ends.add(len(lost))
    assert ends == {0, 1}


def test_edit_that_dies_at_any_call_is_whole_or_not_at_all(calls):
    in_trouble()
    calls.ends.clear()
    edit("m-1", NEW, ACTOR)
    ends = list(calls.ends)
    for at, end in enumerate(ends):
        empty()
        in_trouble()
        calls.ends.clear()
        calls.error_at = at
        with pytest.raises(WorkerDied):
            edit("m-1", NEW, ACTOR)
        edited = at > ends.index("before TransactWriteItems")
        assert (row()["payload_hash"] == hash_of(NEW)) == edited, end
        assert len(audited()) == edited, end

        edit("m-1", NEW, ACTOR)
        assert parse(row()["body"], "acc-1").payload == NEW
        assert [record["result"] for record in audited()].count("EDITED") == 1, end
        assert len(row()["journey"]) == 1, end

"""Sending: recorded, then queued, once for each message id, however often it is asked for."""

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ENVIRONMENT, drain
from tests.support.messages import a_transaction
from workflows.ledger import lookup, transitions
from workflows.messages import envelope, limits
from workflows.messages.envelope import InvalidMessage
from workflows.messages.limits import MessageTooLarge
from workflows.runtime import aws
from workflows.send import ConflictingMessage, InvalidRequest, SendRequest, Sent, send

LIMIT = int(ENVIRONMENT["MAX_MESSAGE_BYTES"]) - limits.ATTRIBUTE_RESERVE_BYTES


@pytest.fixture(autouse=True)
def work_queue(tables, queues):
    return lambda: drain(queues, ENVIRONMENT["WORK_QUEUE_URL"])


def ask(message_id="m-1", submitted_by="p@example.com", trace_id="trace-1", **changes):
    fields = {"type": "transaction", "payload": a_transaction(), "message_id": message_id}
    return send(SendRequest.model_validate(fields | changes), submitted_by, trace_id)


def rows():
    return aws.dynamodb().scan(TableName="Messages")["Items"]


def test_message_is_queued_as_it_was_asked_for(work_queue):
    sent = ask()

    assert sent == Sent(message_id="m-1", group_id="acc-1", status="QUEUED", duplicate=False)
    (queued,) = work_queue()
    assert envelope.parse(queued["Body"], "acc-1").payload == a_transaction()
    assert queued["Attributes"]["MessageGroupId"] == "acc-1"
    assert queued["Attributes"]["MessageDeduplicationId"] == "m-1"
    assert "MessageAttributes" not in queued
    assert lookup.get("m-1")["status"] == "ACCEPTED"


def test_server_chooses_an_id_and_each_its_own(work_queue):
    first, second = ask(message_id=None), ask(message_id=None)

    assert first.message_id != second.message_id
    assert [first.duplicate, second.duplicate] == [False, False]
    assert len(work_queue()) == 2


def test_named_group_wins_over_the_account(work_queue):
    assert ask(group_id="mine").group_id == "mine"
    assert work_queue()[0]["Attributes"]["MessageGroupId"] == "mine"


def test_type_without_a_group_makes_the_message_its_own(monkeypatch):
    monkeypatch.setattr("workflows.messages.transaction.group_id", lambda _: None)

    assert ask().group_id == "m-1"


@pytest.mark.parametrize("status", ["QUEUED", "PROCESSING", "PROCESSED", "DEAD", "QUARANTINED"])
def test_repeated_message_is_told_where_the_first_one_is(work_queue, status):
    ask()
    aws.dynamodb().put_item(TableName="Messages", Item=lookup.get("m-1") | {"status": status})

    sent = ask(trace_id="trace-2")

    assert sent == Sent(message_id="m-1", group_id="acc-1", status=status, duplicate=True)
    assert len(work_queue()) == 1


@pytest.mark.parametrize(
    "change", [{"payload": a_transaction(amount="10.01")}, {"group_id": "other"}]
)
def test_other_message_under_the_id_is_a_conflict(work_queue, change):
    ask()
    before = rows()

    with pytest.raises(ConflictingMessage, match="m-1"):
        ask(**change)

    assert rows() == before
    assert len(work_queue()) == 1


def test_conflict_is_seen_before_the_first_one_is_queued(calls):
    calls.error_at = "before SendMessage"
    with pytest.raises(WorkerDied):
        ask()

    with pytest.raises(ConflictingMessage):
        ask(payload=a_transaction(amount="10.01"))


def test_message_that_only_got_accepted_is_sent_again_with_the_same_bytes(calls, work_queue):
    calls.error_at = "after SendMessage"
    with pytest.raises(WorkerDied):
        ask()
    (first,) = work_queue()
    assert lookup.get("m-1")["status"] == "ACCEPTED"

    bodies = []
    aws.sqs().meta.events.register(
        "provide-client-params.sqs.SendMessage", lambda params, **_: bodies.append(params)
    )
    sent = ask(trace_id="trace-2", submitted_by="o@example.com")

    assert sent == Sent(message_id="m-1", group_id="acc-1", status="QUEUED", duplicate=True)
    assert [(sent["MessageBody"], sent["MessageDeduplicationId"]) for sent in bodies] == [
        (first["Body"], "m-1")
    ]


NOTED = ["before UpdateItem", "after UpdateItem"]
ENDS = [f"{end} {call}" for call in ("PutItem", "SendMessage", "UpdateItem") for end in
        ("before", "after")]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("how", ["died", "no answer"])
@pytest.mark.parametrize("repeated", [False, True])
def test_crash_anywhere_and_a_repetition_send_the_message_once(
    calls, work_queue, end, how, repeated
):
    if repeated:
        ask()
    elif end in NOTED:
        return  # the first try notes nothing
    if how == "no answer":
        calls.error = ClientError({"Error": {"Code": "ServiceUnavailable"}}, end)
    calls.error_at = end
    with pytest.raises((WorkerDied, ClientError)):
        ask()

    sent = ask()

    assert calls.error_at is None
    assert sent.status == "QUEUED"
    assert len(work_queue()) == 1


def test_calls_are_made_in_the_order_that_a_crash_needs(calls):
    ask()
    assert calls.ends == [end for end in ENDS if end not in NOTED]

    calls.ends.clear()
    ask()
    assert calls.ends == ENDS


def test_what_was_sent_twice_is_noted_and_not_sent_again(calls):
    ask()
    ask()
    calls.ends.clear()

    assert ask().duplicate
    assert lookup.get("m-1")["status"] == "QUEUED"
    assert "before SendMessage" not in calls.ends


def test_worker_that_was_faster_is_not_set_back(calls, monkeypatch):
    ask()
    monkeypatch.setattr(transitions, "queued", lambda _: transitions.processed("m-1"))

    assert ask().status == "QUEUED"
    assert lookup.get("m-1")["status"] == "PROCESSED"


def padded(zeros):
    """Return a payload that is longer by each zero."""
    return a_transaction(amount="0" * zeros + "1.00")


def test_largest_body_passes_and_one_byte_more_does_not(work_queue):
    ask("m-0", payload=padded(0))
    room = LIMIT - len(work_queue()[0]["Body"])

    ask("m-1", payload=padded(room))
    with pytest.raises(MessageTooLarge, match=f"{LIMIT + 1} bytes.*limit is {LIMIT} bytes"):
        ask("m-2", payload=padded(room + 1))

    assert [len(queued["Body"]) for queued in work_queue()] == [LIMIT]
    assert {row["message_id"] for row in rows()} == {"m-0", "m-1"}


@pytest.mark.parametrize("message_id", ["m.r1", "sqs:m"])
def test_reserved_id_is_refused(message_id):
    with pytest.raises(InvalidRequest, match="message_id"):
        ask(message_id)
    assert rows() == []


@pytest.mark.parametrize("change", [
    {"type": "unknown"}, {"type": ""}, {"type": "\ud800"}, {"payload": {}},
    {"payload": a_transaction(amount="-1")}, {"payload": a_transaction(amount=float("inf"))},
    {"payload": a_transaction(note="\ud800")}, {"payload": a_transaction() | {"\ud800": 1}},
])  # fmt: skip
def test_nothing_is_recorded_of_what_is_invalid(calls, work_queue, change):
    with pytest.raises(InvalidMessage):
        ask(**change)

    assert set(calls.ends) <= {"before GetItem", "after GetItem"}  # whether the type is registered

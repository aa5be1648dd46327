"""What comes beside a body: how it is read, kept and sent; the ways that need no machine."""

import base64
from contextlib import nullcontext
from typing import Any

import pytest

from lambdas import consume_messages
from tests.support.accounts import freeze
from tests.support.aws_events import sqs_record
from tests.support.cloud import drain
from tests.support.invocations import CONTEXT
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import change
from workflows.groups.fences import PARKED
from workflows.ledger import lookup, transitions
from workflows.messages.carried import NOTHING, Carried
from workflows.messages.limits import MessageTooLarge
from workflows.operator import edit, retry_by_hand
from workflows.runtime.settings import settings

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
BINARY = bytes(range(256))
ATTRIBUTES = {
    "tenant": {"DataType": "String", "StringValue": "é😀"},
    "priority": {"DataType": "Number.int", "StringValue": "007"},
    "traceparent": {"DataType": "String.w3c", "StringValue": "00-4bf92f35"},
    "sum": {"DataType": "Binary", "BinaryValue": base64.b64encode(BINARY).decode()},
}
CARRIED = Carried(ATTRIBUTES, TRACE)
# As boto3 takes and gives them.
SENT = ATTRIBUTES | {"sum": {"DataType": "Binary", "BinaryValue": BINARY}}
WHY = {"type": "AccountFrozen", "message": "It is frozen."}
OURS = {"ReasonType", "ReasonMessage"}

pytestmark = pytest.mark.usefixtures("environment")


def numbered(count, value="x"):
    return Carried({f"a{n}": {"DataType": "String", "StringValue": value} for n in range(count)})


def test_table_gives_back_what_it_was_given():
    assert Carried.beside({"body": "{}", "carried": CARRIED.column}) == CARRIED
    assert Carried.beside({"body": "{}"}) == NOTHING


def test_size_is_what_sqs_counts():
    names = sum(map(len, ATTRIBUTES))
    types = sum(len(one["DataType"]) for one in ATTRIBUTES.values())
    values = len("é😀".encode()) + len("007") + len("00-4bf92f35") + 256

    assert CARRIED.size == names + types + values
    assert NOTHING.size == 0


def test_what_is_sent_is_what_came():
    assert CARRIED.arguments() == {
        "MessageAttributes": SENT,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}},
    }
    assert NOTHING.arguments() == {"MessageAttributes": {}}


def test_reason_of_an_earlier_death_is_not_the_sender_s():
    reasons = {name: {"DataType": "String", "StringValue": "old"} for name in OURS}

    assert Carried.of(ATTRIBUTES | reasons) == Carried(ATTRIBUTES)


@pytest.mark.parametrize(
    ("carried", "length", "ours"),
    [
        (NOTHING, 0, OURS),
        (numbered(8), 0, OURS),
        (numbered(9), 0, set()),
        (numbered(10), 0, set()),
        (NOTHING, 12_000 - 1_024, OURS),
        (NOTHING, 12_001 - 1_024, set()),
        (numbered(1, "x" * 1_992), 9_000 - 1_024, OURS),
        (numbered(1, "x" * 1_993), 10_000 - 1_024, set()),
    ],
)
def test_reason_yields_to_the_sender_s_attributes(carried, length, ours):
    found = carried.arguments("x" * length, WHY)["MessageAttributes"]

    assert found.keys() - carried.attributes.keys() == ours
    assert carried.attributes.items() <= found.items()


def record(body, **attributes):
    """Return a record of the work queue with what came beside the body."""
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    written = {
        name: lists | {part[0].lower() + part[1:]: value for part, value in one.items()}
        for name, one in (ATTRIBUTES | attributes).items()
    }
    return sqs_record(body, "acc-1", attributes=written)


def consume(message, **attributes):
    answer = consume_messages.handler({"Records": [record(message.body(), **attributes)]}, CONTEXT)
    assert answer == {"batchItemFailures": []}


@pytest.fixture
def dead_letters(dead_letters):
    """Give what came beside each dead letter."""
    return lambda: [
        (one["MessageAttributes"], one["Attributes"].get("AWSTraceHeader"))
        for one in dead_letters()
    ]


@pytest.fixture
def frozen(tables):
    freeze()


def test_consumer_dead_letters_with_what_came(dead_letters):
    again = {"ReasonType": {"DataType": "String", "StringValue": "OfAnEarlierLife"}}
    consume(a_message(payload=a_transaction(kind="debit")), **again)

    ((attributes, trace),) = dead_letters()
    assert attributes == SENT | {name: attributes[name] for name in OURS}
    assert attributes["ReasonType"]["StringValue"] == "TransactionRejected"
    assert trace == TRACE
    assert lookup.get("m-1")["carried"] == CARRIED.column


def test_message_that_fails_is_kept_with_what_came(tables, machines, frozen):
    consume(a_message())

    assert lookup.get("m-1")["status"] == "RETRYING"
    assert lookup.get("m-1")["carried"] == CARRIED.column


def test_message_is_parked_with_what_came(tables, machines, frozen):
    consume(a_message())
    consume(a_message(message_id="m-2"))

    (item,) = (one for one in tables.scan(TableName="Groups")["Items"] if PARKED in one["item"])
    assert (item["message_id"], item["carried"]) == ("m-2", CARRIED.column)


def test_processed_message_keeps_nothing_of_it(tables, machines, frozen):
    consume(a_message())
    transitions.processed("m-1")

    assert "carried" not in lookup.get("m-1")


def test_exhausted_message_is_quarantined_with_what_came(tables, machines):
    message = a_message()
    transitions.accept(message)
    change(status="DEAD", redrives=3)
    consume(message)

    assert lookup.get("m-1")["status"] == "QUARANTINED"
    assert lookup.get("m-1")["carried"] == CARRIED.column


@pytest.fixture
def dead(dead_letters):
    consume(a_message(payload=a_transaction(kind="debit")))
    return a_message(payload=a_transaction(kind="debit"))


def work(queues):
    ((copy),) = drain(queues, settings().work_queue_url)
    return copy["Body"], copy["MessageAttributes"], copy["Attributes"].get("AWSTraceHeader")


def test_retry_by_hand_sends_what_came(dead, queues):
    retry_by_hand.retry("m-1", retry_by_hand.RetryRequest(), an_operator())

    assert work(queues) == (dead.body(), SENT, TRACE)


def test_old_copy_of_an_edited_message_dies_with_what_the_ledger_has(dead, queues, dead_letters):
    edited = a_transaction(kind="debit", amount="11.00")
    edit.edit("m-1", edited, an_operator())
    drain(queues, settings().dead_letter_queue_url)
    consume(dead, extra={"DataType": "String", "StringValue": "of a copy"})

    ((attributes, trace),) = dead_letters()
    assert attributes.keys() - SENT.keys() == OURS
    assert trace == TRACE


@pytest.mark.parametrize("missing", [0, 1])
def test_edited_message_leaves_room_for_what_came(dead_letters, monkeypatch, missing):
    first = a_message(payload=a_transaction(kind="debit"))
    consume(first, padding={"DataType": "String", "StringValue": "x" * 4_096})
    edited = first.model_copy(update={"payload": a_transaction(kind="debit", amount="11.00")})
    size = len(edited.body()) + 1_024 + Carried.beside(lookup.get("m-1")).size
    monkeypatch.setenv("MAX_MESSAGE_BYTES", str(size - missing))
    settings.cache_clear()

    with pytest.raises(MessageTooLarge) if missing else nullcontext():
        edit.edit("m-1", edited.payload, an_operator())
    assert ("edited_at" in lookup.get("m-1")) == (not missing)

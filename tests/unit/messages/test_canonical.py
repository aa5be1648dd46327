"""A message is what it says, however it is spelled; and no digit of it is lost on the way."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from lambdas import send_message
from tests.support.cloud import ENVIRONMENT, audited, drain
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import LIMIT, change, in_trouble, row
from tests.unit.redrive.test_judge_learnt import judge_one
from workflows.consume import Batch, Delivery
from workflows.ledger import claims, lookup, transitions
from workflows.ledger.claims import Decision
from workflows.messages import canonical, message_types, transaction
from workflows.messages.envelope import InvalidPayload, parse
from workflows.messages.filters import Filter
from workflows.messages.message_types import meaning_hash
from workflows.operator.edit import edit, merge
from workflows.runtime import aws
from workflows.runtime.strict_json import loads
from workflows.send import ConflictingMessage, SendRequest, send

ACTOR = an_operator()
TEN = ["10", "10.0", "10.00", '"10"', '"10.00"', '"0010.0"', "1e1", "100E-1"]
LOSSY = ["10.0000000000000000001", "9.99999999999999999999", "1e-400"]

pytestmark = pytest.mark.usefixtures("tables", "queues")


def spelled(amount: str) -> dict[str, Any]:
    """Return a payload whose amount is written just so, as the API reads it."""
    text = json.dumps(a_transaction(amount="?")).replace('"?"', amount)
    return dict(loads(text))


def ask(amount="10.00", message_id="m-1", **changes):
    fields = {"type": "transaction", "payload": spelled(amount), "message_id": message_id}
    return send(SendRequest.model_validate(fields | changes), "p@example.com", "trace-1")


def on_queue():
    return [found["Body"] for found in drain(aws.sqs(), ENVIRONMENT["WORK_QUEUE_URL"])]


def deliver(body, sqs_id="sqs-1"):
    one = Delivery(body, "acc-1", sqs_id, "1", 1)
    return Batch([one]).consume(one)


def copy(amount: str):
    return a_message(payload=spelled(amount))


# --- One message, many spellings ----------------------------------------------------------


@pytest.mark.parametrize("again", TEN)
@pytest.mark.parametrize("first", ['"10.00"', "10"])
def test_same_payment_under_one_id_is_a_duplicate_however_it_is_spelled(first, again):
    ask(first)

    assert ask(again).duplicate
    assert len(on_queue()) == 1


@pytest.mark.parametrize("other", ["10.01", "1", "100", '"1.0"'])
def test_another_amount_is_another_payment(other):
    ask("10")

    with pytest.raises(ConflictingMessage):
        ask(other)


@pytest.mark.parametrize("again", TEN)
def test_edit_to_the_same_amount_gives_no_new_redrives(again):
    in_trouble(message=copy("10.00"), redrives=2)
    before = row()

    assert edit("m-1", spelled(again), ACTOR) == before
    assert merge("m-1", {"amount": spelled(again)["amount"]}, ACTOR) is None

    assert row() == before
    assert [record["result"] for record in audited()] == ["UNCHANGED"]


def test_producer_s_repetition_in_another_spelling_is_the_same_message_after_an_edit():
    in_trouble(message=copy("10"))
    edit("m-1", spelled("9.00"), ACTOR)
    edit("m-1", spelled("8.00"), ACTOR)

    assert ask("10.0").duplicate
    assert ask('"8.0"').duplicate
    with pytest.raises(ConflictingMessage):
        ask("7")


def test_bytes_that_travel_are_the_sender_s_spelling():
    ask("10.50")
    ask('"7.0"', "m-2")

    first, second = on_queue()
    assert '"amount":10.5,' in first
    assert '"amount":"7.0"' in second


def test_message_that_was_only_recorded_goes_in_the_spelling_of_the_repetition(monkeypatch):
    """The ledger has no body yet, and the first try may have reached the queue as well."""
    transitions.accept(copy("10"))

    assert ask("10.0").duplicate
    (body,) = on_queue()
    assert deliver(body) == "PROCESSED"
    assert deliver(copy("10").body(), "sqs-2") == "SETTLED"


@pytest.mark.parametrize("amount", ["10", '"10.0"'])
@pytest.mark.parametrize("status", ["QUEUED", "REDRIVEN", "DEAD"])
def test_copy_spelled_otherwise_is_claimed(amount, status):
    transitions.accept(copy("10.00"))
    change(status=status)

    claim = claims.claim(copy(amount), "sqs-1")

    assert (claim.decision, claim.body) == (Decision.PROCESS, None)
    assert row()["payload_hash"] == copy("10.00").payload_hash


def test_copy_spelled_otherwise_is_quarantined_when_it_came_back_too_often():
    transitions.accept(copy("10.00"))
    change(status="DEAD", redrives=LIMIT)

    assert deliver(copy('"10.0"').body()) == "EXHAUSTED"
    assert row()["status"] == "QUARANTINED"


def test_copy_of_a_superseded_payload_spelled_otherwise_works_on_the_edited_body():
    in_trouble(message=copy("10"))
    edit("m-1", spelled("9"), ACTOR)

    claim = claims.claim(copy('"10.00"'), "sqs-1")

    assert (claim.decision, claim.body) == (Decision.PROCESS, row()["body"])


def test_dead_letter_spelled_otherwise_is_judged_by_its_row():
    in_trouble(message=copy("10.00"), redrives=0)

    verdict = judge_one(copy('"10"'))

    assert (verdict["verdict"], verdict["ledger_id"]) == ("redrive", "m-1")
    assert verdict["payload_hash"] == row()["payload_hash"]  # the guard's condition
    assert "body" not in verdict


# --- What was stored before ---------------------------------------------------------------


def of_old_code(**columns):
    """Take from the row what was not kept before meanings were."""
    change(meaning_hash=None, edited_meaning_hash=None, **columns)


def test_row_from_before_is_known_by_its_spelling():
    transitions.accept(copy('"10.00"'))
    of_old_code(status="QUEUED")

    assert ask('"10.00"').duplicate
    assert judge_one(copy('"10.00"'))["verdict"] == "redrive"
    assert claims.claim(copy('"10.00"'), "sqs-1").decision is Decision.PROCESS
    assert ask("10").duplicate  # the claim noted what it means


def test_row_that_was_edited_before_keeps_its_older_copies():
    in_trouble(message=copy("9.00"))
    of_old_code(superseded_hashes=[copy("10.00").payload_hash])

    claim = claims.claim(copy("10.00"), "sqs-1")

    assert (claim.decision, claim.body) == (Decision.PROCESS, row()["body"])
    assert claims.claim(copy("10.0"), "sqs-1").decision is Decision.BUSY  # a copy: no conflict
    assert lookup.is_current(copy("9.00"), row())
    assert not lookup.is_current(copy("10"), row())


def test_row_from_before_is_edited_by_what_its_body_says():
    in_trouble(message=copy("10.00"))
    of_old_code()
    before = row()

    assert edit("m-1", spelled("10"), ACTOR) == before
    edit("m-1", spelled("9"), ACTOR)
    assert ask("10.0").duplicate


def test_copy_is_known_after_its_type_s_model_has_changed(monkeypatch):
    ask("10")
    (body,) = on_queue()
    before = meaning_hash(parse(body, "acc-1"))

    class Payload(transaction.Payload):
        note: str = "none"

    monkeypatch.setattr(transaction, "Payload", Payload)

    assert meaning_hash(parse(body, "acc-1")) != before
    assert deliver(body) == "PROCESSED"


# --- No digit is lost ---------------------------------------------------------------------


@pytest.mark.parametrize("amount", [*LOSSY, "10.001", "1234567890123456", "10.0000000000000001"])
def test_amount_with_more_digits_than_are_kept_is_refused_and_named(amount):
    body = json.dumps({"type": "transaction", "payload": a_transaction(amount="?")})
    event = api_event("POST", "/messages/send", body.replace('"?"', amount), roles=("producer",))

    answer = send_message.handler(event, CONTEXT)

    error = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"]) == (422, "invalid_message")
    assert error["message"].startswith("amount: ")
    assert amount not in error["message"]
    assert on_queue() == []


@pytest.mark.parametrize("amount", LOSSY)
def test_amount_written_to_the_queue_with_too_many_digits_is_invalid_and_not_rounded(amount):
    body = a_message(payload=a_transaction(amount="?")).body().replace('"?"', amount)

    assert deliver(body) == "DEAD"
    assert row()["reason"]["type"] == "InvalidPayload"
    assert row()["body"] == body


@pytest.mark.parametrize("amount", LOSSY)
def test_edit_is_no_way_round(amount):
    in_trouble()
    before = row()

    with pytest.raises(InvalidPayload, match="amount"):
        edit("m-1", spelled(amount), ACTOR)
    with pytest.raises(InvalidPayload, match="amount"):
        merge("m-1", {"amount": spelled(amount)["amount"]}, ACTOR)
    assert row() == before


class Loose(BaseModel):
    """Fields of every kind, as a type of somebody's own may have them."""

    model_config = ConfigDict(extra="allow")

    exact: Decimal = Decimal(0)
    rough: float = 0.0
    whole: int = 0
    text: str = ""
    whatever: Any = None
    made: str = Field(default_factory=lambda: str(datetime.now(UTC)))


@pytest.fixture
def loose(monkeypatch):
    kind = SimpleNamespace(
        Payload=Loose, MAX_AGE_SECONDS=None, group_id=lambda _: None, process=lambda *_: None
    )
    monkeypatch.setitem(message_types.TYPES, "loose", kind)


def meaning(**payload):
    return meaning_hash(a_message(type="loose", payload=payload))


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"exact": 1.00000000000000000001}', "exact"),
        ('{"whatever": {"a": [1, 1.00000000000000000001]}}', "whatever.a.1"),
        ('{"unknown": 0.10000000000000000001}', "unknown"),
        ('{"whole": 1.00000000000000000001}', "whole"),
    ],
)
def test_number_that_cannot_travel_whole_is_refused_for_every_type(text, path):
    with pytest.raises(InvalidPayload, match=f"^{path}: ") as refused:
        message_types.validate("loose", loads(text))
    assert "0000" not in str(refused.value)


@pytest.mark.usefixtures("loose")
def test_type_that_keeps_a_double_takes_a_double_in_any_number_of_digits():
    read = message_types.validate("loose", loads('{"rough": 0.10000000000000000555}'))

    assert dict(read)["rough"] == 0.1
    assert '"rough":0.1}' in a_message(payload=loads('{"rough": 0.10000000000000000555}')).body()


def test_number_with_an_exponent_beyond_all_is_no_json():
    for text in ("1e-99999999999999999999", "1e99999999999999999999"):
        with pytest.raises(json.JSONDecodeError, match="a number "):
            loads(text)


def test_filter_takes_a_number_as_a_double_and_asks_for_no_other():
    subject = canonical.as_floats(loads('{"amount": 0.10000000000000000555}'))

    assert subject == {"amount": 0.1}
    with pytest.raises(ValueError, match="more digits"):
        Filter.model_validate({"payload": loads('{"amount": 0.10000000000000000555}')})


# --- The canonical form, for every type ---------------------------------------------------


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"exact": "1.50"}, {"exact": 1.5}),
        ({"exact": "-0.0"}, {"exact": 0}),
        ({"exact": "1E+3"}, {"exact": 1000}),
        ({"rough": -0.0}, {"rough": 0}),
        ({"rough": "1e3"}, {"rough": 1000}),
        ({"whatever": {"a": 10, "b": 2.0}}, {"whatever": {"b": 2, "a": 10.0}}),
        ({"extra": 1}, {"extra": 1.0}),
        ({"exact": 1}, {"exact": 1}),  # though `made` is made anew each time
        ({}, {"exact": 0, "rough": 0, "whole": 0, "text": "", "whatever": None}),
    ],
)
def test_payloads_that_the_model_takes_for_one_mean_the_same(one, other):
    assert meaning(**one) == meaning(**other)


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"whatever": "10"}, {"whatever": 10}),
        ({"whatever": True}, {"whatever": 1}),
        ({"whatever": None}, {"whatever": False}),
        ({"whatever": []}, {"whatever": {}}),
        ({"whatever": ["number", "1e1"]}, {"whatever": 10}),
        ({"exact": "1e-999999"}, {"exact": 0}),
        ({"text": "a"}, {"text": "A"}),
        ({"text": "a"}, {"text": "a "}),
        ({"text": "\u00e9"}, {"text": "e\u0301"}),
        ({"extra": 1}, {}),
        ({"made": "x"}, {"made": "y"}),
    ],
)
def test_payloads_that_the_model_tells_apart_do_not(one, other):
    assert meaning(**one) != meaning(**other)


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False) | st.integers() | st.floats(
    allow_nan=False, allow_infinity=False
)  # fmt: skip


@given(NUMBERS, NUMBERS)
def test_numbers_are_alike_just_if_they_are_equal(one, other):
    exact = [Decimal(repr(n)) if isinstance(n, float) else Decimal(n) for n in (one, other)]

    alike = canonical.canonical(one) == canonical.canonical(other)

    assert alike == (exact[0] == exact[1])
    assert canonical.canonical(one) == canonical.canonical(exact[0])


def test_times_are_moments_and_a_choice_is_its_value():
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    there = noon.astimezone(timezone(timedelta(hours=2)))
    colour = Enum("colour", {"RED": "red"})

    assert canonical.canonical(noon) == canonical.canonical(there)
    assert canonical.canonical(noon) != canonical.canonical(noon.replace(tzinfo=None))
    assert canonical.canonical(colour["RED"]) == canonical.canonical("red")


def test_what_hides_its_value_is_known_by_its_spelling(loose, monkeypatch):
    class Payload(BaseModel):
        secret: SecretStr

    monkeypatch.setattr(message_types.TYPES["loose"], "Payload", Payload)

    assert meaning(secret="one") != meaning(secret="two")
    with pytest.raises(TypeError):
        canonical.canonical(Payload(secret="one"))


def test_payload_that_its_type_cannot_read_is_known_by_its_spelling():
    message = a_message(payload={"amount": 1})
    assert meaning_hash(message) == message.payload_hash

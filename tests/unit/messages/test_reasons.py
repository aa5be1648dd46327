"""Reasons: a cause is the error, not whom it met; failures are grouped by what all of them say."""

import random
import re
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lambdas import list_dead_letters
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction
from tests.unit.ledger.test_trouble import put
from workflows.consume import Batch, Delivery
from workflows.ledger import trouble
from workflows.messages import filters, message_types
from workflows.messages.envelope import InvalidEnvelope, InvalidMessage, InvalidPayload, parse
from workflows.messages.limits import RedriveLimitReached
from workflows.messages.reasons import Cause, fingerprint, reason_of
from workflows.messages.transaction import AccountFrozen, TransactionRejected
from workflows.operator import failures
from workflows.queues.queue import default
from workflows.runtime import aws

TEXT = st.text(st.characters(exclude_categories=[]))  # lone surrogates too
NAMES = ["bob", "ann-marie", "a" * 119]
FROZEN = "Account {account_id} is frozen."


def frozen(name):
    return AccountFrozen(FROZEN, account_id=name)


def one_cause(errors):
    return len({fingerprint("transaction", reason_of(error)) for error in errors}) == 1


def test_error_with_fields_reads_as_a_sentence_and_keeps_its_template():
    why = reason_of(frozen("bob"))

    assert why == {
        "type": "AccountFrozen", "message": "Account bob is frozen.", "template": FROZEN,
    }  # fmt: skip
    assert str(frozen("bob")) == "Account bob is frozen."


def test_error_without_fields_has_no_template_whatever_its_text_holds():
    found = reason_of(InvalidMessage("a {b} {c"))
    assert found == {"type": "InvalidMessage", "message": "a {b} {c"}
    assert reason_of(Cause()) == {"type": "Cause", "message": reason_of(Cause())["message"]}
    assert "template" not in reason_of(ValueError("Account bob is frozen."))


def test_whom_it_met_splits_no_cause_and_what_it_is_does():
    assert one_cause([frozen(name) for name in NAMES])
    assert not one_cause([frozen("bob"), AccountFrozen("It is frozen.")])
    assert not one_cause([frozen("bob"), TransactionRejected(FROZEN, account_id="bob")])


@pytest.mark.parametrize("name", ["x{y}", "{account_id}", "a b\n\x00'\"\\", "\ud800é", ""])
def test_value_is_never_taken_for_a_template(name):
    assert one_cause([frozen(name), frozen("bob")])
    assert reason_of(frozen(name))["template"] == FROZEN


def test_template_is_kept_as_a_message_is():
    why = reason_of(Cause('"{a}"\\\n é' + "x" * 500, a=1))

    assert why["template"].startswith("'{a}'/ ?x")
    assert len(why["template"]) == 64


def test_cause_is_that_of_rows_from_before_if_the_name_had_a_digit():
    before = {"type": "AccountFrozen", "message": "Account acct-7 is frozen."}

    assert fingerprint("t", before) == fingerprint("t", reason_of(frozen("acct-7")))
    assert fingerprint("t", reason_of(frozen("bob"))) == fingerprint("t", before)


def failed(*names, **payload):
    """Return the reasons with which the consumer notes messages of accounts of these names."""
    found = []
    for name in names:
        aws.dynamodb().put_item(TableName="Accounts", Item={"account_id": name, "currency": "EUR"})
        message = a_message(
            message_id=f"m-{name}"[:99],
            group_id=name,
            payload=a_transaction(account_id=name) | payload,
        )
        one = Delivery(message.body(), name, "sqs-1", "1", 1)
        Batch([one]).consume(one)
        found.append(aws.dynamodb().get_item(
            TableName="Messages", Key={"message_id": message.message_id}
        )["Item"]["reason"])  # fmt: skip
    return found


@pytest.mark.usefixtures("tables", "queues", "machines")
@pytest.mark.parametrize("payload", [{"kind": "debit"}, {"currency": "USD"}, {"amount": "-1"}])
def test_built_in_type_raises_causes(payload):
    whys = failed(*NAMES, **payload)

    assert len({fingerprint("transaction", why) for why in whys}) == 1
    assert whys[0]["type"] in ("TransactionRejected", "InvalidPayload")


@pytest.mark.usefixtures("tables", "queues", "machines")
def test_three_accounts_without_digits_and_one_error_are_one_cause_in_the_list():
    for number, name in enumerate(NAMES):
        put(number, reason=reason_of(frozen(name)))
    put(3, reason={"type": "AccountFrozen", "message": "Account acct-7 is frozen."})  # from before

    (group,) = failures.causes(default()).groups

    assert group.count == 4
    wanted = filters.Filter(fingerprint=group.fingerprint)
    assert len(list(trouble.every("DEAD", wanted))) == 4
    event = api_event(
        "GET", "/messages/dlq", query={"fingerprint": group.fingerprint or ""}, roles=("producer",)
    )
    answer = list_dead_letters.handler(event, CONTEXT)["body"]
    assert '"message":"Account bob is frozen."' in answer
    assert "template" not in answer


def invalid(**payload):
    with pytest.raises(InvalidPayload) as raised:
        message_types.validate("transaction", a_transaction() | payload)
    return raised.value


@pytest.mark.usefixtures("environment")
def test_names_that_a_sender_made_up_split_no_cause_either():
    assert one_cause([invalid(note=1), invalid(remark=2), invalid(a=1, b=2)])
    assert not one_cause([invalid(note=1), invalid(note=1, amount="x")])
    assert not one_cause([invalid(amount="x"), invalid(kind="x")])
    assert "note: " in str(invalid(note=1))
    assert "template" not in reason_of(invalid(amount="x"))  # it would say the same


@pytest.mark.usefixtures("environment")
def test_payload_with_many_unknown_fields_is_described_shortly():
    found = invalid(**{f"{number:03}" + "x" * 99: 1 for number in range(99)})

    assert len(str(found)) < 4_096
    assert str(found).endswith("; and 79 more")
    assert one_cause([found, invalid(note=1)])


def test_envelope_s_made_up_fields_are_one_cause():
    found = []
    for name in ("priority", "note"):
        with pytest.raises(InvalidEnvelope, match=name) as raised:
            parse(a_message().body()[:-1] + f',"{name}":1}}', "acc-1")
        found.append(raised.value)
    assert one_cause(found)


def test_number_that_would_be_rounded_is_one_cause_in_whatever_field(monkeypatch):
    class Payload(BaseModel, extra="allow"):
        pass

    monkeypatch.setitem(message_types.TYPES, "loose", SimpleNamespace(Payload=Payload))
    body = a_message(type="loose", payload={"?": 1}).body()
    errors = []
    for name in ("one", "other"):
        message = parse(body.replace('"?":1', f'"{name}":1.00000000000000000001'), "acc-1")
        with pytest.raises(InvalidPayload, match=name) as raised:
            message_types.validate("loose", message.payload)
        errors.append(raised.value)

    assert one_cause(errors)


# --- Unknown texts ------------------------------------------------------------------------


def normalized(text):
    """Return what stands in the fingerprint, by the expression of old: slow, and plain."""
    return re.sub(r"\S*\d\S*", "#", text.lower())


def test_unknown_texts_are_taken_for_alike_just_as_ever():
    chance = random.Random(14)  # noqa: S311 - the same texts at each run, no secret
    letters = "ab1 9.\t'é٣{}\u2003"
    texts = ["".join(chance.choices(letters, k=chance.randint(0, 12))) for _ in range(2_000)]
    prints = [fingerprint("t", {"type": "E", "message": text}) for text in texts]

    for text, found in zip(texts, prints, strict=True):
        plain = normalized(text)
        assert found == fingerprint("t", {"type": "E", "message": plain.replace("#", "0")})
    assert len(set(prints)) == len({normalized(text) for text in texts})


@pytest.mark.parametrize(
    "text",
    [letters * 50_000 for letters in ("aa", "{{", "a1", "1 ")],
    ids=["letters", "braces", "digits", "words"],
)
def test_long_text_without_spaces_takes_linear_time(text):
    """Hundredths of a second of work, where the expression of old took most of a minute."""
    begun = time.process_time()

    fingerprint("t", {"type": "E", "message": text})
    fingerprint("t", {"type": "E", "message": "", "template": text})

    assert time.process_time() - begun < 5


# --- Through the machines -----------------------------------------------------------------


@given(TEXT)
def test_reason_is_what_sqs_allows_in_an_attribute(text):
    why = reason_of(AccountFrozen(text))

    assert why["type"] == "AccountFrozen"
    assert re.fullmatch(r"[\x20-\x7e]{1,256}", why["message"])


def test_reason_keeps_plain_text_and_falls_back_to_the_error_s_own_sentence():
    assert reason_of(AccountFrozen("Account a is frozen."))["message"] == "Account a is frozen."
    assert reason_of(AccountFrozen(" two\n lines\t"))["message"] == "two lines"
    assert reason_of(RedriveLimitReached())["message"] == RedriveLimitReached.__doc__
    assert reason_of(type("Bare", (Exception,), {})()) == {"type": "Bare", "message": "no message"}


def test_fingerprint_leaves_ids_and_numbers_out():
    one, two = ({"type": "E", "message": f"Account {n} is FROZEN."} for n in ("acc-1", "77"))

    assert fingerprint("t", one) == fingerprint("t", two)
    assert fingerprint("t", one) == "757ed84ec690621f"  # in people's filters: it may not change


def test_fingerprint_tells_class_text_and_type_apart():
    seen = {
        fingerprint(message_type, {"type": error, "message": text})
        for message_type in ("t", "u")
        for error in ("E", "F")
        for text in ("frozen", "poor")
    }
    assert len(seen) == 8

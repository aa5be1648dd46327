"""The built-in type: an account moves once a message, to the cent, or not at all."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.messages import a_transaction
from workflows.messages import transaction
from workflows.messages.envelope import InvalidMessage
from workflows.messages.transaction import (
    AccountFrozen,
    Payload,
    TransactionRejected,
    process,
)
from workflows.runtime import aws

ACCOUNT = "acc-1"

pytestmark = pytest.mark.usefixtures("tables")


def payload(**changes):
    return Payload.model_validate(a_transaction(**changes))


def account():
    return aws.dynamodb().get_item(TableName="Accounts", Key={"account_id": ACCOUNT}).get("Item")


def has_account(**attributes):
    aws.dynamodb().put_item(TableName="Accounts", Item={"account_id": ACCOUNT} | attributes)


def items():
    return aws.dynamodb().scan(TableName="Accounts")["Items"]


def test_message_that_was_applied_stays_applied_whatever_the_account_is_now():
    process("m-1", payload())
    has_account(balance=Decimal(0), status="FROZEN", currency="USD")

    process("m-1", payload())

    assert account()["balance"] == Decimal(0)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=8))
def test_credits_and_debits_add_up_to_the_cent(cents):
    for item in items():
        aws.dynamodb().delete_item(TableName="Accounts", Key={"account_id": item["account_id"]})
    for number, cent in enumerate(cents):
        process(f"c-{number}", payload(amount=str(Decimal(cent) / 100)))
    for number, cent in enumerate(cents[1:]):
        process(f"d-{number}", payload(kind="debit", amount=str(Decimal(cent) / 100)))

    assert account()["balance"] == Decimal(cents[0]) / 100


def test_debit_of_the_whole_balance_is_taken_and_of_a_cent_more_is_not():
    process("m-1", payload(amount="0.10"))

    with pytest.raises(TransactionRejected, match="does not cover"):
        process("m-2", payload(kind="debit", amount="0.11"))
    process("m-3", payload(kind="debit", amount="0.10"))

    assert account()["balance"] == 0


def test_unknown_account_is_active_at_zero():
    with pytest.raises(TransactionRejected, match=f"account {ACCOUNT} does not cover"):
        process("m-1", payload(kind="debit", amount="0.01"))
    assert items() == []

    process("m-2", payload(amount="0.01"))
    assert account() == {"account_id": ACCOUNT, "balance": Decimal("0.01"), "currency": "EUR"}


def test_account_with_only_a_status_is_at_zero():
    has_account(status="ACTIVE")

    with pytest.raises(TransactionRejected):
        process("m-1", payload(kind="debit"))
    process("m-2", payload())

    assert (account()["balance"], account()["status"]) == (Decimal(10), "ACTIVE")


@pytest.mark.parametrize("kind", ["credit", "debit"])
@pytest.mark.parametrize("more", [{}, {"balance": Decimal(99)}, {"currency": "USD"}])
def test_frozen_account_takes_nothing_and_may_be_tried_again(kind, more):
    has_account(status="FROZEN", **more)

    with pytest.raises(AccountFrozen, match=ACCOUNT) as raised:
        process("m-1", payload(kind=kind))

    assert not isinstance(raised.value, InvalidMessage)
    assert items() == [{"account_id": ACCOUNT, "status": "FROZEN"} | more]


@pytest.mark.parametrize("kind", ["credit", "debit"])
def test_other_currency_is_rejected_for_good(kind):
    process("m-1", payload(amount="99"))
    before = items()

    with pytest.raises(TransactionRejected, match="another currency") as raised:
        process("m-2", payload(kind=kind, currency="USD"))

    assert isinstance(raised.value, InvalidMessage)
    assert items() == before


@pytest.mark.parametrize("message_id", ["m-1", "acc-1", "APPLIED", "a" * 120])
def test_message_named_like_an_account_touches_no_other_account(message_id):
    process(message_id, payload())

    assert account()["balance"] == Decimal(10)
    assert len(items()) == 2


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ValidationError"])
@pytest.mark.parametrize("first", ["None", "TransactionConflict"])
def test_cancelled_for_no_reason_of_ours_is_retryable(monkeypatch, code, first):
    client = aws.dynamodb()
    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": ""},
        "CancellationReasons": [{"Code": first}, {"Code": code}],
    }
    error = client.exceptions.TransactionCanceledException(response, "TransactWriteItems")
    monkeypatch.setattr(client, "transact_write_items", lambda **_: (_ for _ in ()).throw(error))

    with pytest.raises(client.exceptions.TransactionCanceledException) as raised:
        process("m-1", payload())
    assert not isinstance(raised.value, InvalidMessage)


@pytest.mark.parametrize(
    "change",
    [
        *({"amount": amount} for amount in ("0", "-1", "0.001", "NaN", "Infinity", float("inf"))),
        *({"amount": amount} for amount in ("1000000000000000", None, True, [1])),
        {"amount": "1." + "0" * 38},  # pydantic counts no zeros, and DynamoDB has no room
        *({"kind": kind} for kind in ("transfer", None)),
        *({"currency": currency} for currency in ("eur", "EURO", "EU\n")),
        *({"account_id": name} for name in ("", "APPLIED#m-1", "a" * 121, 1)),
        {"note": "more"},
    ],
    ids=str,
)
def test_what_is_no_transaction_is_refused(change):
    with pytest.raises(ValidationError):
        payload(**change)


@pytest.mark.parametrize("amount", ["0.01", 1, 9999999999999.99, "9999999999999.99", "1.50"])
def test_amounts_from_a_cent_to_fifteen_digits_are_kept_exactly(amount):
    assert payload(amount=amount).amount == Decimal(str(amount))


@pytest.mark.parametrize(
    ("held", "asked", "error"),
    [
        ({"status": "FROZEN"}, {}, AccountFrozen),
        ({"currency": "USD"}, {}, TransactionRejected),
        ({"balance": Decimal(1)}, {"kind": "debit"}, TransactionRejected),
    ],
    ids=["frozen", "currency", "balance"],
)
def test_account_that_changes_after_it_was_looked_at_refuses_by_its_condition(
    monkeypatch, held, asked, error
):
    has_account(**held)
    before = items()
    monkeypatch.setattr(transaction, "_item", lambda key: {"balance": Decimal(10**9)})

    with pytest.raises(error):
        process("m-1", payload(**asked))

    assert items() == before


def test_refusal_is_looked_at_and_not_written(calls):
    has_account(status="FROZEN")
    calls.ends.clear()

    with pytest.raises(AccountFrozen):
        process("m-1", payload())

    assert set(calls.ends) == {"before GetItem", "after GetItem"}

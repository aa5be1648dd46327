"""The built-in message type `transaction`: a credit or debit of one account, applied once.

The effect is one DynamoDB transaction that writes the balance and, beside it, the message id:
a second application of the same message finds its own id and changes nothing.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from workflows.messages.envelope import InvalidMessage
from workflows.messages.ids import Identifier
from workflows.messages.reasons import Cause
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.settings import settings

# Two weeks, the longest that SQS keeps a dead letter: a payment that old is for a person to decide.
MAX_AGE_SECONDS = 1_209_600


class AccountFrozen(Cause):
    """The account takes no transactions until it is unfrozen."""


class TransactionRejected(InvalidMessage):
    """The account cannot take this transaction: too low a balance, or another currency."""


def _plain_number(value: object) -> object:
    # Python reads more as a number than a payment should be: underscores, other alphabets' digits.
    # And pydantic does not count zeros at the end, while DynamoDB keeps no more than 38 digits.
    if isinstance(value, bool) or (
        isinstance(value, str) and not re.fullmatch(r"[0-9]+(\.[0-9]{1,15})?", value)
    ):
        raise ValueError("Input should be a finite number, written with digits and a point")
    return value


class Payload(BaseModel):
    """What a transaction says. `amount` is in units of `currency`, to the cent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Annotated[Identifier, Field(description="The account, which is the group too.")]
    kind: Annotated[Literal["credit", "debit"], Field(description="Adds to it, or takes from it.")]
    # 15 digits: what a JSON number keeps exactly in every language.
    amount: Annotated[
        Decimal, BeforeValidator(_plain_number), Field(gt=0, max_digits=15, decimal_places=2)
    ] = Field(description="In units of the currency, to the cent.")
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(
        description="ISO 4217's code of three letters."
    )


def group_id(payload: Payload) -> str:
    """Return the message group that keeps an account's transactions in order: the account."""
    return payload.account_id


def process(message_id: str, payload: Payload) -> None:
    """Apply the transaction to its account, once for each message id.

    An account that does not exist is ACTIVE with a balance of 0.

    Raises:
        AccountFrozen: try again later.
        TransactionRejected: the debit is more than the balance.
    """
    # Looked at first: a refused transaction costs four write units, a look a fifth of one.
    refusal = _refusal(payload, _item(payload.account_id))
    if refusal is not None and not _item(_applied_key(message_id)):
        raise refusal
    change = payload.amount if payload.kind == "credit" else -payload.amount
    try:
        dynamodb().transact_write_items(
            TransactItems=[
                {
                    "Put": {
                        "TableName": settings().accounts_table,
                        "Item": {
                            "account_id": _applied_key(message_id),
                            "change": change,
                            "of_account": payload.account_id,
                        },
                        "ConditionExpression": "attribute_not_exists(account_id)",
                    }
                },
                {"Update": _to_balance(payload, change)},
            ]
        )
    except dynamodb().exceptions.TransactionCanceledException as error:
        _explain(error, payload)


def _to_balance(payload: Payload, change: Decimal) -> Any:
    """Return the update of an account that can take the transaction."""
    condition = (
        "(attribute_not_exists(#status) OR #status <> :frozen)"
        " AND (attribute_not_exists(currency) OR currency = :currency)"
    )
    values: dict[str, Any] = {
        ":change": change,
        ":zero": Decimal(0),
        ":frozen": "FROZEN",
        ":currency": payload.currency,
    }
    if payload.kind == "debit":
        condition += " AND balance >= :amount"
        values[":amount"] = payload.amount
    return {
        "TableName": settings().accounts_table,
        "Key": {"account_id": payload.account_id},
        "UpdateExpression": "SET balance = if_not_exists(balance, :zero) + :change,"
        " currency = if_not_exists(currency, :currency)",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _applied_key(message_id: str) -> str:
    # '#' cannot stand in an account id, so the two kinds of item never meet.
    return f"APPLIED#{message_id}"


def _explain(error: ClientError, payload: Payload) -> None:
    cancellations: Any = error.response["CancellationReasons"]
    applied, account = cancellations
    if applied["Code"] == "ConditionalCheckFailed":
        return  # This very message was applied before.
    if account["Code"] != "ConditionalCheckFailed":
        raise error  # Conflict or throttling: nothing was written, so any retry may try again.
    refusal = _refusal(payload, plain(account))
    if refusal is None:
        raise error  # an account that was changed by hand in the same moment
    raise refusal from None


def _item(key: str) -> dict[str, Any]:
    answer: Any = dynamodb().get_item(
        TableName=settings().accounts_table, Key={"account_id": key}, ConsistentRead=True
    )
    return dict(answer.get("Item", {}))


def _refusal(payload: Payload, account: dict[str, Any]) -> Exception | None:
    """Return why an account cannot take a transaction, as the condition of `_to_balance` has it."""
    whom = payload.account_id
    if account.get("status") == "FROZEN":
        return AccountFrozen("Account {account_id} is frozen.", account_id=whom)
    if account.get("currency", payload.currency) != payload.currency:
        return TransactionRejected(
            "Account {account_id} is kept in another currency.", account_id=whom
        )
    if payload.kind == "debit" and account.get("balance", 0) < payload.amount:
        return TransactionRejected(
            "The balance of account {account_id} does not cover the debit.", account_id=whom
        )
    return None

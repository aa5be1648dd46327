"""A message type for tests, copied as `workflows/messages/entry.py` into a scratch project.

The effects of a group, in their order, are the list `effects` of the group's item in `Accounts`.
"""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict

from workflows.messages.envelope import InvalidMessage
from workflows.messages.ids import Identifier
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings


class EntryFailed(Exception):
    """The entry was told to fail this time."""


class AccountFrozen(Exception):
    """The account that the entry depends on is frozen."""


class EntryRejected(InvalidMessage):
    """The entry was told that it is invalid."""


MAX_AGE_SECONDS = None


class Payload(BaseModel):
    """What to do before the effect.

    `fails` and `crash` count the tries that fail or kill the worker, `frozen_by` names an account
    that stops it while its status is FROZEN, `rejected_by` one that makes it invalid until then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Identifier
    number: int
    fails: int = 0
    crash: int = 0
    frozen_by: Identifier | None = None
    rejected_by: Identifier | None = None


def group_id(payload: Payload) -> str:
    """Return the group, whose item keeps the effects."""
    return payload.account_id


def process(message_id: str, payload: Payload) -> None:
    """Append the entry's number to the effects of its group, once."""
    if payload.rejected_by and _is_frozen(payload.rejected_by):
        raise EntryRejected
    if payload.frozen_by and _is_frozen(payload.frozen_by):
        raise AccountFrozen
    if payload.crash and _count(message_id, "crashes") <= payload.crash:
        os._exit(1)  # as out of memory does
    if payload.fails and _count(message_id, "failures") <= payload.fails:
        raise EntryFailed
    try:
        dynamodb().update_item(
            TableName=settings().accounts_table,
            Key={"account_id": payload.account_id},
            UpdateExpression="SET effects = list_append(if_not_exists(effects, :none), :one)",
            ConditionExpression="attribute_not_exists(effects) OR NOT contains(effects, :number)",
            ExpressionAttributeValues={
                ":none": [],
                ":one": [payload.number],
                ":number": payload.number,
            },
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        return  # This very entry was made before.


def _is_frozen(account_id: str) -> bool:
    account: Any = dynamodb().get_item(
        TableName=settings().accounts_table, Key={"account_id": account_id}, ConsistentRead=True
    )
    return bool(account.get("Item", {}).get("status") == "FROZEN")


def _count(message_id: str, what: str) -> int:
    answer: Any = dynamodb().update_item(
        TableName=settings().accounts_table,
        Key={"account_id": f"TRIES#{message_id}"},
        UpdateExpression="ADD #what :one",
        ExpressionAttributeNames={"#what": what},
        ExpressionAttributeValues={":one": 1},
        ReturnValues="UPDATED_NEW",
    )
    return int(answer["Attributes"][what])

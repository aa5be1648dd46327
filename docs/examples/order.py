"""A message type with a table of its own: an order, stored once."""

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from workflows.messages.envelope import InvalidMessage
from workflows.messages.ids import Identifier
from workflows.runtime.aws import dynamodb

MAX_AGE_SECONDS = 604_800  # an order of last week is for a person to decide


class OrderRejected(InvalidMessage):
    """The order can never be stored."""


class Payload(BaseModel):
    """What an order says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: Annotated[Identifier, Field(description="Whose order it is; the group too.")]
    quantity: Annotated[int, Field(description="Of what is ordered.")]


def group_id(payload: Payload) -> str:
    """Return the message group that keeps a customer's orders in order: the customer."""
    return payload.customer


def process(message_id: str, payload: Payload) -> None:
    """Store the order, once for each message id.

    Raises:
        OrderRejected: it is of nothing.
    """
    if payload.quantity < 1:
        raise OrderRejected("An order of {quantity}.", quantity=payload.quantity)
    try:
        dynamodb().put_item(
            TableName=os.environ["ORDERS_TABLE"],
            Item={"message_id": message_id, **payload.model_dump()},
            ConditionExpression="attribute_not_exists(message_id)",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        return  # this very order was stored before

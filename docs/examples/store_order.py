"""An effect in Python: store an order, once for each message."""

import json
import os
from decimal import Decimal

import boto3

orders = boto3.resource("dynamodb").Table(os.environ["ORDERS_TABLE"])


class InvalidMessage(Exception):
    """By this name of an error, and no other, the message is dead at once."""


def handler(event, context):
    # DynamoDB takes no floats.
    order = json.loads(json.dumps(event["payload"]), parse_float=Decimal)
    if order.get("quantity", 0) < 1:
        raise InvalidMessage("An order of nothing.")
    order |= {"message_id": event["message_id"], "attempt": event["attempt"]}
    try:
        orders.put_item(Item=order, ConditionExpression="attribute_not_exists(message_id)")
    except orders.meta.client.exceptions.ConditionalCheckFailedException:
        pass  # this very message has had its effect

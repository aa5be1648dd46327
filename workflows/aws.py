"""The AWS clients of this process, made on first use and kept while it lives."""

import random
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# A Lambda has 30 s: two tries of 5 s leave time to say what failed, unlike botocore's 60 s each.
_CONFIG = Config(
    connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}
)


_CONFLICT_TRIES = 6


@cache
def dynamodb() -> "DynamoDBClient":
    """Return a DynamoDB client that takes and gives plain Python values (numbers as `Decimal`)."""
    resource: Any = boto3.resource("dynamodb", config=_CONFIG)
    client: DynamoDBClient = resource.meta.client
    return client


def plain(failure: Any) -> dict[str, Any]:
    """Return the item that a failed condition came with, as plain Python values.

    boto3 leaves it as `{"S": …}`. `failure` is an error's response or a cancellation reason;
    an item that does not exist gives {}.
    """
    item = failure.get("Item", {})
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def transact(items: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Write all items or none; return None if they were written, else each one's reason.

    A reason is {"Code": "None"} or {"Code": "ConditionalCheckFailed"}, with the item where it was
    asked for. A conflict with another transaction is tried again: it says nothing about the items.

    Raises:
        ClientError: anything but a failed condition.
    """
    for attempt in range(_CONFLICT_TRIES):
        try:
            dynamodb().transact_write_items(TransactItems=items)  # type: ignore[arg-type]
        except dynamodb().exceptions.TransactionCanceledException as error:
            reasons: Any = error.response["CancellationReasons"]
            codes = {reason["Code"] for reason in reasons}
            if codes <= {"None", "ConditionalCheckFailed"}:
                return list(reasons)
            if codes - {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                raise
            if attempt + 1 == _CONFLICT_TRIES:
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, no secret
        else:
            return None
    raise AssertionError("unreachable")


@cache
def sqs() -> "SQSClient":
    """Return an SQS client."""
    return boto3.client("sqs", config=_CONFIG)


@cache
def stepfunctions() -> "SFNClient":
    """Return a Step Functions client."""
    return boto3.client("stepfunctions", config=_CONFIG)

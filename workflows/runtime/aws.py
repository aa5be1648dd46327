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

# Of a write that meets a transaction: all pauses together are 1.6 s at most. A transaction holds an
# item for milliseconds, and API Gateway waits for 29 s.
_TRIES = 6
# Why a transaction is cancelled: what it says of the items, and what passes by itself.
_ANSWERS = {"None", "ConditionalCheckFailed"}
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


@cache
def dynamodb() -> "DynamoDBClient":
    """Return a DynamoDB client that takes and gives plain Python values (numbers as `Decimal`).

    A write of one item that a transaction holds is tried again, as `transact` does.
    """
    resource: Any = boto3.resource("dynamodb", config=_CONFIG)
    client: DynamoDBClient = resource.meta.client
    # botocore's own rules, which hang on the same event, know throttling and no conflict.
    on: Any = client.meta.events.register  # by its stubs, no handler answers
    on("needs-retry.dynamodb", _after_conflict)
    return client


def _after_conflict(response: Any, attempts: int, **_: Any) -> float | None:
    """Tell botocore in how many seconds to try again; None leaves that to its own rules.

    A conflict says that nothing was written, and nothing about the write's condition. A transaction
    that meets another has an error of another name, so it is not tried again here as well.
    """
    code = response[1].get("Error", {}).get("Code") if response else None
    if code != "TransactionConflictException" or attempts >= _TRIES:
        return None
    return _pause(attempts)


def _pause(attempt: int) -> float:
    return random.uniform(0, 0.025 * 2**attempt)  # noqa: S311 - jitter, no secret


def plain(failure: Any) -> dict[str, Any]:
    """Return the item that a failed condition came with, as plain Python values.

    boto3 leaves it as `{"S": …}`. `failure` is an error's response or a cancellation;
    an item that does not exist gives {}.
    """
    item = failure.get("Item", {})
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def transact(items: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Write all items or none; return None if they were written, else each one's cancellation.

    A cancellation is {"Code": "None"} or {"Code": "ConditionalCheckFailed"}, with the item where it
    was asked for. A conflict with another write, or throttling, is tried again: it passes, and says
    nothing about the items.

    Raises:
        ClientError: anything but a failed condition.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            dynamodb().transact_write_items(TransactItems=items)  # type: ignore[arg-type]
        except dynamodb().exceptions.TransactionCanceledException as error:
            cancellations: Any = error.response["CancellationReasons"]
            codes = {one["Code"] for one in cancellations}
            if codes <= _ANSWERS:
                return list(cancellations)
            if attempt == _TRIES or not codes <= _ANSWERS | _PASSING:
                raise
            time.sleep(_pause(attempt))
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

"""The AWS clients of this process, made on first use and kept while it lives."""

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


@cache
def sqs() -> "SQSClient":
    """Return an SQS client."""
    return boto3.client("sqs", config=_CONFIG)


@cache
def stepfunctions() -> "SFNClient":
    """Return a Step Functions client."""
    return boto3.client("stepfunctions", config=_CONFIG)

"""The AWS clients of this process, made on first use and kept while it lives."""

import random
import time
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.loaders import Loader

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# So many calls one process makes side by side, each on a connection of its own.
AT_ONCE = 64

# A Lambda has 30 s: two tries of 5 s leave time to say what failed, unlike botocore's 60 s each.
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=AT_ONCE,
)
# So long a function that is an effect is waited for. It is not asked again here: whether it was at
# work nobody knows, and the retry machine asks when it may.
EFFECT_SECONDS = 10
_EFFECT_CONFIG = Config(
    connect_timeout=2,
    read_timeout=EFFECT_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)
# S3 is asked for no checksums: TLS sees to what arrives.
_S3_CONFIG = _CONFIG.merge(Config(response_checksum_validation="when_required"))
# API Gateway gives an authorizer 10 s: two tries of 2 s leave time to say what failed.
_QUICK_CONFIG = Config(
    connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2}
)

# Of a write that meets a transaction: all pauses together are 1.6 s at most. A transaction holds an
# item for milliseconds, and API Gateway waits for 29 s.
_TRIES = 6
# Why a transaction is cancelled: what it says of the items, and what passes by itself.
_ANSWERS = {"None", "ConditionalCheckFailed"}
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class _Services(Loader):
    """Has the services that are used here; botocore looks through the folders of all of AWS's."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's
        return ["dynamodb", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions"]


_SERVICES = _Services()


@cache
def session() -> Any:
    """Return botocore's session.

    boto3's would load what copies files to S3 and makes classes of resources, which takes longer
    than much of a start-up.
    """
    found = botocore.session.Session()
    found.register_component("data_loader", _SERVICES)
    return found


@cache
def dynamodb() -> "DynamoDBClient":
    """Return a DynamoDB client that takes and gives plain Python values (numbers as `Decimal`).

    A write of one item that a transaction holds is tried again, as `transact` does.
    """
    # Only here: it brings boto3, which a function without DynamoDB does not need.
    from boto3.dynamodb.transform import TransformationInjector, copy_dynamodb_params

    client: DynamoDBClient = session().create_client("dynamodb", config=_CONFIG)
    # As `boto3.resource("dynamodb")` does it for its client. By their stubs no handler answers.
    on: Any = client.meta.events.register
    injector = TransformationInjector()
    on("provide-client-params.dynamodb", copy_dynamodb_params)
    on("before-parameter-build.dynamodb", injector.inject_attribute_value_input)
    on("after-call.dynamodb", injector.inject_attribute_value_output)
    # botocore's own rules, which hang on the same event, know throttling and no conflict.
    on("needs-retry.dynamodb", _after_conflict)
    return client


@cache
def typed_dynamodb() -> "DynamoDBClient":
    """Return a DynamoDB client for an authorizer: quick, with values as `{"S": …}`.

    It needs nothing of boto3, which would be half of the authorizer's start-up.
    """
    found: DynamoDBClient = session().create_client("dynamodb", config=_QUICK_CONFIG)
    return found


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


def scan(table: str, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of a table as they are now, all that `options` of a scan do not leave out."""
    pages = dynamodb().get_paginator("scan")
    for page in pages.paginate(TableName=table, ConsistentRead=True, **options):
        yield from page["Items"]


def plain(failure: Any) -> dict[str, Any]:
    """Return the item that a failed condition came with, as plain Python values.

    boto3 leaves it as `{"S": …}`. `failure` is an error's response or a cancellation;
    an item that does not exist gives {}.
    """
    from boto3.dynamodb.types import TypeDeserializer

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
    found: SQSClient = session().create_client("sqs", config=_CONFIG)
    return found


@cache
def s3() -> Any:
    """Return an S3 client, of which one call is used."""
    return session().create_client("s3", config=_S3_CONFIG)


@cache
def stepfunctions() -> "SFNClient":
    """Return a Step Functions client."""
    found: SFNClient = session().create_client("stepfunctions", config=_CONFIG)
    return found


@cache
def functions() -> "LambdaClient":
    """Return a Lambda client that waits for a function, and asks once."""
    found: LambdaClient = session().create_client("lambda", config=_EFFECT_CONFIG)
    return found


@cache
def secrets() -> "SecretsManagerClient":
    """Return a Secrets Manager client, quick enough for an authorizer."""
    found: SecretsManagerClient = session().create_client("secretsmanager", config=_QUICK_CONFIG)
    return found

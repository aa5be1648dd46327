"""AWS as tests without sockets have it: moto's, its tables made from `template.yaml`."""

import copy
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import boto3
from moto.dynamodb.models import dynamodb_backends

from tests.support.template import template, template_tables
from workflows.access import tokens
from workflows.messages import registered_types
from workflows.runtime import aws
from workflows.runtime.settings import settings

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's
OTHER = "210987654321"  # another account
TOKEN_KEY = "k" * 64

_QUEUES = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}"
_MACHINES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine"
ENVIRONMENT = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "MESSAGES_TABLE": "Messages",
    "GROUPS_TABLE": "Groups",
    "RUNS_TABLE": "Runs",
    "AUDIT_TABLE": "Audit",
    "AUDIT_BUCKET": "",
    "USERS_TABLE": "Users",
    "QUEUES_TABLE": "Queues",
    "ACCOUNTS_TABLE": "Accounts",
    "WORK_QUEUE_URL": f"{_QUEUES}/work.fifo",
    "DEAD_LETTER_QUEUE_URL": f"{_QUEUES}/dead-letter.fifo",
    "RETRY_STATE_MACHINE_ARN": f"{_MACHINES}:retry",
    "REDRIVE_STATE_MACHINE_ARN": f"{_MACHINES}:redrive",
    "REDRIVE_LANE_STATE_MACHINE_ARN": f"{_MACHINES}:redrive_lane",
    "TOKEN_KEY_SECRET": "token-key",
    "TOKEN_LIFETIME_SECONDS": "21600",
    "ON_DEAD_LETTER": "hold",
    "MAX_ATTEMPTS": "5",
    "MAX_REDRIVES": "3",
    "MAX_MESSAGE_BYTES": "12000",
    "WORK_QUEUE_RETENTION_SECONDS": "345600",
    "LEDGER_RETENTION_DAYS": "90",
    "CLAIM_LEASE_SECONDS": "30",
    "RUN_LEASE_SECONDS": "900",
    "REDRIVE_LANES": "10",
    "REDRIVE_LANE_TYPE": "STANDARD",
    # The queues of a team of this account, and all of another account.
    "REDRIVE_QUEUE_ARNS": f"arn:aws:sqs:{REGION}:{ACCOUNT}:team-*,arn:aws:sqs:{REGION}:{OTHER}:*",
    "EFFECT_FUNCTION_ARNS": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:team-*",
    "REDRIVE_PAYLOAD_BUCKET_ARNS": "arn:aws:s3:::team-payloads*",
    "OIDC_ISSUER": "",
    "OIDC_AUDIENCE": "",
    "OIDC_CLAIMS": "sub,roles",
    "OIDC_ROLES": "operator=operator,producer=producer",
    "OWN_SIGN_IN": "true",
    "ISOLATE_PRODUCERS": "false",
    "REDRIVE_QUEUE_KEY_ARNS": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-*",
}
# A table that a message type brought along.
ENVIRONMENT |= {
    name: table.removesuffix("Table")
    for name, table in template()["Globals"]["Function"]["Environment"]["Variables"].items()
    if name not in ENVIRONMENT and table in template_tables()
}
# What a developer's shell may hold and no test may follow.
FOREIGN = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SFN", "AWS_PROFILE", "AWS_SESSION_TOKEN")


@cache
def session() -> boto3.Session:
    """Return the session of all tests: reading botocore's models takes a quarter of a second."""
    return boto3.Session(
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


@cache
def client(service: Any) -> Any:
    """Return the client with which fixtures set moto up; the code under test has its own."""
    return session().client(service)


@cache
def empty_tables() -> dict[str, Any]:
    """Return the tables as moto makes them, for copies: making them takes it 40 ms."""
    dynamodb = client("dynamodb")
    for name, properties in template_tables().items():
        dynamodb.create_table(
            TableName=name.removesuffix("Table"),
            BillingMode="PAY_PER_REQUEST",
            **{
                key: properties[key]
                for key in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
                if key in properties
            },
        )
    return copy.deepcopy(dict(dynamodb_backends[ACCOUNT][REGION].tables))


def forget() -> None:
    """Let the code read its settings, and make its clients, anew.

    It keeps its session, with the credentials that it met first: all tests in process have the same
    ones, and to read botocore's endpoints takes longer than most tests.
    """
    clients = (
        aws.dynamodb,
        aws.sqs,
        aws.stepfunctions,
        aws.functions,
        aws.secrets,
        aws.typed_dynamodb,
        aws.s3,
    )
    for cached in (settings, *clients, tokens.key_store):
        cached.cache_clear()
    registered_types.forget()


class InTurn(ThreadPoolExecutor):
    """Does at once what the main thread submits: moto works for one caller at a time.

    With threads that wait for each other a sweep, which asks each shard of each list, takes twice
    the time. Other threads may be actors of `interleaving`, which stop before their own calls.
    """

    def submit(self, act: Any, /, *given: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return super().submit(act, *given, **named)
        done: Future[Any] = Future()
        try:
            done.set_result(act(*given, **named))
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            done.set_exception(error)
        return done


def drain(client: Any, queue_url: str) -> list[dict[str, Any]]:
    """Receive and delete all messages of a queue, in their order."""
    found: list[dict[str, Any]] = []
    while messages := client.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    ).get("Messages"):
        found += messages
        for message in messages:
            client.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return found


def audited() -> list[dict[str, Any]]:
    """Return all records of the audit table, oldest first."""
    items = aws.dynamodb().scan(TableName="Audit")["Items"]
    return sorted((dict(item) for item in items), key=lambda item: str(item["entry"]))

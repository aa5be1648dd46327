"""What tests without sockets share: settings, moto's AWS made from `template.yaml`, events."""

import copy
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import hypothesis
import pytest
import yaml
from moto import mock_aws
from moto.core.models import MockAWS
from moto.dynamodb.models import dynamodb_backends

from tests.moto_engine import quick
from tests.redrive_runs import empty_queues  # noqa: F401 - a fixture, for every test module
from tests.stack_fixtures import stack  # noqa: F401 - likewise
from workflows.access import tokens
from workflows.ledger import audit
from workflows.messages.message import Message
from workflows.runtime import aws, clock, telemetry
from workflows.runtime.settings import settings

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's
STAGE = "v1"
TOKEN_KEY = "k" * 64
TEMPLATE = Path(__file__).parent.parent / "template.yaml"
# The same examples at each run: what fails in CI fails here.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("fixed")

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
    "USERS_TABLE": "Users",
    "ACCOUNTS_TABLE": "Accounts",
    "WORK_QUEUE_URL": f"{_QUEUES}/work.fifo",
    "DEAD_LETTER_QUEUE_URL": f"{_QUEUES}/dead-letter.fifo",
    "RETRY_STATE_MACHINE_ARN": f"{_MACHINES}:retry",
    "REDRIVE_STATE_MACHINE_ARN": f"{_MACHINES}:redrive",
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
}
# What a developer's shell may hold and no test may follow.
FOREIGN = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SFN", "AWS_PROFILE", "AWS_SESSION_TOKEN")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Set every variable of `Settings`, and let no client or secret of another test be left."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    forget()
    yield ENVIRONMENT
    forget()


@pytest.fixture
def recursion_limit() -> Iterator[None]:
    """Give Python's own limit, as in Lambda: importing jsonata raises it for the whole process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)


@cache
def _session() -> boto3.Session:
    """Return the session of all tests: reading botocore's models takes a quarter of a second."""
    return boto3.Session(
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


@cache
def _client(service: Any) -> Any:
    """Return the client with which fixtures set moto up; the code under test has its own."""
    return _session().client(service)


def forget() -> None:
    """Let the code read its settings, and make its clients, anew."""
    for cached in (settings, aws.dynamodb, aws.sqs, aws.stepfunctions, tokens.key_store):
        cached.cache_clear()


@pytest.fixture(scope="module")
def moto() -> Iterator[MockAWS]:
    """Let moto answer instead of AWS; to begin doing so takes it 15 ms."""
    with ExitStack() as patches:
        answering = patches.enter_context(mock_aws())
        for patch in quick.patches():
            patches.enter_context(patch)
        yield answering


@pytest.fixture
def cloud(
    moto: MockAWS, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Put an empty moto in the place of AWS; not for modules with tests on the local stack."""
    moto.reset()
    numbers = count()
    with monkeypatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", _session())  # moto leaves none
        # Chance orders the audit's records of one millisecond; here they stay as they came.
        in_turn = SimpleNamespace(token_hex=lambda size: f"{next(numbers):0{2 * size}x}")
        patch.setattr(audit, "secrets", in_turn)
        yield
    moto.reset()


@cache
def template() -> dict[str, Any]:
    """Return `template.yaml`; of `!Ref X` and its like only `X` is left."""
    return dict(yaml.load(TEMPLATE.read_text(), _TemplateLoader))  # noqa: S506 - a SafeLoader


@cache
def template_tables() -> dict[str, dict[str, Any]]:
    """Return the properties of each table in `template.yaml`, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's YAML; `!Ref X` and its like become the bare `X`."""


def _bare(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]  # what is left is a scalar


_TemplateLoader.add_multi_constructor("!", _bare)


@pytest.fixture
def tables(cloud: None) -> Any:
    """Create the tables of `template.yaml` (`MessagesTable` as `Messages`); give the client."""
    dynamodb_backends[ACCOUNT][REGION].tables.update(copy.deepcopy(_empty_tables()))
    return aws.dynamodb()


@cache
def _empty_tables() -> dict[str, Any]:
    """Return the tables as moto makes them, for copies: making them takes it 40 ms."""
    client = _client("dynamodb")
    for name, properties in template_tables().items():
        client.create_table(
            TableName=name.removesuffix("Table"),
            BillingMode="PAY_PER_REQUEST",
            **{
                key: properties[key]
                for key in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
                if key in properties
            },
        )
    return copy.deepcopy(dict(dynamodb_backends[ACCOUNT][REGION].tables))


@pytest.fixture
def queues(cloud: None) -> Any:
    """Create the work queue and its dead-letter queue; give the client."""
    client = _client("sqs")
    client.create_queue(QueueName="dead-letter.fifo", Attributes={"FifoQueue": "true"})
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letter.fifo"
    client.create_queue(
        QueueName="work.fifo",
        Attributes={
            "FifoQueue": "true",
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 3}),
        },
    )
    return client


@pytest.fixture
def machines(cloud: None) -> Any:
    """Create both state machines, whose executions run until they are stopped; give the client."""
    client = _client("stepfunctions")
    for name in ("retry", "redrive"):
        client.create_state_machine(
            name=name,
            definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine",
        )
    return client


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock of `workflows`, and give a function that puts it forward by seconds."""
    moment = [datetime.now(UTC)]

    def put_forward(seconds: float) -> None:
        moment[0] += timedelta(seconds=seconds)

    monkeypatch.setattr(clock, "epoch", lambda: int(moment[0].timestamp()))
    monkeypatch.setattr(clock, "now", lambda: clock.text(moment[0]))
    return put_forward


class WorkerDied(BaseException):
    """Out of memory or time: no `except Exception` sees it."""


class Calls:
    """Every call to AWS that `workflows` makes; at one of its two ends an error can be raised.

    `ends` holds `before X` and `after X`; set `error_at` to an index of it, and to what `error` is.
    """

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.error_at: int | str | None = None
        self.error: BaseException = WorkerDied()
        for client in (aws.dynamodb(), aws.sqs(), aws.stepfunctions()):
            for end in ("before", "after"):
                client.meta.events.register(f"{end}-call", getattr(self, f"_{end}"))

    def _before(self, model: Any, **_: Any) -> None:
        self._end(f"before {model.name}")

    def _after(self, model: Any, **_: Any) -> None:
        self._end(f"after {model.name}")

    def _end(self, name: str) -> None:
        self.ends.append(name)
        if self.error_at in (name, len(self.ends) - 1):
            self.error_at = None
            raise self.error


@pytest.fixture
def calls(cloud: None) -> Calls:
    """Watch the calls to AWS."""
    return Calls()


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


def a_transaction(**changes: Any) -> dict[str, Any]:
    """Return the payload of a transaction."""
    usual = {"account_id": "acc-1", "kind": "credit", "amount": "10.00", "currency": "EUR"}
    return usual | changes


def a_message(**changes: Any) -> Message:
    """Return a message as the sender makes it."""
    usual = {
        "message_id": "m-1",
        "type": "transaction",
        "group_id": "acc-1",
        "payload": a_transaction(),
        "first_sent_at": "2026-11-24T12:00:00.123Z",
        "trace_id": "trace-1",
        "submitted_by": "p@example.com",
    }
    return Message.model_validate(usual | changes)


def an_operator(**changes: str) -> audit.Actor:
    """Return who acts, as the API tells the rules."""
    usual = {"email": "o@example.com", "role": "operator", "source_ip": "192.0.2.1"}
    return audit.Actor(**{"trace_id": "trace-1"} | usual | changes)


def audited() -> list[dict[str, Any]]:
    """Return all records of the audit table, oldest first."""
    items = aws.dynamodb().scan(TableName="Audit")["Items"]
    return sorted((dict(item) for item in items), key=lambda item: str(item["entry"]))


@pytest.fixture
def token_key(cloud: None) -> str:
    """Put the key of the access tokens into Secrets Manager."""
    client = _client("secretsmanager")
    client.create_secret(Name=ENVIRONMENT["TOKEN_KEY_SECRET"], SecretString=TOKEN_KEY)
    return TOKEN_KEY


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Give all that was written to standard output since the last call: log lines and metrics."""
    telemetry.metrics.clear_metrics()  # of a test before that called no handler
    handler: Any = telemetry.logger.registered_handler
    before = handler.setStream(_Stdout())
    yield lambda: capsys.readouterr().out
    handler.setStream(before)


class _Stdout:
    """Standard output as it is at each write: pytest puts another one there for each phase."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@dataclass
class FakeContext:
    """What Lambda tells a handler about its invocation."""

    aws_request_id: str = "invocation-1"
    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:function"
    seconds_left: int = 300

    def get_remaining_time_in_millis(self) -> int:
        return self.seconds_left * 1_000


CONTEXT: Any = FakeContext()


def api_event(
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    roles: tuple[str, ...] = ("producer",),
    email: str = "p@example.com",
    path_parameters: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    resource: str | None = None,
) -> dict[str, Any]:
    """Return the event with which a REST API calls a Lambda.

    Args:
        method: of HTTP.
        path: without the stage.
        body: text as it is, or anything else as JSON.
        headers: more of them, or other ones.
        roles: of the caller, as the authorizer read them; none for a route that is open to all.
        email: of the caller.
        path_parameters: values of the path's variables.
        query: the query string's parameters.
        resource: the path with its variables, if it has some.
    """
    sent = {"Content-Type": "application/json", "Host": "api.example.com"} | (headers or {})
    authorizer = {
        "principalId": email,
        "email": email,
        "roles": " ".join(roles),
        "expires_at": "4102444800",  # the year 2100
    }
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": query and {name: [query[name]] for name in query},
        "pathParameters": path_parameters,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "api1234567",
            "authorizer": authorizer if roles else None,
            "domainName": "api.example.com",
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "test"},
            "path": f"/{STAGE}{path}",
            "protocol": "HTTP/1.1",
            "requestId": "request-1",
            "requestTimeEpoch": 1_764_000_000_000,
            "resourcePath": resource or path,
            "stage": STAGE,
        },
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }

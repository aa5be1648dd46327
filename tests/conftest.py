"""The fixtures that tests of several folders use; a folder's own are in its conftest.py."""

import copy
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import hypothesis
import pytest
from moto import mock_aws
from moto.core.models import MockAWS
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.models import stepfunctions_backends

from local.client import Client
from local.stack import Stack
from tests.engines.moto_engine import quick, statements
from tests.support.aws_calls import Calls
from tests.support.cloud import (
    ACCOUNT,
    ENVIRONMENT,
    FOREIGN,
    REGION,
    TOKEN_KEY,
    InTurn,
    client,
    empty_tables,
    forget,
    session,
)
from tests.support.redrive_runs import consume, quiet
from tests.support.stack_fixtures import WAIT_SCALE
from workflows.ledger import audit
from workflows.runtime import aws, clock, shards, telemetry

# The same examples at each run: what fails in CI fails here.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("fixed")


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Name a test by a text that is its parameter, unless that is longer than a name can be."""
    return f"{val[:60]!r}…{len(val)}" if isinstance(val, str) and len(val) > 200 else None


# On the local stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Give the whole application on a local stack, its waits scaled; one for each worker."""
    with Stack(wait_scale=WAIT_SCALE) as running:
        yield running


@pytest.fixture
def empty_queues(stack: Stack) -> Iterator[None]:
    """Begin with both queues empty, the lock free and the consumer off; leave them so, it on."""
    quiet(stack)
    yield
    quiet(stack)
    consume(stack, True)


@pytest.fixture(scope="module")
def anybody(stack: Stack) -> Client:
    """Give a client of the local stack's API that has not signed in."""
    return Client(stack.api_url)


@pytest.fixture(scope="module")
def producer(stack: Stack, anybody: Client) -> Client:
    """Give the client of a producer."""
    return anybody.signed_in(**stack.users["producer"])


@pytest.fixture(scope="module")
def operator(stack: Stack, anybody: Client) -> Client:
    """Give the client of an operator."""
    return anybody.signed_in(**stack.users["operator"])


# Without sockets


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


@pytest.fixture(scope="module")
def moto() -> Iterator[MockAWS]:
    """Let moto answer instead of AWS; to begin doing so takes it 15 ms."""
    with ExitStack() as patches:
        patches.enter_context(quick.without_responses())
        answering = patches.enter_context(mock_aws())
        for patch in quick.patches():
            patches.enter_context(patch)
        # Its own PartiQL knows no more than one SET.
        partiql = mock.patch.object(DynamoDBBackend, "batch_execute_statement", statements.execute)
        patches.enter_context(partiql)
        yield answering


@pytest.fixture
def cloud(
    moto: MockAWS, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Put an empty moto in the place of AWS; not for modules with tests on the local stack."""
    moto.reset()
    numbers = count()
    with monkeypatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", session())  # moto leaves none
        # Chance orders the audit's records of one millisecond; here they stay as they came.
        in_turn = SimpleNamespace(token_hex=lambda size: f"{next(numbers):0{2 * size}x}")
        patch.setattr(audit, "secrets", in_turn)
        patch.setattr(shards, "ThreadPoolExecutor", InTurn)
        yield
    moto.reset()


@pytest.fixture
def tables(cloud: None) -> Any:
    """Create the tables of `template.yaml` (`MessagesTable` as `Messages`); give the client."""
    dynamodb_backends[ACCOUNT][REGION].tables.update(copy.deepcopy(empty_tables()))
    return aws.dynamodb()


@pytest.fixture
def queues(cloud: None) -> Any:
    """Create the work queue and its dead-letter queue; give the client."""
    here = sqs_backends[ACCOUNT][REGION]  # the client would take four times as long
    here.create_queue("dead-letter.fifo", FifoQueue="true")
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letter.fifo"
    redrive_policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 3})
    here.create_queue("work.fifo", FifoQueue="true", RedrivePolicy=redrive_policy)
    return client("sqs")


@pytest.fixture
def machines(cloud: None) -> Any:
    """Create the state machines, whose executions run until they are stopped; give the client."""
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    role = f"arn:aws:iam::{ACCOUNT}:role/machine"
    for name in ("retry", "redrive", "redrive_lane"):
        stepfunctions_backends[ACCOUNT][REGION].create_state_machine(name, definition, role)
    return client("stepfunctions")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock of `workflows`, and give a function that puts it forward by seconds."""
    moment = [datetime.now(UTC)]

    def put_forward(seconds: float) -> None:
        moment[0] += timedelta(seconds=seconds)

    monkeypatch.setattr(clock, "epoch", lambda: int(moment[0].timestamp()))
    monkeypatch.setattr(clock, "milliseconds", lambda: int(moment[0].timestamp() * 1_000))
    monkeypatch.setattr(clock, "now", lambda: clock.text(moment[0]))
    return put_forward


@pytest.fixture
def calls(cloud: None) -> Calls:
    """Watch the calls to AWS."""
    return Calls()


@pytest.fixture
def token_key(cloud: None) -> str:
    """Put the key of the access tokens into Secrets Manager."""
    secrets = client("secretsmanager")
    secrets.create_secret(Name=ENVIRONMENT["TOKEN_KEY_SECRET"], SecretString=TOKEN_KEY)
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

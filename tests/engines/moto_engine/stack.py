"""The application in this process: the template's tables and queues in moto, the shipped machines.

`MotoStack` has what tests use of `local.stack.Stack`, so `support/stack_fixtures.py` serves both.
The handlers run in this process as well. What MiniStack does by itself is done here when asked:
executions run, one after the other; time passes; the work queue is polled; the sweep runs. So the
same test does the same things in the same order each time.
"""

import base64
import copy
import json
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from types import TracebackType
from typing import Any, Self
from unittest import mock

import boto3
import time_machine
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from lambdas import (
    conduct_run,
    consume_messages,
    process_message,
    receive_large_dead_letters,
    recover_executions,
    validate_messages,
)
from local.machines import STANDARD_LANES
from local.stack import ROOT
from tests.engines.moto_engine import failures, map_items, quick
from tests.engines.moto_engine.as_aws import as_aws
from tests.support import aws_events
from tests.support.cloud import (
    ACCOUNT,
    ENVIRONMENT,
    FOREIGN,
    REGION,
    InTurn,
    empty_tables,
    forget,
)
from tests.support.invocations import CONTEXT
from workflows.ledger import listing, status
from workflows.messages import message_types
from workflows.messages.envelope import Message
from workflows.runtime import shards

_TABLES = ("Messages", "Groups", "Runs", "Audit", "Users", "Accounts")
_QUEUES = {"Work": "local-work.fifo", "DeadLetter": "local-dead-letters.fifo"}
_MACHINES = ("retry", "redrive", "redrive_lane")
_HANDLERS = {
    "ProcessMessage": process_message,
    "ReceiveLargeDeadLetters": receive_large_dead_letters,
    "ValidateMessages": validate_messages,
    "ConductRun": conduct_run,
}
_VISIBILITY_SECONDS = 180  # the template's
_ALL_CHANGES = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
# What the ledger's table of transitions allows; a row may also be written where it stands.
_MOVES = status.moves() | {(at, at) for at in status.Status}
_LISTINGS = status.listings()


class MotoStack:
    """The application on moto, as a context manager; nothing of it is left after.

    `before_state`, if a test sets it, is called with an execution's ARN and the name of the state
    that is next; where it answers False, the execution is stopped, and where `TIMED_OUT`, it times
    out. `invoke` calls a handler for a machine, and `task` does what a state's task is, as `as_aws`
    wants it; `next_item` tells which lane goes on; a test may put other functions in their places.
    `tried_again` are the ids of messages that a worker began to process after the ledger had noted
    their effect: no fault excuses that, and the effects do not show it, because each type has its
    own only once.

    Args:
        definitions: of the machines `retry` and `redrive`, to be other than the shipped ones.
        substitutions: of the machines' definitions, to be other than `samconfig.toml`'s `local`.
    """

    def __init__(
        self,
        *,
        definitions: dict[str, str] | None = None,
        substitutions: dict[str, str] | None = None,
    ) -> None:
        urls = {
            name: f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{queue}"
            for name, queue in _QUEUES.items()
        }
        machines = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine"
        self.tried_again: list[str] = []
        self.outputs = {
            **{f"{name}TableName": name for name in _TABLES},
            **{f"{name}QueueUrl": url for name, url in urls.items()},
            **{f"{_camel(name)}StateMachineArn": f"{machines}:{name}" for name in _MACHINES},
        }
        self.emulator = _Emulator()
        self.before_state: Callable[[str, str], bool | str] = lambda arn, state: True
        self.task: Callable[[str, str, Callable[[], None]], str | None] = _do
        self.invoke: Callable[[str, Any], Any] = _invoke
        self.next_item: map_items.Choose = map_items.in_turn
        self._substitutions = _substitutions(self.outputs) | (substitutions or {})
        self._definitions = definitions or {}
        self._exit = ExitStack()
        self._started: deque[Callable[[], None]] = deque()

    def __enter__(self) -> Self:
        environment = ENVIRONMENT | {
            "WORK_QUEUE_URL": self.outputs["WorkQueueUrl"],
            "DEAD_LETTER_QUEUE_URL": self.outputs["DeadLetterQueueUrl"],
            "MAX_ATTEMPTS": self._substitutions["MaxAttempts"],
            "REDRIVE_LANE_TYPE": self._substitutions["RedriveLaneType"],
        }
        enter = self._exit.enter_context
        enter(mock.patch.dict(os.environ, environment))
        for name in FOREIGN:
            os.environ.pop(name, None)
        enter(quick.without_responses())
        enter(mock_aws(config={"stepfunctions": {"execute_state_machine": True}})).reset()
        enter(mock.patch.object(boto3, "DEFAULT_SESSION", _session()))
        enter(
            as_aws(
                begin=self._begin_execution,
                invoke=self._answer,
                mocked=self.emulator.mocked,
                task=lambda *task: self.task(*task),  # noqa: PLW0108 - a test sets it
                before_state=lambda *state: self.before_state(*state),  # noqa: PLW0108 - a test sets it
                wait=self.elapse,
                next_item=lambda *items: self.next_item(*items),  # noqa: PLW0108 - a test sets it
            )
        )
        for patch in failures.patches():
            enter(patch)
        enter(mock.patch.object(shards, "ThreadPoolExecutor", InTurn))
        enter(mock.patch.object(message_types, "process", self._noting(message_types.process)))
        self._time = enter(time_machine.travel(datetime.now(UTC), tick=True))
        forget()
        self._exit.callback(forget)
        self._create()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    def strange_moves(self) -> list[str]:
        """Return each change of a message's row that the table of transitions does not allow.

        By the stream of the table, where a transaction that was rolled back left nothing.
        """
        found = []
        for record in _changes():
            change = record.to_json()["dynamodb"]
            if "OldImage" not in change or "NewImage" not in change:
                continue  # a row that a test has put there
            if "status" not in change["NewImage"]:
                continue  # a part of a body
            old, new = (_standing(change[image]) for image in ("OldImage", "NewImage"))
            if old != new and ((old[0], new[0]) not in _MOVES or new not in _LISTINGS):
                message_id = change["Keys"]["message_id"]["S"]
                found.append(f"{message_id} went from {_words(old)} to {_words(new)}")
        return found

    def forget_moves(self) -> None:
        """Take what a test did to the rows by its own hand out of `strange_moves`."""
        _changes().clear()

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service; all stacks have the same one."""
        return _client(service)

    def events(self, execution_arn: str) -> list[dict[str, Any]]:
        """Return the history of an execution so far, oldest first, as GetExecutionHistory tells it.

        To put it into an answer and read it from there takes a fifth of a scenario's time.
        """
        found = stepfunctions_parser_backends[ACCOUNT][REGION].get_execution_history(execution_arn)
        events: Any = found["events"]
        return [
            event
            | {
                "type": event["type"].value,
                "timestamp": datetime.fromisoformat(event["timestamp"]),
            }
            for event in events
        ]

    def empty(self) -> None:
        """Leave nothing of what was put into it: no item, no message, no execution.

        That is quicker than another stack. Time does not go back.
        """
        for table in dynamodb_backends[ACCOUNT][REGION].tables.values():
            table.items.clear()
        self.forget_moves()
        for queue in sqs_backends[ACCOUNT][REGION].queues.values():
            queue._messages.clear()
            queue._pending_messages.clear()
            queue.deleted_messages.clear()
            vars(queue).pop("deduplication_ids", None)
        for machine in stepfunctions_parser_backends[ACCOUNT][REGION].state_machines:
            machine.executions.clear()
        self._started.clear()
        self.tried_again.clear()

    def _noting(self, process: Callable[..., None]) -> Callable[..., None]:
        def process_and_note(message: Message, *tried: Any) -> None:
            # Past the client, whose calls tests count and let fail.
            key = {"message_id": {"S": message.message_id}}
            row = dynamodb_backends[ACCOUNT][REGION].get_item("Messages", key)
            if row is not None and "processed_at" in row.attrs:
                self.tried_again.append(message.message_id)
            process(message, *tried)

        return process_and_note

    def elapse(self, seconds: float) -> None:
        """Let time pass, everywhere: for queues, leases, machines and the code.

        By itself it passes as it does, and while a machine waits or tries again: at once.
        """
        self._time.shift(timedelta(seconds=seconds))

    def poll(self) -> dict[str, Any] | None:
        """Let the consumer take one batch as the event source mapping does; None for no batch.

        Returns:
            what the handler answered. What it did not report as failed is deleted.
        """
        sqs, url = self.client("sqs"), self.outputs["WorkQueueUrl"]
        messages = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_VISIBILITY_SECONDS,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages")
        if not messages:
            return None
        with _recursion_limit():
            answer: dict[str, Any] = consume_messages.handler(
                {"Records": [_record(message) for message in messages]}, CONTEXT
            )
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            handle = message["ReceiptHandle"]
            if message["MessageId"] in failed:
                sqs.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
                )
            else:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
        return answer

    def recover(self) -> Any:
        """Let the sweep run, as the schedule does."""
        with _recursion_limit():
            return recover_executions.handler(aws_events.sweep_input(), CONTEXT)

    def run_executions(self) -> None:
        """Run, one after the other, all executions that were started, and those that they start."""
        while self._started:
            self._started.popleft()()

    def _begin_execution(self, execution_arn: str, case: str, run: Callable[[], None]) -> None:
        run_arn = self.runs_a_lane(execution_arn)
        self.emulator.began(execution_arn, case, run_arn)
        if run_arn:
            run()  # within the turn of the run that waits for it
        else:
            self._started.append(run)

    def runs_a_lane(self, execution_arn: str) -> str:
        """Return the ARN of the run whose lane an execution is; "" if it is none's."""
        found = self.client("stepfunctions").describe_execution(executionArn=execution_arn)
        given = json.loads(found["input"])
        name = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
        return str(given.get(name, "")) if isinstance(given, dict) else ""

    def _answer(self, function: str, payload: Any) -> dict[str, Any]:
        try:
            return {"StatusCode": 200, "Payload": _plain(self.invoke(function, payload))}
        except Exception as error:  # noqa: BLE001 - as Lambda's runtime does
            payload = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": payload}

    def _create(self) -> None:
        tables = copy.deepcopy(empty_tables())
        # Of the other tables nobody asks what changed.
        tables["Messages"].set_stream_specification(dict(_ALL_CHANGES))
        dynamodb_backends[ACCOUNT][REGION].tables.update(tables)
        sqs = self.client("sqs")
        common = {"FifoQueue": "true", "MaximumMessageSize": ENVIRONMENT["MAX_MESSAGE_BYTES"]}
        sqs.create_queue(QueueName=_QUEUES["DeadLetter"], Attributes=common)
        target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{_QUEUES['DeadLetter']}"
        redrive_policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 3})
        sqs.create_queue(
            QueueName=_QUEUES["Work"], Attributes=common | {"RedrivePolicy": redrive_policy}
        )
        for name in _MACHINES:
            text = self._definitions.get(name) or _shipped(name)
            for substitution, value in self._substitutions.items():
                text = text.replace("${" + substitution + "}", value)
            self.client("stepfunctions").create_state_machine(
                name=name, definition=text, roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine"
            )


def end_alone(execution_arn: str) -> None:
    """End an execution at once, as StopExecution does, while the one that it waits for goes on."""
    machines = stepfunctions_parser_backends[ACCOUNT][REGION].state_machines
    executions: list[Any] = [one for machine in machines for one in machine.executions]
    (found,) = (one for one in executions if one.execution_arn == execution_arn)
    found.stop(stop_date=datetime.now(UTC), error=None, cause=None)
    # moto says so only when it comes to the end of what the execution is about.
    found.exec_status = ExecutionStatus.ABORTED


class _Emulator:
    """The part of `local.emulator.Emulator` that tests use of a stack."""

    def __init__(self) -> None:
        self._config: dict[str, Any] = {"StateMachines": {}, "MockedResponses": {}}
        self._cases: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._invocations: Counter[tuple[str, str]] = Counter()

    def mock_states(self, config: dict[str, Any]) -> None:
        """Take test cases in Step Functions Local's format; they replace all earlier ones."""
        self._config = config

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """Return what lies on a queue, in or out of flight, oldest first, as MiniStack shows it."""
        queue = sqs_backends[ACCOUNT][REGION].queues[queue_url.rpartition("/")[2]]
        return [
            {
                "MessageId": message.id,
                "Body": message.body,
                "MessageGroupId": message.group_id,
                "MessageDeduplicationId": message.deduplication_id,
                "ReceiveCount": message.approximate_receive_count,
                "IsVisible": message.visible,
                "MessageAttributes": {
                    name: _in_base64(value) for name, value in message.message_attributes.items()
                },
                "Attributes": {
                    name: value["StringValue"] for name, value in message.system_attributes.items()
                },
            }
            for message in queue._messages
        ]

    def began(self, execution_arn: str, case: str, parent: str = "") -> None:
        """Take note of the test case of an execution that begins; one of a lane is its run's."""
        self._parents[execution_arn] = parent or execution_arn
        self._cases[execution_arn] = case or self._cases.get(parent, "")

    def mocked(self, execution_arn: str, state: str) -> dict[str, Any] | None:
        """Tell what an invocation of a state's task meets instead of its service, if anything.

        As on the local stack, a response that has neither `Return` nor `Throw` calls the service.
        """
        machine, case = execution_arn.split(":")[-2], self._cases[execution_arn]
        cases = self._config["StateMachines"].get(machine, {}).get("TestCases", {})
        name = cases.get(case, {}).get(state)
        if name is None:
            return None
        counted = (self._parents[execution_arn], state)
        number = self._invocations[counted]
        self._invocations[counted] += 1
        for key, response in self._config["MockedResponses"][name].items():
            first, _, last = key.partition("-")
            if int(first) <= number <= int(last or first):
                return response or None
        raise LookupError(f"{case}: no mocked response for invocation {number} of {state}")


def _camel(name: str) -> str:
    return name.title().replace("_", "")


@cache
def _shipped(machine: str) -> str:
    return (ROOT / "statemachines" / f"{machine}.asl.json").read_text(encoding="utf-8")


@cache
def _client(service: Any) -> Any:
    return _session().client(service)


@cache
def _session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


def _substitutions(outputs: dict[str, str]) -> dict[str, str]:
    return {
        **{f"{name}Table": name for name in _TABLES},
        "WorkQueueUrl": outputs["WorkQueueUrl"],
        "DeadLetterQueueUrl": outputs["DeadLetterQueueUrl"],
        "DeadLetterQueueName": _QUEUES["DeadLetter"],
        **{f"{name}FunctionArn": name for name in _HANDLERS},
        "OnDeadLetter": "hold",
        "MaxAttempts": "4",  # samconfig.toml's `local`
        "MaxMessageBytes": ENVIRONMENT["MAX_MESSAGE_BYTES"],
        "BackoffBaseSeconds": "2",
        "BackoffCapSeconds": "8",
        "RedriveLaneStateMachineArn": outputs["RedriveLaneStateMachineArn"],
        **STANDARD_LANES,
        "WavesPerLeg": "300",
        "PollSeconds": "0",
    }


def _invoke(function: str, payload: Any) -> Any:
    with _recursion_limit():
        return _HANDLERS[function].handler(payload, CONTEXT)


@contextmanager
def _recursion_limit() -> Iterator[None]:
    """Give Python's own limit, as in Lambda: jsonata raises it for the whole process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _do(execution_arn: str, state: str, task: Callable[[], None]) -> None:
    task()


def _changes() -> list[Any]:
    stream = dynamodb_backends[ACCOUNT][REGION].tables["Messages"].stream_shard
    assert stream is not None
    return stream.items


def _standing(image: dict[str, Any]) -> tuple[str, str | None]:
    listed = image.get("listed", {}).get("S", "")
    trouble = image.get("trouble", {}).get("S")
    is_in = trouble not in (None, *status.UNLISTED)
    wanted = listing.key(trouble, image["message_id"]["S"]) if is_in else ""
    return image["status"]["S"], trouble if listed == wanted else f"{trouble}, but indexed {listed}"


def _words(standing: tuple[str, str | None]) -> str:
    return standing[0] + (f", listed as {standing[1]}" if standing[1] else "")


def _plain(answer: Any) -> Any:
    return json.loads(json.dumps(answer))


def _in_base64(attribute: dict[str, Any]) -> dict[str, Any]:
    """Return a message attribute as SQS's JSON has it."""
    return {
        part: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for part, value in attribute.items()
    }


def _record(message: dict[str, Any]) -> dict[str, Any]:
    """Return a received message as Lambda's event has it."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {"stringListValues": [], "binaryListValues": []}
            | {part[:1].lower() + part[1:]: found for part, found in _in_base64(value).items()}
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{_QUEUES['Work']}",
        "awsRegion": REGION,
    }

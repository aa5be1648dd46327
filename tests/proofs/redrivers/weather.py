"""What can happen at a call to AWS: it is refused, or the last one, or something comes between."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import botocore.endpoint
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse

Answer = dict[str, Any]
Happening = Callable[[str, dict[str, Any], Callable[[dict[str, Any]], Answer]], Answer]


class Stopped(BaseException):
    """The redriver was stopped: it makes no further call to SQS."""


@contextmanager
def happening(act: Happening) -> Iterator[None]:
    """Let every call to AWS in this process go through `act`.

    Args:
        act: given the operation's name, its parameters and a function that makes the call.
    """
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def through(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        return act(operation, parameters, lambda changed: call(client, operation, changed))

    with mock.patch.object(BaseClient, "_make_api_call", through):
        yield


@contextmanager
def stop_after(world: Any, operation: str) -> Iterator[None]:
    """Stop whoever redrives right after the first call of an operation had its effect."""
    stopped: list[str] = []

    def act(name: str, parameters: Any, proceed: Any) -> Answer:
        if stopped and "QueueUrl" in parameters:
            raise Stopped(name)
        answer: Answer = proceed(parameters)
        if name == operation:
            stopped.append(name)
        return answer

    with _stopping(world, lambda arn, state: not stopped, act):
        yield
    assert stopped, f"{operation} was never called"


@contextmanager
def stop_before(world: Any, operation: str) -> Iterator[None]:
    """Stop whoever redrives right before the first call of an operation of SQS.

    A machine is stopped before it enters the state that makes the call.
    """
    stopped: list[str] = []
    lane = world.stack.outputs["RedriveLaneStateMachineArn"]
    machine = world.stack.client("stepfunctions").describe_state_machine(stateMachineArn=lane)
    states = json.loads(machine["definition"])["States"]
    task = f":sqs:{operation[0].lower()}{operation[1:]}"

    def enter(arn: str, state: str) -> bool:
        if states.get(state, {}).get("Resource", "").endswith(task):
            stopped.append(state)
        return not stopped

    def act(name: str, parameters: Any, proceed: Any) -> Answer:
        if name == operation:
            stopped.append(name)
            raise Stopped(name)
        return dict(proceed(parameters))

    with _stopping(world, enter, act):
        yield
    assert stopped, f"{operation} was never called"


@contextmanager
def _stopping(world: Any, enter: Callable[[str, str], bool], act: Happening) -> Iterator[None]:
    """Let a machine enter a state only if `enter` says so, and every call go through `act`."""
    world.stack.before_state = enter
    try:
        with happening(act):
            yield
    except Stopped:
        pass
    finally:
        world.stack.before_state = lambda arn, state: True


@contextmanager
def throttling(world: Any, operation: str, times: int) -> Iterator[None]:
    """Let SQS throttle the first calls of an operation, as its answer on the wire.

    So the caller's client may try again by itself as on AWS; its pauses pass at once.
    """
    throttled: list[str] = []
    answer = BotocoreStubber.__call__

    def throttle(stubber: Any, event_name: str, request: Any, **named: Any) -> Any:
        if event_name != f"before-send.sqs.{operation}" or len(throttled) == times:
            return answer(stubber, event_name, request, **named)
        throttled.append(event_name)
        said = {"__type": "ThrottlingException", "message": "made up by a test"}
        raw: Any = MockRawResponse(json.dumps(said).encode())
        headers: Any = {"x-amzn-RequestId": "request-1"}
        return AWSResponse(request.url, 400, headers, raw)

    clock = mock.Mock(sleep=world.stack.elapse)
    with (
        mock.patch.object(BotocoreStubber, "__call__", throttle),
        mock.patch.object(botocore.endpoint, "time", clock),
    ):
        yield
    assert len(throttled) == times, f"{operation} was called {len(throttled)} times"


@contextmanager
def refusing(operation: str, *indexes: int) -> Iterator[None]:
    """Let SQS refuse these entries of the first call of a batch operation."""
    calls: list[str] = []

    def act(name: str, parameters: dict[str, Any], proceed: Any) -> Answer:
        if name != operation or calls:
            return dict(proceed(parameters))
        calls.append(name)
        entries = list(enumerate(parameters["Entries"]))
        kept = [entry for index, entry in entries if index not in indexes]
        answer: Answer = proceed(parameters | {"Entries": kept}) if kept else {"Successful": []}
        failed = [
            {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False}
            for index, entry in entries
            if index in indexes
        ]
        return answer | {"Failed": answer.get("Failed", []) + failed}

    with happening(act):
        yield
    assert calls, f"{operation} was never called"


@contextmanager
def before_call(
    act: Callable[[], Any], *operations: str, table: str | None = None
) -> Iterator[None]:
    """Let something else happen once, just before the first of these calls (to this table)."""
    done: list[str] = []

    def watch(name: str, parameters: dict[str, Any], proceed: Any) -> Answer:
        if not done and name in operations and table in (None, parameters.get("TableName")):
            done.append(name)
            act()
        return dict(proceed(parameters))

    with happening(watch):
        yield
    assert done, f"{operations} were never called"


@contextmanager
def instead(operation: str, answer: Answer) -> Iterator[None]:
    """Give this answer to the first call of an operation, which is not made."""
    done: list[str] = []

    def watch(name: str, parameters: dict[str, Any], proceed: Any) -> Answer:
        if name == operation and not done:
            done.append(name)
            return answer
        return dict(proceed(parameters))

    with happening(watch):
        yield
    assert done, f"{operation} was never called"


@contextmanager
def failing(operation: str, code: str, *, skip: int = 0) -> Iterator[None]:
    """Let every call of an operation fail, but for the first ones."""
    calls: list[str] = []

    def watch(name: str, parameters: dict[str, Any], proceed: Any) -> Answer:
        calls.extend([name] * (name == operation))
        if name == operation and len(calls) > skip:
            answer: Any = {
                "Error": {"Code": code, "Message": "made up by a test"},
                "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "request-1"},
            }
            raise ClientError(answer, name)
        return dict(proceed(parameters))

    with happening(watch):
        yield

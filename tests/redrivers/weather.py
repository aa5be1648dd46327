"""What can happen at a call to AWS: it is refused, or the last one, or something comes between."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from botocore.client import BaseClient
from botocore.exceptions import ClientError

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

    world.stack.before_state = lambda arn, state: not stopped
    try:
        with happening(act):
            yield
    except Stopped:
        pass
    finally:
        world.stack.before_state = lambda arn, state: True
    assert stopped, f"{operation} was never called"


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
def failing(operation: str, code: str) -> Iterator[None]:
    """Let every call of an operation fail."""

    def watch(name: str, parameters: dict[str, Any], proceed: Any) -> Answer:
        if name == operation:
            answer: Any = {
                "Error": {"Code": code, "Message": "made up by a test"},
                "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "request-1"},
            }
            raise ClientError(answer, name)
        return dict(proceed(parameters))

    with happening(watch):
        yield

"""Calls to AWS, mostly of the machines, that fail, lose their answer, or are refused in part."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from botocore.exceptions import ClientError

from tests.engines.moto_engine.as_aws import _client_of
from tests.support.cloud import REGION


@contextmanager
def failing(
    operation: str,
    error: str = "InternalError",
    *,
    times: int = 1,
    skip: int = 0,
    lost: bool = False,
    client: Any = None,
) -> Iterator[list[str]]:
    """Let the next calls of an operation (`sqs.SendMessageBatch`) fail; give those that did.

    Args:
        operation: the service as botocore calls it, and the operation.
        error: its code.
        times: how many calls fail.
        skip: how many calls before them do not.
        lost: the calls have their effect, and only their answer is an error.
        client: whose calls; by default the machines'.
    """
    failed: list[str] = []
    calls = itertools.count()

    def fail(**_: Any) -> None:
        if skip <= next(calls) < skip + times:
            failed.append(operation)
            raise ClientError(
                {
                    "Error": {"Code": error, "Message": "made up"},
                    "ResponseMetadata": {"HTTPStatusCode": 500, "RequestId": "made up"},  # type: ignore[typeddict-item]
                },
                operation,
            )

    with _on(f"{'after' if lost else 'before'}-call.{operation}", fail, client):
        yield failed


@contextmanager
def refusing(operation: str, refused: Callable[[dict[str, Any]], bool]) -> Iterator[list[str]]:
    """Let a batch call of SQS refuse the entries of which `refused` is true; give their ids."""
    ids: list[str] = []

    def take_out(params: dict[str, Any], **_: Any) -> None:
        ids.extend(entry["Id"] for entry in params["Entries"] if refused(entry))
        params["Entries"] = [entry for entry in params["Entries"] if not refused(entry)]

    def say_so(parsed: dict[str, Any], **_: Any) -> None:
        why = {"Code": "InternalError", "SenderFault": False, "Message": "made up"}
        parsed["Failed"] = [{"Id": entry_id} | why for entry_id in ids]

    with ExitStack() as exits:
        exits.enter_context(_on(f"provide-client-params.{operation}", take_out))
        exits.enter_context(_on(f"after-call.{operation}", say_so))
        yield ids


@contextmanager
def shortened(operation: str, **arguments: Any) -> Iterator[None]:
    """Let calls of an operation be made with other arguments than a machine gives."""

    def change(params: dict[str, Any], **_: Any) -> None:
        params.update(arguments)

    with _on(f"provide-client-params.{operation}", change):
        yield


@contextmanager
def _on(event: str, handler: Callable[..., None], client: Any = None) -> Iterator[None]:
    service = event.split(".")[1]
    client = client or _client_of(REGION, {"sfn": "stepfunctions"}.get(service, service))
    events = client.meta.events
    events.register(event, handler)
    try:
        yield
    finally:
        events.unregister(event, handler)

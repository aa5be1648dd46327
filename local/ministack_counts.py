"""Counts what AWS would bill for, inside MiniStack's own process; for `make bench`.

`GET /_local/counts` answers with what was counted since the last such request, and forgets it.
What SQS's event source mapping polls is not seen: MiniStack does that without a request. A retry
of a task is not counted as a state transition of its own. Durations are those of this computer.
"""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from local.meter import Meter
from local.root_docs import App
from workflows.redrive.prices import Item

SETTING = "COUNT_CALLS"
PATH = "/_local/counts"

_KINDS = ("pass", "task", "choice", "wait", "parallel", "map")
_SQS_CHUNK = 65_536
_EXPRESS_GB = 64 / 1_024  # the least; these machines and what they carry need no more
_OPERATIONS = {
    "_put_item": "PutItem",
    "_update_item": "UpdateItem",
    "_delete_item": "DeleteItem",
    "_get_item": "GetItem",
    "_query": "Query",
    "_scan": "Scan",
    "_batch_get_item": "BatchGetItem",
    "_batch_write_item": "BatchWriteItem",
    "_transact_write_items": "TransactWriteItems",
    "_batch_execute_statement": "BatchExecuteStatement",
}


class Counts:
    """What was counted; several threads add to it."""

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()  # invocations by name
        self._lock = threading.Lock()
        self.meter: Meter | None = None

    def add(self, item: Item, count: float = 1) -> None:
        """Add what was used."""
        with self._lock:
            self.used[item] += count  # type: ignore[assignment]  # GB-seconds are no whole ones

    def invocation(self, name: str, gigabyte_seconds: float) -> None:
        """Add an invocation of a function."""
        self.add(Item.INVOCATIONS)
        self.add(Item.LAMBDA_SECONDS, gigabyte_seconds)
        with self._lock:
            self.functions[name] += 1

    def take(self) -> dict[str, Any]:
        """Return everything, and begin anew."""
        bill = self.meter.take() if self.meter else None
        with self._lock:
            used, self.used = self.used, Counter()
            functions, self.functions = self.functions, Counter()
        if bill:
            used[Item.WRITES], used[Item.READS] = bill.write_units, bill.read_units  # type: ignore[assignment]
        return {"used": used, "functions": functions}


def patch(counts: Counts) -> None:
    """Let MiniStack's services tell what they do, before they start."""
    from ministack.services import dynamodb, lambda_svc, sqs, stepfunctions

    _count_states(stepfunctions, counts)
    _count_invocations(lambda_svc, counts)
    sqs._dispatch = _counted_calls(sqs._dispatch, counts)
    _measure(dynamodb, counts)


def answering(app: App, counts: Counts) -> App:
    """Return an ASGI application that tells the counts, and is the emulator for all else."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(counts.take()).encode()})

    return answer


def _count_states(stepfunctions: Any, counts: Counts) -> None:
    def is_express(machine_arn: str) -> bool:
        found = stepfunctions._state_machines.get(machine_arn) or {}
        return bool(found.get("type") == "EXPRESS")

    def counted(execute: Callable[..., Any]) -> Callable[..., Any]:
        def execute_and_count(*arguments: Any) -> Any:
            if not is_express(arguments[-1]["StateMachine"]["Id"]):  # the context comes last
                counts.add(Item.TRANSITIONS)
            return execute(*arguments)

        return execute_and_count

    run = stepfunctions._run_execution

    def run_and_count(arn: str) -> None:
        began = time.monotonic()
        run(arn)
        execution = stepfunctions._executions.get(arn) or {}
        if is_express(execution.get("stateMachineArn", "")):
            tenths = math.ceil((time.monotonic() - began) * 10)
            counts.add(Item.EXPRESS_REQUESTS)
            counts.add(Item.EXPRESS_SECONDS, tenths / 10 * _EXPRESS_GB)

    stepfunctions._run_execution = run_and_count
    for kind in _KINDS:
        name = f"_execute_{kind}"
        setattr(stepfunctions, name, counted(getattr(stepfunctions, name)))


def _count_invocations(functions: Any, counts: Counts) -> None:
    execute = functions._execute_function_warm

    def execute_and_count(function: dict[str, Any], *given: Any) -> dict[str, Any]:
        began = time.monotonic()
        result: dict[str, Any] = execute(function, *given)
        milliseconds = math.ceil((time.monotonic() - began) * 1_000)
        config = function.get("config") or function
        gigabytes = config["MemorySize"] / 1_024
        counts.invocation(config["FunctionName"], milliseconds / 1_000 * gigabytes)
        return result

    functions._execute_function_warm = execute_and_count


def _counted_calls(
    dispatch: Callable[..., Awaitable[Any]], counts: Counts
) -> Callable[..., Awaitable[Any]]:
    async def dispatch_and_count(action: str, data: dict[str, Any], url: str) -> Any:
        answer = await dispatch(action, data, url)
        sent, received = data.get("Entries") or [data], (answer or {}).get("Messages") or []
        bodies = [one.get("MessageBody", "") for one in sent] + [one["Body"] for one in received]
        chunks = math.ceil(sum(len(body.encode()) for body in bodies) / _SQS_CHUNK)
        counts.add(Item.SQS, max(1, chunks))
        return answer

    return dispatch_and_count


def _measure(dynamodb: Any, counts: Counts) -> None:
    get, describe = dynamodb._get_item, dynamodb._describe_table

    def describe_table(name: str) -> dict[str, Any]:
        return dict(_json(describe({"TableName": name}))["Table"])

    def image(table: str, key: dict[str, Any]) -> dict[str, Any] | None:
        asked = {"TableName": table, "Key": key, "ConsistentRead": True}
        found: dict[str, Any] | None = _json(get(asked)).get("Item")
        return found

    meter = counts.meter = Meter(describe_table, image)

    def measured(operation: str, execute: Callable[..., Any]) -> Callable[..., Any]:
        def execute_and_measure(data: dict[str, Any]) -> Any:
            answers: list[Any] = []

            def answer() -> dict[str, Any]:
                answers.append(execute(data))
                return _json(answers[0])

            meter.measure(operation, data, answer)
            return answers[0]

        return execute_and_measure

    for name, operation in _OPERATIONS.items():
        setattr(dynamodb, name, measured(operation, getattr(dynamodb, name)))


def _json(answer: tuple[int, Any, bytes | str]) -> dict[str, Any]:
    return dict(json.loads(answer[2] or "{}"))

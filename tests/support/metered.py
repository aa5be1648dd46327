"""`local.meter` on moto: DynamoDB's units while the application runs in this process."""

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.responses import DynamoHandler

from local.meter import Meter
from local.request_units import Item
from local.stack import ROOT
from tests.support.cloud import ACCOUNT, REGION

_WORKFLOWS = str(ROOT / "workflows") + "/"
_LAMBDAS = str(ROOT / "lambdas") + "/"
# What writes for others: who asked is one frame further.
_ON_BEHALF = ("runtime", "ledger/writes", "ledger/audit")


@contextmanager
def metered(stack: Any = None) -> Iterator[Meter]:
    """Count every unit that moto's DynamoDB would bill, for a while, inside `mock_aws`.

    Args:
        stack: a `MotoStack`, to tell the states that write from each other.
    """
    state = [""]
    meter = Meter(_describe, _image, lambda: _writer(state[0]))
    call = DynamoHandler.call_action

    def call_and_measure(handler: Any) -> Any:
        answered: list[Any] = []

        def answer() -> dict[str, Any]:
            answered.append(call(handler))
            return dict(json.loads(answered[0][2] or "{}"))

        meter.measure(handler._get_action(), copy.deepcopy(handler.params), answer)
        return answered[0]

    def in_state(arn: str, name: str, do: Any) -> Any:
        before, state[0] = state[0], name
        try:
            return task(arn, name, do)
        finally:
            state[0] = before

    task: Any = stack.task if stack else None
    with mock.patch.object(DynamoHandler, "call_action", call_and_measure):
        if not stack:
            yield meter
            return
        with mock.patch.object(stack, "task", in_state):
            yield meter


def _backend() -> DynamoDBBackend:
    found: DynamoDBBackend = dynamodb_backends[ACCOUNT][REGION]
    return found


def _describe(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _backend().tables[name].describe("Table")["Table"]
    return found


def _image(table: str, key: Item) -> Item | None:
    item = _backend().get_item(table, key)
    return copy.deepcopy(item.to_json()["Attributes"]) if item else None


def _writer(state: str) -> str:
    """Return the function of `workflows` that writes, or else the state."""
    frame, names, in_lambda = sys._getframe(1), [], False
    while frame.f_back:
        frame = frame.f_back
        path = frame.f_code.co_filename
        in_lambda = in_lambda or path.startswith(_LAMBDAS)
        if path.startswith(_WORKFLOWS):
            module = str(Path(path.removeprefix(_WORKFLOWS)).with_suffix(""))
            if not module.startswith(_ON_BEHALF):
                names.append(f"{module}.{frame.f_code.co_name}")
    return names[0] if names and (in_lambda or not state) else state

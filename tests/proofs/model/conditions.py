"""The conditions as code and ASL have them: what each call names, with its values put in.

A call of Python is made for real and stopped at its write; a state's arguments are read from its
machine. So a condition reads
`attempts_total = ‹attempt›` whatever its placeholders are called.
"""

import ast
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from boto3.dynamodb.types import TypeSerializer

from local.stack import ROOT
from tests.support.messages import a_message, an_operator
from workflows.groups.fences import Fence
from workflows.ledger.claims import Claim
from workflows.messages.message_types import meaning_hash
from workflows.redrive.partiql import Statement
from workflows.runtime import aws, clock, shards
from workflows.runtime.settings import settings

EPOCH = 1_000_000
MESSAGE = a_message(message_id="message", group_id="group")
FENCE = Fence("group", "holder", generation=1005, execution_arn="‹execution›")
OURS = Fence("group", "message", generation=1005, execution_arn="‹execution›")
CLAIM = Claim(None, redrives=1003, attempt=1007)  # type: ignore[arg-type]  # no decision is looked at
ROW: dict[str, Any] = {
    "message_id": "message",
    "status": "DEAD",
    "trouble": "DEAD",
    "group_id": "group",
    "type": "transaction",
    "body": MESSAGE.body(),
    "payload_hash": MESSAGE.payload_hash,
    "redrives": 1003,
    "redrive_limit": 1009,
    "attempts_total": 1007,
    "redriven_by": shards.key("‹run›", "message"),
    "journey": [{"event": "queued"}],
    "execution_arns": [],
    "updated_at": "2026-11-30T00:00:00.000Z",
}
OPERATOR = an_operator()
# What stands for a value that was read or given, and is no constant of the code.
_NAMES = {
    1003: "‹redrives›",
    1004: "‹redrives + 1›",
    1005: "‹generation›",
    1007: "‹attempt›",
    1009: "‹limit›",
    EPOCH: "‹now›",
    shards.key("‹run›", "message"): "‹run›",
    MESSAGE.payload_hash: "‹hash›",
    meaning_hash(MESSAGE): "‹meaning›",
}
_PLACEHOLDER = re.compile(r"[:#]\w+")
_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}


class _Written(BaseException):
    """Ends a call at its write: no handler of the code catches it."""

    def __init__(self, conditions: list[str]) -> None:
        super().__init__()
        self.conditions = conditions


def of_call(
    call: Callable[[], Any], refused: int = 0, row: dict[str, Any] | None = None
) -> list[str]:
    """Return the conditions of a call's write; of the write after `refused` ones."""
    left = [refused]
    found = {name: TypeSerializer().serialize(value) for name, value in (row or ROW).items()}

    def answer(model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        asked = json.loads(params["body"])
        if model.name not in _WRITES:
            return _Http(200), _read(model.name, found)
        if left[0]:
            left[0] -= 1
            error = {"Code": "ConditionalCheckFailedException", "Message": ""}
            return _Http(400), {"Error": error, "Item": found, "ResponseMetadata": {}}
        raise _Written(list(_conditions(asked)))

    with _answered(answer):
        try:
            call()
        except _Written as written:
            return written.conditions
    raise AssertionError("The call wrote nothing.")


class _Http:
    """What botocore looks at of an HTTP response."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@contextmanager
def _answered(answer: Callable[..., Any]) -> Iterator[None]:
    events = aws.dynamodb().meta.events
    events.register_first("before-call.dynamodb.*", answer)
    try:
        with patch.object(clock, "epoch", lambda: EPOCH):
            yield
    finally:
        events.unregister("before-call.dynamodb.*", answer)


def _read(operation: str, row: dict[str, Any]) -> dict[str, Any]:
    if operation == "BatchGetItem":
        return {"Responses": {settings().messages_table: [row]}, "ResponseMetadata": {}}
    return {"Item": row, "ResponseMetadata": {}}


def of_state(machine: str, state: str) -> list[str]:
    """Return the conditions of a state's arguments, or of a Choice its rules in their order."""
    found = _states(machine)[state]
    if found["Type"] == "Choice":
        rules = [f"{_bare(rule['Condition'])} → {rule['Next']}" for rule in found["Choices"]]
        return [*rules, f"else → {found['Default']}"]
    return list(_conditions(found["Arguments"]))


def after(machine: str, state: str) -> list[str]:
    """Return where a state goes: after success, and by each of its catchers."""
    found = _states(machine)[state]
    caught = [f"{'/'.join(c['ErrorEquals'])} → {c['Next']}" for c in found.get("Catch", [])]
    return [f"→ {found['Next']}", *caught]


def _states(machine: str) -> dict[str, Any]:
    path = ROOT / "statemachines" / f"{machine}.asl.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["States"])


def _conditions(call: dict[str, Any]) -> Iterator[str]:
    """Yield the condition of each item of a transaction, or of a single write."""
    for item in call.get("TransactItems", [call]):
        (kind, write), *_ = item.items() if "TableName" not in item else [("", item)]
        table = write["TableName"].strip("${}").removesuffix("Table")
        if table == "Audit":
            continue
        names = write.get("ExpressionAttributeNames", {})
        values = write.get("ExpressionAttributeValues", {})
        given = {**names, **{name: _value(value) for name, value in values.items()}}
        condition = write.get("ConditionExpression", "no condition")
        text = _PLACEHOLDER.sub(lambda found, g=given: str(g[found[0]]), condition)  # type: ignore[misc]
        yield f"{kind or 'Write'} {table}: {text}"


def _value(typed: Any) -> str:
    """Return a typed value of DynamoDB, or an expression that makes one, as it reads there."""
    if isinstance(typed, str):
        return _bare(typed)
    ((kind, value),) = typed.items()
    if isinstance(value, str) and value.startswith("{%"):
        return _bare(value)
    if kind == "N" and value.lstrip("-").isdigit():
        number = int(value)
        if abs(number - EPOCH) in (0, 900):
            return _NAMES[EPOCH] + (" - 900" if number < EPOCH else "")
        return _NAMES.get(number, str(number))
    return _NAMES.get(value, value) if isinstance(value, str) else str(value)


def _bare(expression: str) -> str:
    return expression.removeprefix("{%").removesuffix("%}").strip()


def of_statement(statement: Statement | None) -> list[str]:
    """Return the WHERE of a statement for a message, and what becomes of the message."""
    assert statement is not None
    text, values = statement["Statement"], list(statement["Parameters"])
    before, _, where = text.partition(" WHERE ")
    values = values[before.count("?") :]
    first = statement["Parameters"][0]["S"] if 'SET "status"' in before else "no status"
    filled = re.sub(r"\?", lambda _: _value(values.pop(0)), where)
    return [f"to {first}: {filled}".replace('"', "")]


def of_rule(function: Callable[..., Any]) -> list[str]:
    """Return the fingerprint of a rule in Python: its code without comments and docstring."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
    (found,) = tree.body
    assert isinstance(found, ast.FunctionDef)
    if ast.get_docstring(found) is not None:
        del found.body[0]
    digest = hashlib.sha256(ast.unparse(found).encode()).hexdigest()[:12]
    return [f"{function.__module__}.{function.__qualname__}: {digest}"]

"""PartiQL: one conditional write as a text with its parameters, as DynamoDB executes it in a batch.

The lane machine executes most of them; `execute` is for those that a function executes itself.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
"""

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from workflows.runtime import clock
from workflows.runtime.aws import dynamodb

# DynamoDB takes so many at once.
_CHUNK = 25

# Each column, an operator, and the value that it is compared with.
Where = list[tuple[str, str, Any]]


class Statement(TypedDict):
    """One statement as DynamoDB takes it, but for its marks.

    A parameter `{"body": 3}` stands for the body of the batch's message 3, which is too large to go
    back and forth, and `{"seconds": 900}` for the time, in seconds since 1970, so much later than
    the statement is executed.
    """

    Statement: str
    Parameters: list[dict[str, Any]]
    ReturnValuesOnConditionCheckFailure: NotRequired[str]


class Mark:
    """Stands for a value that the machine knows and this module does not."""

    def __init__(self, kind: str, of: int) -> None:
        self.parameter = {kind: of}


def update(
    table: str,
    where: Where,
    *,
    sets: dict[str, Any] | None = None,
    appends: dict[str, list[Any]] | None = None,
    also: str = "",
) -> Statement:
    """Return a statement that changes an item which is as `where` says, its key included.

    Args:
        table: its name.
        where: the conditions, all of which must hold.
        sets: values of columns.
        appends: what is put at the end of lists.
        also: clauses without parameters, as `REMOVE "trouble"`.
    """
    sets, appends = sets or {}, appends or {}
    clauses = [f'SET "{name}"=?' for name in sets]
    clauses += [f'SET "{name}"=list_append("{name}", ?)' for name in appends]
    conditions = " AND ".join(f'"{name}"{operator}?' for name, operator, _ in where)
    values = [*sets.values(), *appends.values(), *(value for _, _, value in where)]
    text = [f'UPDATE "{table}"', *clauses, *([also] if also else []), f"WHERE {conditions}"]
    return {"Statement": " ".join(text), "Parameters": _parameters(values)}


def insert(table: str, columns: dict[str, Any]) -> Statement:
    """Return a statement that makes an item of which the table has none yet."""
    names = ",".join(f"'{name}':?" for name in columns)
    return {
        "Statement": f'INSERT INTO "{table}" VALUE {{{names}}}',
        "Parameters": _parameters(columns.values()),
    }


class StatementFailed(Exception):
    """A statement was not executed, and not because of its condition."""


def execute(statements: list[Statement]) -> list[bool]:
    """Execute statements without bodies, each by itself; return whether its condition held.

    Raises:
        StatementFailed: one failed otherwise; those before it, and others, may be executed.
    """
    held = []
    for first in range(0, len(statements), _CHUNK):
        for answer in ask(statements[first : first + _CHUNK]):
            code = answer.get("Error", {}).get("Code")
            if code not in (None, "ConditionalCheckFailed"):
                raise StatementFailed(code)
            held.append(code is None)
    return held


def ask(statements: list[Statement], bodies: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Execute at most 25 statements, each by itself; return DynamoDB's answer to each.

    Args:
        statements: to be executed.
        bodies: of the batch's messages, for which the statements have marks.
    """
    filled: Any = [_filled(statement, bodies) for statement in statements]
    answer: Any = dynamodb().batch_execute_statement(Statements=filled)
    return list(answer["Responses"])


def _filled(statement: Statement, bodies: Sequence[str]) -> dict[str, Any]:
    # The client takes plain values, and Step Functions those of DynamoDB.
    values = [_value(parameter, bodies) for parameter in statement["Parameters"]]
    return dict(statement) | {"Parameters": values}


def _value(parameter: dict[str, Any], bodies: Sequence[str]) -> Any:
    if "seconds" in parameter:
        return clock.epoch() + parameter["seconds"]
    if "body" in parameter:
        return bodies[parameter["body"]]
    plain: Any = TypeDeserializer().deserialize
    return plain(parameter)


def _parameters(values: Iterable[Any]) -> list[dict[str, Any]]:
    serialize = TypeSerializer().serialize
    return [
        value.parameter if isinstance(value, Mark) else dict(serialize(value)) for value in values
    ]

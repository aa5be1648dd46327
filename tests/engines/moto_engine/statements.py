"""PartiQL's writes, translated into DynamoDB's other language, which moto knows well.

Only the forms that https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
gives for INSERT, UPDATE and DELETE, with `?` for every value.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from moto.dynamodb.exceptions import ConditionalCheckFailed, MockValidationException
from moto.dynamodb.models import DynamoDBBackend

_UPDATE = re.compile(r'UPDATE "([^"]+)" (.*) WHERE (.*)', re.DOTALL)
_DELETE = re.compile(r'DELETE FROM "([^"]+)" WHERE (.*)', re.DOTALL)
_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}', re.DOTALL)
_CLAUSE = re.compile(r"\s*\b(SET|REMOVE)\b ", re.DOTALL)
_NAME = re.compile(r'"([^"]+)"')


class _Statement:
    """One statement's parts in DynamoDB's other language; values are numbered as they come."""

    def __init__(self, parameters: list[dict[str, Any]]) -> None:
        self.key: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.parameters = iter(parameters)

    def translate(self, part: str) -> str:
        """Return a part of an expression with `#0` and `:0` for its names and values."""
        named = _NAME.sub(lambda found: self._name(found[1]), part)
        return re.sub(r"\?|(?<=[+\-])\d+|(?<==)\d+", self._value, named)

    def condition(self, where: str, key: set[str]) -> str:
        """Take the key from a WHERE clause, and return what else it asks for."""
        others = [f"attribute_exists({self._name(min(key))})"]
        for term in where.split(" AND "):
            name, operator, _ = re.split(r"(<>|<=|>=|=|<|>)", term, maxsplit=1)
            if operator == "=" and (bare := name.strip().strip('"')) in key:
                self.key[bare] = next(self.parameters)
            else:
                others.append(self.translate(term))
        if set(self.key) != key:
            raise MockValidationException("Where clause does not contain a mandatory equality")
        return " AND ".join(others)

    def _name(self, name: str) -> str:
        known = {value: placeholder for placeholder, value in self.names.items()}
        placeholder = known.get(name, f"#n{len(self.names)}")
        self.names[placeholder] = name
        return placeholder

    def _value(self, found: re.Match[str]) -> str:
        placeholder = f":v{len(self.values)}"
        value = next(self.parameters) if found[0] == "?" else {"N": found[0]}
        self.values[placeholder] = value
        return placeholder


def execute(backend: DynamoDBBackend, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Execute a batch, each statement for itself; errors are answers, named as AWS names them.

    Raises:
        MockValidationException: two statements name one item, which AWS does not take.
    """
    targets = [target for target in (_target(backend, one) for one in statements) if target]
    if len(set(targets)) < len(targets):
        raise MockValidationException("Provided list of item keys contains duplicates")
    return [_execute(backend, statement) for statement in statements]


def _read(statement: dict[str, Any]) -> tuple[re.Pattern[str], str, list[str]]:
    """Return a statement's form, its table and its clauses."""
    text = statement["Statement"]
    for form in _FORMS:
        if found := form.fullmatch(text):
            table, *clauses = found.groups()
            return form, table, clauses
    raise NotImplementedError(text)


def _target(backend: DynamoDBBackend, statement: dict[str, Any]) -> str | None:
    """Return the item that a statement names; None if it names none."""
    form, table, clauses = _read(statement)
    if table not in backend.tables:
        return None
    parts, key = _Statement(statement.get("Parameters", [])), backend.tables[table].table_key_attrs
    try:
        if form is _INSERT:
            item = _item(clauses, parts)
            parts.key = {name: item[name] for name in key}
        else:
            parts.translate(" ".join(clauses[:-1]))  # takes the parameters before the key's
            parts.condition(clauses[-1], set(key))
    except (KeyError, MockValidationException):
        return None  # its own answer says so
    return json.dumps([table, parts.key], sort_keys=True)


def _execute(backend: DynamoDBBackend, statement: dict[str, Any]) -> dict[str, Any]:
    form, table, clauses = _read(statement)
    parts = _Statement(statement.get("Parameters", []))
    if table not in backend.tables:
        return _error("ResourceNotFound", "Requested resource not found")
    key = set(backend.tables[table].table_key_attrs)
    try:
        _FORMS[form](backend, table, key, clauses, parts)
    except ConditionalCheckFailed:
        if form is _INSERT:
            return _error("DuplicateItem", "Duplicate primary key exists in table", table)
        answer = _error("ConditionalCheckFailed", "The conditional request failed", table)
        if statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            item = backend.get_item(table, parts.key)
            answer["Error"] |= {"Item": item.to_json()["Attributes"]} if item else {}
        return answer
    except MockValidationException as invalid:
        return _error("ValidationError", invalid.message)
    return {"TableName": table}


def _error(code: str, message: str, table: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"Error": {"Code": code, "Message": message}}
    return error | ({"TableName": table} if table else {})


def _update(
    backend: DynamoDBBackend, table: str, key: set[str], clauses: list[str], parts: _Statement
) -> None:
    assignments, where = clauses
    # In the order of the statement, because `?` takes the parameters in this order.
    translated = [(kind, parts.translate(clause)) for kind, clause in _clauses(assignments)]
    expression = " ".join(
        f"{kind} {', '.join(clause for of, clause in translated if of == kind)}"
        for kind in dict.fromkeys(kind for kind, _ in translated)
    )
    condition = parts.condition(where, key)
    backend.update_item(
        table, parts.key, expression, parts.names, parts.values, condition_expression=condition
    )


def _delete(
    backend: DynamoDBBackend, table: str, key: set[str], clauses: list[str], parts: _Statement
) -> None:
    condition = parts.condition(clauses[0], key)
    backend.delete_item(table, parts.key, parts.names, parts.values, condition)


def _insert(
    backend: DynamoDBBackend, table: str, key: set[str], clauses: list[str], parts: _Statement
) -> None:
    condition = f"attribute_not_exists({min(key)})"
    backend.put_item(table, _item(clauses, parts), condition_expression=condition)


def _item(clauses: list[str], parts: _Statement) -> dict[str, Any]:
    values = re.findall(r"'([^']+)': ?(\?|\d+)", clauses[0])
    return {
        name: next(parts.parameters) if value == "?" else {"N": value} for name, value in values
    }


def _clauses(text: str) -> Iterator[tuple[str, str]]:
    _, *parts = _CLAUSE.split(f" {text}")
    for kind, clause in zip(parts[::2], parts[1::2], strict=True):
        yield kind, clause.strip()


_FORMS = {_UPDATE: _update, _DELETE: _delete, _INSERT: _insert}

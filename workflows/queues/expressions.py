"""Expressions that tell what a foreign message is: JMESPath over {body, attributes, group}.

They are bounded as those of filters are (`messages/expressions.py`). A list of expressions, as a
whole, is one too: what identifies a message may stand in several places.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypedDict

from workflows.messages import expressions

LENGTH = 512
SUBJECT = ("attributes", "body", "group")


class Subject(TypedDict):
    """A message as expressions see it. `body`: parsed where it is JSON, else its text."""

    body: Any
    attributes: dict[str, Any]
    group: str


def check(expression: str) -> str:
    """Return an expression that tells something of a message; also a constant: `'order'`.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if len(expression) > LENGTH:
        raise ValueError(f"must have at most {LENGTH} characters")
    for part in _parts(expressions.parse(expression)):
        expressions.check_node(part)
        for name in _fields(part):
            if name not in SUBJECT:
                raise ValueError(
                    "must begin at body, attributes or group, such as body.order.id; a constant"
                    " stands in single quotes, such as 'order'"
                )
    return expression


def check_identity(expression: str) -> str:
    """Return an expression that can tell one message from another.

    Raises:
        ValueError: saying what is wrong with it.
    """
    parts = _parts(expressions.parse(check(expression)))
    if not any(_looks(part) for part in parts):
        raise ValueError("is the same for every message")
    return expression


def reads_body(expression: str) -> bool:
    """Tell whether a checked expression may look at a message's body."""
    nodes = [expressions.parse(expression)]
    for node in nodes:
        nodes += () if node["type"] == "slice" else node["children"]  # which are numbers
    return any(
        node["type"] == "current" or (node["type"], node.get("value")) == ("field", "body")
        for node in nodes
    )


def evaluate(expression: str, subject: Subject) -> Any:
    """Return what a checked expression selects of a message; None if it fails on it."""
    return expressions.value(expression, subject)


def text(expression: str, subject: Subject) -> str:
    """Return what a checked expression selects as a text, and "" if that is nothing.

    Texts and numbers are something; of a list of expressions only if each of them is.
    """
    found = evaluate(expression, subject)
    if expressions.parse(expression)["type"] != "multi_select_list":
        return _scalar(found)
    parts = [_scalar(part) for part in found or [""]]
    return json.dumps(parts, ensure_ascii=False) if all(parts) else ""


def _scalar(found: Any) -> str:
    if isinstance(found, str):
        return found
    is_number = isinstance(found, int | float | Decimal) and not isinstance(found, bool)
    return str(found) if is_number else ""


def _parts(root: dict[str, Any]) -> list[dict[str, Any]]:
    return list(root["children"]) if root["type"] == "multi_select_list" else [root]


# Of these only the first child sees what the whole sees; the others see what came of that, which is
# the same after `@`.
_CHAINS = (
    "subexpression", "index_expression", "pipe", "projection", "value_projection",
    "filter_projection",
)  # fmt: skip


def _fields(root: dict[str, Any]) -> Iterator[str]:
    """Yield the names at which a part begins to look at a message."""
    if root["type"] == "field":
        yield str(root["value"])
    if root["type"] == "slice":  # its children are numbers
        return
    children = root["children"]
    if root["type"] in _CHAINS:
        children = children[: 2 if children[0]["type"] == "current" else 1]
    for child in children:
        yield from _fields(child)


def _looks(part: dict[str, Any]) -> bool:
    return any(True for _ in _fields(part)) or part["type"] == "current"

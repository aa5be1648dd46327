"""JMESPath about a payload, kept to what cannot take long, whatever expression meets what payload.

Left out is what builds new values: chained, it makes a few hundred characters grow into more
elements than fit into memory. What is left only selects, compares and calculates.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

# fmt: off
FUNCTIONS = (
    "abs", "avg", "ceil", "contains", "ends_with", "floor", "keys", "length", "max", "min",
    "not_null", "starts_with", "sum", "to_number", "type", "values",
)
# fmt: on
# Python's own limit of nested calls is far away from it.
_LEVELS = 64
# A fraction of a second; an expression that needs more is false.
_STEPS = 50_000
# Comparing a text with a number, the mean of numbers too large, a step of 0 ...
_FAILURES = (JMESPathError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


class _Interpreter(TreeInterpreter):  # type: ignore[misc]  # it has no types
    """Gives up after so many steps."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _STEPS

    def visit(self, node: dict[str, Any], *values: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise JMESPathError
        return super().visit(node, *values)

    def true(self, node: dict[str, Any], value: Any) -> bool:
        """Evaluate, and tell whether the result is true: not null, false or empty."""
        return bool(self._is_true(self.visit(node, value)))


def check_expression(expression: str) -> str:
    """Return the expression if it can be evaluated.

    Raises:
        ValueError: saying what is wrong with it, without quoting it.
    """
    check_node(parse(expression))
    return expression


def check_node(root: dict[str, Any]) -> None:
    """Check a part of what `parse` gives, as `check_expression` does the whole."""
    for node, parent in _nodes(root):
        _check(node, parent)


def evaluate(expression: str, payload: dict[str, Any]) -> bool:
    """Tell whether a checked expression is true of a payload; false if it fails on it."""
    try:
        return _Interpreter().true(parse(expression), payload)
    except _FAILURES:
        return False


def value(expression: str, data: Any) -> Any:
    """Return what a checked expression selects of some data; None if it fails on it."""
    try:
        return _Interpreter().visit(parse(expression), data)
    except _FAILURES:
        return None


@lru_cache(maxsize=32)
def parse(expression: str) -> dict[str, Any]:
    """Return an expression as the library reads it: nodes of {type, children, value}.

    Raises:
        ValueError: it is none.
    """
    try:
        return dict(jmespath.compile(expression).parsed)
    except (LexerError, ParseError) as error:
        place = getattr(error, "lexer_position", None) or getattr(error, "lex_position", None)
        where = "" if place is None else f" (character {place + 1})"
        raise ValueError(f"is not a JMESPath expression{where}") from None
    except (JMESPathError, RecursionError, ValueError):
        raise ValueError("is not a JMESPath expression") from None


def _nodes(root: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each node with its parent's type; for a function that is its name."""
    row: list[tuple[dict[str, Any], str]] = [(root, "")]
    for _ in range(_LEVELS):
        yield from row
        row = [
            (child, node["value"] if node["type"] == "function_expression" else node["type"])
            for node, _ in row
            if node["type"] != "slice"  # its children are numbers
            for child in node["children"]
        ]
        if not row:
            return
    raise ValueError(f"must not be nested deeper than {_LEVELS} levels")


def _check(node: dict[str, Any], parent: str) -> None:
    kind = node["type"]
    if kind == "function_expression":
        _check_function(node["value"], len(node["children"]))
    elif kind == "expref":
        raise ValueError("must not use expressions as arguments (&)")
    elif kind == "slice" and node["children"][2] == 0:
        raise ValueError("must not have a slice with a step of 0")
    elif kind == "multi_select_dict" or (_is_constant(node) and parent not in _CONSTANTS_IN):
        raise ValueError("may hold a list only to compare with it, or in contains(), and no object")
    elif kind == "multi_select_list" and not _is_constant(node):
        raise ValueError("may hold only lists of constants, such as contains(['a', 'b'], x)")


_CONSTANTS_IN = ("comparator", "contains")


def _is_constant(node: dict[str, Any]) -> bool:
    """Tell a list or an object that is written in the expression."""
    if node["type"] == "multi_select_list":
        return all(child["type"] == "literal" for child in node["children"])
    return node["type"] == "literal" and isinstance(node["value"], list | dict)


def _check_function(name: str, arguments: int) -> None:
    if name not in FUNCTIONS:
        raise ValueError(f"may call only {', '.join(FUNCTIONS)}")
    signature = Functions.FUNCTION_TABLE[name]["signature"]
    variadic = bool(signature and signature[-1].get("variadic"))
    if arguments != len(signature) and not (variadic and arguments > len(signature)):
        raise ValueError(f"{name}() takes {len(signature)}{' or more' if variadic else ''}")

"""What makes moto quick enough for thousands of calls; it computes what it computes without.

moto reads every expression anew, several times a call, and walks its tree ten times with the means
of an abstract class. What depends on the expression alone is done once for each expression here.
"""

import copy
import pickle
from collections import deque
from functools import cache
from typing import Any
from unittest import mock

from moto.core import responses
from moto.core.serialize import ResponseSerializer
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.parsing import ast_nodes, expressions, validators
from moto.sqs import models as sqs

# moto does without types here.
_Node: Any = vars(ast_nodes)["Node"]
_Traverser: Any = vars(ast_nodes)["DepthFirstTraverser"]
_UpdateExpressionParser: Any = vars(expressions)["UpdateExpressionParser"]


def patches() -> list[Any]:
    """Return the patches, each a context manager."""
    remembered = [
        (responses, "camelcase_to_underscores"),
        (responses, "method_names_from_class"),
        (sqs, "camelcase_to_underscores"),
    ]
    return [
        *(
            mock.patch.object(owner, name, cache(getattr(owner, name)))
            for owner, name in remembered
        ),
        mock.patch.object(ConditionExpressionParser, "_lex_condition_expression", _words_of),
        mock.patch.object(_UpdateExpressionParser, "make", _tree),
        mock.patch.object(_Traverser, "traverse", _traverse),
        mock.patch.object(validators, "deepcopy", _copy),
        mock.patch.object(ResponseSerializer, "_serialize_type_structure", _serialize),
        mock.patch.object(validators.Validator, "validate", _validate),
    ]


_make = _UpdateExpressionParser.make
_lex = ConditionExpressionParser._lex_condition_expression


@cache
def _tree(expression: str) -> Any:
    """Return an expression's tree; whoever changes it does so in a copy."""
    tree = _make(expression)
    tree.expression = expression
    return tree


@cache
def _pickled(tree: Any) -> bytes:
    return pickle.dumps(tree)


def _copy(node: Any) -> Any:
    # A whole tree, or the value that a function such as list_append is given.
    if not hasattr(node, "expression"):
        return copy.deepcopy(node)
    return pickle.loads(_pickled(node))  # noqa: S301 - our own, of a line ago


_SCALARS = ({"S"}, {"N"}, {"BOOL"}, {"NULL"})
_serialize_structure = ResponseSerializer._serialize_type_structure


def _serialize(serializer: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    # Of ten members, each looked for under several names, such a value has one: it is the answer.
    if shape.name == "AttributeValue" and key and type(value) is dict and value.keys() in _SCALARS:
        serializer._default_serialize(serialized, value, shape, key)
    else:
        _serialize_structure(serializer, serialized, value, shape, key)


def _words_of(parser: Any) -> Any:
    return deque(_words(parser.condition_expression))


@cache
def _words(expression: str) -> tuple[Any, ...]:
    return tuple(_lex(ConditionExpressionParser(expression, None, None)))


# Of these the answer depends on the expression and its names.
_STATIC = (validators.ActionCountValidator, validators.OverlappingPathsValidator)
_checked: set[Any] = set()


def _validate(validator: Any) -> Any:
    node = validator.node_to_validate
    names = validator.expression_attribute_names or {}
    known = (node.expression, tuple(sorted(names.items())))
    for processor in validator.processors:
        if not (isinstance(processor, _STATIC) and known in _checked):
            node = processor.traverse(node)
    _checked.add(known)
    return node


def _traverse(traverser: Any, node: Any) -> Any:
    return _walk(traverser, node, -1, traverser.nodes_to_be_processed())


def _walk(traverser: Any, node: Any, child_id: int, wanted: tuple[type, ...]) -> Any:
    if not _is_instance(node, _Node):
        return node
    parent = node.parent
    for index, child in enumerate(node.children or ()):
        traverser.pre_processing_of_child(node, index)
        _walk(traverser, child, index, wanted)
    if _is_instance(node, wanted):
        node = traverser.process(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node


def _is_instance(value: Any, classes: Any) -> bool:
    kind: Any = type(value)
    return _is_subclass(kind, classes)


@cache
def _is_subclass(kind: Any, classes: Any) -> bool:
    return issubclass(kind, classes)

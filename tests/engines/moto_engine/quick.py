"""What makes moto quick enough for thousands of calls; it answers what it answers without.

moto reads every expression anew, several times a call, and walks its tree ten times with the means
of an abstract class. What depends on the expression alone is done once for each expression here.
Requests are not signed, and do not say from what they come: moto asks for neither.
"""

import copy
import pickle
import time
from collections import deque
from datetime import datetime
from functools import cache
from io import BytesIO
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import unquote, urlsplit

from botocore import httpsession, regions
from botocore.endpoint_provider import EndpointProvider
from botocore.signers import RequestSigner
from botocore.useragent import UserAgentString
from moto.core import models, responses
from moto.core.request import Request, environ_key_for_header
from moto.core.serialize import AttributePickerContext, ResponseSerializer
from moto.core.utils import unix_time_millis
from moto.dynamodb import models as dynamodb
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes, expressions, validators
from moto.sqs import models as sqs
from moto.utilities import aws_headers

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
        mock.patch.object(regions, "EndpointProvider", _endpoints_of),
        mock.patch.object(httpsession, "create_urllib3_context", _no_context),
        mock.patch.object(UserAgentString, "to_string", _nobody),
        mock.patch.object(RequestSigner, "sign", _unsigned),
        mock.patch.object(Request, "from_primitives", _request),
        mock.patch.object(validators.Validator, "validate", _validate),
        mock.patch.object(DynamoType, "__deepcopy__", _copy_of_value),
        mock.patch.object(Item, "__deepcopy__", _copy_of_item),
        mock.patch.object(sqs, "unix_time_millis", _milliseconds),
        mock.patch.object(aws_headers, "gen_amzn_requestid_long", _request_id),
        mock.patch.object(dynamodb, "copy", SimpleNamespace(deepcopy=_deepcopy)),
    ]


def without_responses() -> Any:
    """Return a patch for the time in which moto begins to answer: that only boto's calls reach it.

    For the package `requests`, with which nothing here calls, it prepares 1,300 answers each time.
    """
    return mock.patch.object(models, "RESPONSES_METHODS", [])


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


# Answers. Of a structure's members, each looked for under several names, a value has a few: an
# AttributeValue one of ten, a HistoryEvent four of forty.

_SCALARS = ({"S"}, {"N"}, {"BOOL"}, {"NULL"})
_serialize_structure = ResponseSerializer._serialize_type_structure
_members: dict[Any, list[str]] = {}


def _serialize(serializer: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if type(value) is not dict or serializer._value_picker.response_transformers:
        _serialize_structure(serializer, serialized, value, shape, key)
    elif shape.name == "AttributeValue" and key and value.keys() in _SCALARS:
        serializer._default_serialize(serialized, value, shape, key)
    else:
        found = serializer.MAP_TYPE() if key else serialized
        known = (serializer.operation_model.service_model.service_name, shape.name, tuple(value))
        if known not in _members:
            _members[known] = [
                name for name in shape.members if _has(serializer, value, shape, name)
            ]
        for name in _members[known]:
            serializer._serialize_structure_member(found, value, shape.members[name], name)
        if key:
            serializer._default_serialize(serialized, found, shape, key)


def _has(serializer: Any, value: dict[str, Any], shape: Any, name: str) -> bool:
    member = shape.members[name]
    member.parent = shape
    names = serializer._value_picker.get_possible_keys(
        AttributePickerContext(value, name, member, serializer.operation_model)
    )
    return any(possible.partition(".")[0] in value for possible in names)


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


# Requests. moto has them built by what werkzeug builds the requests of tests with.


_endpoints: dict[int, Any] = {}


def _endpoints_of(ruleset_data: Any, partition_data: Any, excluded_params: Any = None) -> Any:
    """Return what finds the endpoints of a service; botocore reads its rules for each client."""
    # The data are kept too, so that no other gets their id.
    if id(ruleset_data) not in _endpoints:
        found = EndpointProvider(ruleset_data, partition_data, excluded_params)
        _endpoints[id(ruleset_data)] = (ruleset_data, found)
    return _endpoints[id(ruleset_data)][1]


@cache
def _no_context(*_: Any, **__: Any) -> Any:
    return SSLContext(PROTOCOL_TLS_CLIENT)  # nothing is sent anywhere


def _nobody(_: Any) -> str:
    return "tests"


def _unsigned(*_: Any, **__: Any) -> None:
    pass


def _request_id(headers: Any = None) -> str:
    headers.update({"x-amzn-requestid": "0" * 52})  # moto draws 52 letters
    return "0" * 52


def _request(method: str, url: str, headers: Any, body: Any = None) -> Request:
    parts = urlsplit(url)
    content = body.read() if hasattr(body, "read") else body  # S3's client makes a file of bytes
    data = content.encode() if isinstance(content, str) else content or b""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(parts.path, "latin-1"),
        "RAW_URI": parts.path,
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.netloc,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": parts.netloc,
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": BytesIO(data),
    }
    for name, value in headers.items():
        environ[environ_key_for_header(name)] = (
            value.decode() if isinstance(value, bytes) else value
        )
    environ["CONTENT_LENGTH"] = str(len(data))
    return Request(environ)


def _milliseconds(moment: datetime | None = None) -> float:
    """Return the time as moto does, which asks for it at each look at a message, with less ado."""
    return time.time() * 1_000 if moment is None else unix_time_millis(moment)


# Copies. A transaction that is rolled back puts tables back as they were; moto copies each with all
# records of its stream for that. Scalars are replaced, and never changed, so copies can share them.
# A dict is copied at once before it is gone through, for threads that write meanwhile.


def copy_of_json(value: Any) -> Any:
    """Return a copy of what JSON can have, ten times as quickly as `deepcopy`."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own, of this moment


def _deepcopy(value: Any) -> Any:
    return _copy_of_table(value) if isinstance(value, Table) else copy.deepcopy(value)


def _copy_of_table(table: Table) -> Table:
    found = copy.copy(table)
    found.items = table.items.copy()
    for key, value in found.items.items():
        found.items[key] = copy.deepcopy(value.copy() if isinstance(value, dict) else value)
    if table.stream_shard is not None:
        found.stream_shard = copy.copy(table.stream_shard)
        found.stream_shard.table = found
        found.stream_shard.items = list(table.stream_shard.items)
    return found


def _copy_of_value(value: DynamoType, memo: Any) -> DynamoType:
    if not isinstance(value.value, dict | list):
        return value
    found = DynamoType.__new__(DynamoType)
    found.type, found.value = value.type, copy.deepcopy(value.value)
    return found


def _copy_of_item(item: Item, memo: Any) -> Any:
    found: Any = Item.__new__(Item)
    found.hash_key, found.range_key = item.hash_key, item.range_key  # a key's value never changes
    found.attrs = LimitedSizeDict.__new__(LimitedSizeDict)
    dict.update(
        found.attrs,
        {name: _copy_of_value(one, memo) for name, one in dict.copy(item.attrs).items()},
    )
    return found

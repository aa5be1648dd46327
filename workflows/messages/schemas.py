"""JSON Schemas (2020-12) of bodies and payloads: which are taken, and what they say of one.

Whoever registers a queue or a type may be mistaken, and no body may keep a run busy for long: so a
schema is bounded in size, in depth and in what its references make of it, its patterns take linear
time, and nothing is fetched.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs as rs

from workflows.messages.canonical import as_floats

BYTES = 32_768
LEVELS = 20
# Subschemas, each reference counted as all that it refers to: what a body is held against.
PARTS = 2_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Regular expressions, and the bytes that each may take when it is compiled: all of them fit a
# function's memory. The engine without look-around and back-references takes linear time:
# https://docs.rs/regex/latest/regex/#untrusted-input
PATTERNS = 100
_PATTERN_BYTES = 262_144
_ENGINE = rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
# So many combinations of a schema's alternatives are searched for a body that fits it, in a
# fraction of a second; each further alternative can double the time.
_COMBINATIONS = 1_000
_DIVISORS = 20
_PROBLEM_LENGTH = 200

# Where a schema has further ones: https://json-schema.org/draft/2020-12/json-schema-core#section-10
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_DEPENDENT = ("Schemas", "Required")
_ONLY_KEPT = ("$defs", "definitions")  # held against nothing until something refers to them


def hashed(schema: Any) -> str:
    """Return the hash by which an audit knows a schema again, however its names are ordered."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def check(schema: dict[str, Any] | bool) -> dict[str, Any]:
    """Return a schema if bodies can be held against it.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if isinstance(schema, bool):
        raise ValueError(
            "takes every body: leave it out" if schema else "refuses every body: nothing fits it"
        )
    plain: dict[str, Any] = as_floats(schema)
    if len(json.dumps(plain).encode()) > BYTES:
        raise ValueError(f"must have at most {BYTES} bytes")
    if _levels(plain) > LEVELS:
        raise ValueError(f"must not be nested deeper than {LEVELS} levels")
    if str(plain.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        raise ValueError(f"must be of JSON Schema 2020-12; $schema says otherwise than {DIALECT}")
    try:
        _compiled(json.dumps(plain))
    except rs.ValidationError as error:
        raise ValueError(_what_is_wrong(error)) from None
    patterns = (
        ("pattern" in node) + len(node.get("patternProperties", {})) for node in _all(plain)
    )
    if sum(patterns) > PATTERNS:
        raise ValueError(f"must not have more than {PATTERNS} patterns")
    _count(plain, plain, ())
    if _refuses_all(plain):
        raise ValueError("refuses every body: nothing fits it")
    return plain


def problem(schema: dict[str, Any], body: Any, whole: str = "body") -> str | None:
    """Return what is wrong with a body, in ASCII without quotes; None if it fits the schema.

    Of the body it has only names that the schema has as well, and no value.

    Args:
        schema: as `check` gave it.
        body: parsed JSON.
        whole: what the whole of it is called.
    """
    try:
        error = next(iter(_compiled(json.dumps(schema)).iter_errors(body)), None)
    except (ValueError, RecursionError):  # half of a surrogate pair, what JSON has not
        return f"{whole}: is not what JSON can hold"
    if error is None:
        return None
    known = set(_names(schema))
    place = "".join(_step(step, known) for step in error.instance_path).lstrip(".") or whole
    kind: Any = error.kind
    text = f"{place}: does not meet {kind.name}"
    if kind.name == "required" and kind.property in known:
        text = f"{place}: has no {kind.property}"
    elif kind.name == "type":
        text = f"{place}: is not of type {' or '.join(kind.types)}"
    return re.sub(r"[^ !#-\[\]-~]", "?", text)[:_PROBLEM_LENGTH]


@lru_cache(maxsize=16)
def _compiled(schema: str) -> rs.Draft202012Validator:
    return rs.Draft202012Validator(
        json.loads(schema), pattern_options=_ENGINE, offline=True, validate_formats=False
    )


def _what_is_wrong(error: rs.ValidationError) -> str:
    place = "/".join(map(str, error.instance_path))[:_PROBLEM_LENGTH]
    at = f" at {place}" if place else ""
    if error.kind.name == "$ref":
        return "refers to what it has not: it may to its own parts (#...), and nothing is fetched"
    if error.kind.name == "format":
        return (
            f"has a pattern{at} that is none or could take long: look-around, back-references and"
            " large repetitions are not taken"
        )
    return f"is no JSON Schema 2020-12{at}"


def _refuses_all(schema: dict[str, Any]) -> bool:
    """Tell whether it can be proven, in a fraction of a second, that no body fits a schema."""
    combinations = 1
    for node in _all(schema):
        for keyword in ("anyOf", "oneOf"):
            combinations *= max(1, len(node.get(keyword, [])))
        twofold = ("not", "if", "contains", "propertyNames")
        combinations <<= sum(keyword in node for keyword in twofold)
        combinations <<= sum(len(node.get(f"dependent{what}", {})) for what in _DEPENDENT)
    # Of divisors the least common multiple is sought, whose digits grow with each.
    divisors = sum("multipleOf" in node for node in _all(schema))
    if combinations > _COMBINATIONS or divisors > _DIVISORS:
        return False
    refused = rs.canonical.find_unsatisfiable(
        schema, draft=rs.Draft202012, pattern_options=_ENGINE, offline=True
    )
    return "" in refused


def _count(root: dict[str, Any], node: Any, above: tuple[str, ...]) -> int:
    """Return how many parts a schema has, those referred to counted each time.

    Raises:
        ValueError: they are too many, or one contains itself, or is not in this schema.
    """
    if not isinstance(node, dict):
        return 1
    found = 1
    for keyword in ("$dynamicRef", "$recursiveRef"):
        if keyword in node:
            raise ValueError(f"must not use {keyword}")
    if node is not root and "$id" in node:
        raise ValueError("must not have a $id but its own")
    if "$ref" in node:
        pointer = str(node["$ref"])
        if pointer in above:
            raise ValueError(f"refers to itself by {pointer}: that has no bound")
        found += _count(root, _referred(root, pointer), (*above, pointer))
    for part in _parts(node, held=True):
        found += _count(root, part, above)
        if found > PARTS:
            raise ValueError(f"must not have more than {PARTS} parts, references counted each time")
    return found


def _referred(root: dict[str, Any], pointer: str) -> Any:
    """Return what a reference within the schema refers to, by pointer or by anchor.

    Raises:
        ValueError: it refers to another schema.
    """
    if not pointer.startswith("#"):  # one that the library knows by heart
        raise ValueError("may refer only to its own parts (#...)")
    if pointer != "#" and not pointer.startswith("#/"):
        return next(node for node in _all(root) if node.get("$anchor") == pointer[1:])
    found: Any = root
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def _parts(node: dict[str, Any], *, held: bool) -> Iterator[Any]:
    """Yield the schemas directly in one; `held`: only those that a body is held against."""
    for keyword in _NAMED:
        if not (held and keyword in _ONLY_KEPT):
            yield from node.get(keyword, {}).values()
    for keyword in _LISTED:
        yield from node.get(keyword, [])
    yield from (node[keyword] for keyword in _SINGLE if keyword in node)


def _all(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for part in _parts(node, held=False):
            yield from _all(part)


def _names(schema: dict[str, Any]) -> Iterator[str]:
    for node in _all(schema):
        yield from node.get("properties", {})
        yield from node.get("required", [])


def _step(step: str | int, known: set[str]) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step in known else ".*"


def _levels(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_levels, children), default=0)

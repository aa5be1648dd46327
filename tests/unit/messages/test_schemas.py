"""Schemas of foreign bodies: which are taken, and what is said of a body that does not fit."""

import json
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.messages import schemas

ORDER = {
    "$schema": schemas.DIALECT,
    "type": "object",
    "required": ["order"],
    "properties": {
        "order": {"$ref": "#/$defs/order"},
        "labels": {"additionalProperties": {"type": "string"}},
    },
    "$defs": {
        "order": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string", "pattern": "^o-[0-9]+$"},
                "total": {"type": ["number", "null"], "minimum": 0.5},
                "lines": {"type": "array", "items": {"$ref": "#line"}},
            },
        },
        "line": {"$anchor": "line", "enum": ["a", "b"]},
    },
}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"order": {"id": "o-1"}}, None),
        ({"order": {"id": "o-1", "total": Decimal("0.50000000000000000001")}}, None),
        ({"order": {"id": "o-1", "total": 10**40, "lines": ["a"]}, "more": "x"}, None),
        ("secret", "body: is not of type object"),
        ({}, "body: has no order"),
        ({"order": {}}, "order: has no id"),
        ({"order": {"id": "secret"}}, "order.id: does not meet pattern"),
        ({"order": {"id": "o-1", "total": "secret"}}, "order.total: is not of type"),
        ({"order": {"id": "o-1", "total": 0.25}}, "order.total: does not meet minimum"),
        ({"order": {"id": "o-1", "lines": ["a", "secret"]}}, "order.lines[1]: does not meet enum"),
        ({"order": {"id": "o-1"}, "labels": {"secret": 1}}, "labels.*: is not of type string"),
        (None, "body: is not of type object"),
    ],
)
def test_problem_of_a_body_names_the_place_by_the_schema_s_words_and_no_value(body, problem):
    schema = schemas.check(ORDER)

    found = schemas.problem(schema, body)

    assert found is problem is None or str(found).startswith(str(problem))
    assert "secret" not in str(found)


def test_problem_fits_into_a_reason():
    """No quotes, no letter beyond ASCII, and a bound: it travels through states."""
    name = 'ü"\\' * 100
    schema = schemas.check({"required": [name], "properties": {name: {}}})

    found = schemas.problem(schema, {}) or ""

    assert found.startswith("body: has no ???")
    assert len(found) <= 200


@pytest.mark.parametrize("body", ["\ud800", {"order": {"id": "\ud800"}}, {1: 2}, {"order": b"x"}])
def test_what_json_cannot_hold_is_a_problem_and_no_failure(body):
    assert schemas.problem(schemas.check(ORDER), body) == "body: is not what JSON can hold"


REFUSES = "refuses every body"


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (False, REFUSES),
        ({"not": {}}, REFUSES),
        ({"allOf": [{"type": "object"}, False]}, REFUSES),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, REFUSES),
        ({"enum": []}, REFUSES),
        ({"type": "string", "enum": [1, 2]}, REFUSES),
        ({"type": "object", "required": ["a"], "properties": {"a": False}}, REFUSES),
        ({"type": "string", "minLength": 5, "maxLength": 3}, REFUSES),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"not": True}}}, REFUSES),
        (True, "takes every body"),
        ({"type": "nope"}, "is no JSON Schema 2020-12 at type"),
        ({"properties": []}, "is no JSON Schema 2020-12 at properties"),
        ({"minLength": -1}, "is no JSON Schema 2020-12 at minLength"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "must be of JSON Schema 2020-12"),
        ({"$schema": 5}, "must be of JSON Schema 2020-12"),
        ({"$ref": "https://example.com/order.json"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"$ref": schemas.DIALECT}, "only to its own parts"),
        ({"$ref": "#/$defs/nothing"}, "refers to what it has not"),
        ({"$ref": "#nothing"}, "refers to what it has not"),
        ({"properties": {"a": {"$id": "https://example.com/a"}}}, "must not have a \\$id"),
        ({"$dynamicRef": "#"}, "must not use \\$dynamicRef"),
        ({"$ref": "#"}, "refers to itself"),
        ({"properties": {"a": {"items": {"$ref": "#"}}}}, "refers to itself"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "refers to itself"),
        ({"pattern": "(?=a)b"}, "has a pattern at pattern"),
        ({"pattern": r"(a)\1"}, "has a pattern"),
        ({"pattern": "("}, "has a pattern"),
        ({"pattern": "(a{1000}){1000}"}, "has a pattern"),
        ({"patternProperties": {"(?!x)": {}}}, "has a pattern"),
        ({"allOf": [{"pattern": "a"}] * 101}, "must not have more than 100 patterns"),
        ({"title": "x" * 33_000}, "must have at most 32768 bytes"),
    ],
)  # fmt: skip
def test_schema_that_no_body_should_be_held_against_is_refused(schema, problem):
    with pytest.raises(ValueError, match=problem):
        schemas.check(schema)


def nested(levels):
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"items": found}
    return found


def test_schema_has_twenty_levels_and_no_more():
    assert schemas.check(nested(20))
    with pytest.raises(ValueError, match="deeper than 20 levels"):
        schemas.check(nested(21))


def test_name_of_a_property_is_no_keyword():
    found = schemas.check({"properties": {"$ref": {"const": {"$ref": "https://x"}}, "not": {}}})

    assert schemas.problem(found, {"$ref": 1}) == "$ref: does not meet const"


def test_references_that_double_at_each_step_are_counted_and_refused_at_once():
    parts: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, 40):
        again = {"$ref": f"#/$defs/d{n - 1}"}
        parts[f"d{n}"] = {"allOf": [again, again]}
    began = time.perf_counter()

    with pytest.raises(ValueError, match="must not have more than 2000 parts"):
        schemas.check({"$defs": parts, "$ref": "#/$defs/d39"})
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"oneOf": [{"pattern": f"a{n}"}, {"pattern": f"b{n}"}]} for n in range(50)]},
        {"allOf": [{"anyOf": [{"required": [f"f{n}"]}, {"type": "null"}]} for n in range(400)]},
        {"allOf": [{"if": {"required": [f"{n}"]}, "then": False, "else": {}} for n in range(300)]},
        {"allOf": [{"dependentRequired": {f"a{n}": [f"b{n}"]}} for n in range(400)]},
    ],
    ids=["oneOf", "anyOf", "if", "dependentRequired"],
)
def test_search_for_a_body_that_fits_does_not_go_on_for_long(schema):
    began = time.perf_counter()

    schemas.check(schema)

    assert time.perf_counter() - began < 5


def test_pattern_that_would_never_end_elsewhere_takes_linear_time():
    schema = schemas.check({"type": "string", "pattern": "^(a+)+$"})
    began = time.perf_counter()

    assert schemas.problem(schema, "a" * 1_000_000 + "!") == "body: does not meet pattern"
    assert time.perf_counter() - began < 2


def test_decimal_of_a_request_becomes_a_number_that_a_table_takes():
    found = schemas.check({"minimum": Decimal("0.10000000000000000001")})

    assert found == {"minimum": 0.1}
    json.dumps(found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    )
)
def test_no_body_makes_it_fail(body):
    found = schemas.problem(ORDER, body)

    assert found is None or found.isascii()


@given(
    st.recursive(
        st.dictionaries(st.sampled_from(["$ref", "type", "$id"]), st.text() | st.integers()),
        lambda children: st.dictionaries(
            st.sampled_from(["allOf", "items", "properties", "not", "$defs", "enum", "x"]),
            st.lists(children) | children | st.dictionaries(st.text(), children),
        ),
    )
)
def test_no_schema_makes_it_fail_otherwise(schema):
    with suppress(ValueError):
        schemas.check(schema)


def test_divisors_whose_common_multiple_nobody_could_reckon_are_taken_at_once():
    """700 of them took eight seconds, in which the function does nothing else."""
    schema = {"allOf": [{"multipleOf": number} for number in range(1, 1_200)]}
    began = time.process_time()

    assert schemas.check(schema) == schema
    assert time.process_time() - began < 2

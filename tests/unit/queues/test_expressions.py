"""Expressions over a foreign message: which are taken, and that none ever fails or goes on."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.queues import expressions

MESSAGE: expressions.Subject = {
    "body": {"order": {"id": "o-7", "lines": [{"sku": "a"}, {"sku": "b"}]}, "n": 7, "on": True},
    "attributes": {"event": "created", "ErrorType": "Timeout"},
    "group": "g-1",
}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("body.order.id", "o-7"),
        ("group", "g-1"),
        ("attributes.event", "created"),
        ("body.n", "7"),
        ("body.order.lines[1].sku", "b"),
        ("body.order.lines[?sku=='b'].sku | [0]", "b"),
        ("attributes.nothing || group", "g-1"),
        ("not_null(body.nothing, attributes.ErrorType)", "Timeout"),
        ("'order'", "order"),
        ("[body.order.id, body.n]", '["o-7", "7"]'),
        ("@.group", "g-1"),
        # What selects nothing that could be one
        ("body.nothing", ""),
        ("body.order", ""),
        ("body.on", ""),
        ("body.order.lines[].sku", ""),
        ("[body.order.id, body.nothing]", ""),
        ("[body.order.id, body.order]", ""),
        ("body.n > 'x'", ""),
        ("abs(body.order.id)", ""),
    ],
)
def test_expression_selects_of_a_message(expression, text):
    assert expressions.check(expression) == expression
    assert expressions.text(expression, MESSAGE) == text


def test_list_of_expressions_keeps_its_parts_apart():
    one: expressions.Subject = {"body": {"a": "x,", "b": "y"}, "attributes": {}, "group": ""}
    other: expressions.Subject = {"body": {"a": "x", "b": ",y"}, "attributes": {}, "group": ""}
    identity = expressions.check_identity("[body.a, body.b]")

    assert expressions.text(identity, one) != expressions.text(identity, other)


def test_no_digit_of_a_number_is_lost():
    body = {"id": Decimal("12345678901234567.89"), "big": 2**70}
    subject: expressions.Subject = {"body": body, "attributes": {}, "group": ""}

    assert expressions.text("body.id", subject) == "12345678901234567.89"
    assert expressions.text("body.big", subject) == str(2**70)


def test_body_that_is_no_json_is_its_text():
    subject: expressions.Subject = {"body": "plain", "attributes": {}, "group": ""}

    assert expressions.text("body", subject) == "plain"
    assert expressions.text("body.order.id", subject) == ""


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("order.id", "must begin at body, attributes or group"),
        ("boddy.id", "must begin at"),
        ("@.boddy", "must begin at"),
        ("not_null(body.id, id)", "must begin at"),
        ("body.a || id", "must begin at"),
        ("[body.a, id]", "must begin at"),
        ("order", "stands in single quotes"),
        ("body.", "is not a JMESPath expression"),
        ("body.a | [@, @]", "may hold only lists of constants"),
        ("[body.a, [body.b, body.c]]", "may hold only lists of constants"),
        ("{a: body.a}", "no object"),
        ("to_string(body)", "may call only"),
        ("sort_by(body.a, &b)", "may call only"),
        ("body" + ".a" * 260, "must have at most 512 characters"),
        ("!" * 70 + "body", "must not be nested deeper than 64 levels"),
    ],
)
def test_expression_that_tells_nothing_or_has_no_bounds_is_refused(expression, problem):
    with pytest.raises(ValueError, match=problem):
        expressions.check(expression)


@pytest.mark.parametrize("expression", ["'order'", "`1`", "['a', 'b']", "length('x')"])
def test_identity_that_is_the_same_for_every_message_is_refused(expression):
    expressions.check(expression)
    with pytest.raises(ValueError, match="is the same for every message"):
        expressions.check_identity(expression)


def test_expression_that_could_go_on_for_long_ends_in_a_fraction_of_a_second():
    subject: expressions.Subject = {"body": [[0] * 300] * 300, "attributes": {}, "group": ""}
    began = time.perf_counter()

    assert expressions.text("body[*][?length(values(@)) == `1`]", subject) == ""
    assert expressions.evaluate("body" + "[*][]" * 60, subject) is None
    assert time.perf_counter() - began < 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(
    st.sampled_from([
        "body.a.b", "body[0]", "body[::2]", "body.*", "max(body)", "sum(body.a)", "[body, group]",
        "keys(body) | [0]", "contains(body, 'a')", "starts_with(group, 'a')", "ceil(body)",
    ]),
    json_values,
)  # fmt: skip
def test_no_body_makes_an_expression_fail(expression, body):
    subject: expressions.Subject = {"body": body, "attributes": {}, "group": "g"}

    assert isinstance(expressions.text(expressions.check(expression), subject), str)

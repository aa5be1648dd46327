"""Filters: what they take, what they mean, and that no hostile value breaks or delays them."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.messages import a_transaction
from workflows.messages.filters import Filter, Subject, matches
from workflows.runtime import clock
from workflows.runtime.asked import describe

pytestmark = pytest.mark.usefixtures("recursion_limit")

NOW = "2026-11-24T12:00:00.000Z"
PRINT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _noon(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)


def subject(**changes):
    usual = {
        "message_id": "m-1", "group_id": "acc-1", "type": "transaction",
        "reason_type": "AccountFrozen", "fingerprint": PRINT,
        "first_sent_at": "2026-11-24T10:00:00.123Z", "payload": a_transaction(),
    }  # fmt: skip
    return Subject(**usual | changes)


def meets(fields, **changes):
    return matches(Filter.model_validate(fields), subject(**changes))


def problem(**fields):
    with pytest.raises(ValidationError) as caught:
        Filter.model_validate(fields)
    return describe(caught.value, Filter)


# --- What they mean -------------------------------------------------------------------------


def test_empty_filter_matches_everything_and_says_so():
    assert Filter().empty
    assert Filter(group_id=None).empty
    assert meets({})
    assert meets({}, payload=None, reason_type=None, fingerprint=None, first_sent_at="")
    assert not Filter(group_id="acc-1").empty


@pytest.mark.parametrize(
    ("field", "same", "other"),
    [
        ("message_ids", ["m-0", "m-1"], ["m-0"]),
        ("group_id", "acc-1", "acc-2"),
        ("type", "transaction", "letter"),
        ("reason", "AccountFrozen", "Accountfrozen"),
        ("fingerprint", PRINT, PRINT[::-1]),
        ("older_than", "PT1H", "PT3H"),
        ("newer_than", "PT3H", "PT1H"),
        ("payload", {"currency": "EUR"}, {"currency": "USD"}),
        ("jmespath", "currency == 'EUR'", "currency == 'USD'"),
    ],
)
def test_each_field_tells_messages_apart(field, same, other):
    assert meets({field: same})
    assert not meets({field: other})
    assert not meets({field: same, "group_id": "acc-2"} | {"type": "letter"})


def test_message_without_reason_or_payload_meets_no_filter_by_them():
    assert not meets({"reason": "AccountFrozen"}, reason_type=None)
    assert not meets({"fingerprint": PRINT}, fingerprint=None)
    assert not meets({"payload": {"note": None}}, payload=None)
    assert not meets({"jmespath": "!note"}, payload=None)


# --- Time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("P1D", "P1D"),
        ("PT2H", "PT2H"),
        ("P1DT12H", "P1DT12H"),
        ("P2W", "P2W"),
        ("PT15M", "PT15M"),
        ("90s", "PT90S"),
        ("0s", "PT0S"),
        ("0.5s", "PT0.5S"),
        ("15m", "PT15M"),
        ("2h", "PT2H"),
        ("1.5h", "PT1.5H"),
        ("7d", "P7D"),
        ("2026-11-24", "2026-11-24T00:00:00Z"),
        ("2026-11-24T12:00Z", "2026-11-24T12:00:00Z"),
        ("2026-11-24T12:00:00+02:00", "2026-11-24T10:00:00Z"),
        ("2026-11-24T12:00:00.250Z", "2026-11-24T12:00:00.250000Z"),
    ],
)
def test_moment_is_kept_as_it_is_meant(moment, kept):
    wanted = Filter(older_than=moment)

    assert wanted.older_than == kept
    assert Filter(older_than=wanted.older_than) == wanted


@pytest.mark.parametrize("moment", [
    "", "P", "P1X", "-P1D", "yesterday", "1 day", "2026-02-30", "2026-11-24T12:00:00", "1e5",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:00", "P1D\0", "\ud800", "٣", "9" * 70,
    True, [], {}, b"P1D",
    # Digits: seconds, or a date?
    3600, 0, 0.5, -1, 10**400, float("nan"), float("inf"), "90", "0", "20261202", "1764000000",
    "1764000000000", "20261202T120000Z", "2026-W49-3", "+90", "-90s", "1_000s", "٩s", "90.",
    # Months have no certain length, and are easily meant as minutes.
    "P1M", "P15M", "P1Y", "P1M1D", "15M", "2H", "7 d", "7dd", "1h30m", "2026-11-24T12Z",
    "2026-11-24 12:00:00Z", "2026-11-24T12:00:00 02:00", "2026-11-24t12:00:00z",
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("field", ["older_than", "newer_than"])
def test_what_is_no_moment_is_refused_by_an_example(field, moment):
    said = problem(**{field: moment})

    assert said.startswith(f"{field}: ")
    assert all(example in said for example in ("2026-11-24", "P1D", "15m"))


@pytest.mark.parametrize("moment", ["P3651D", "P99999D", "3651d", "315360001s", "87601h"])
def test_moment_out_of_bounds_is_refused_by_its_limit(moment):
    assert "P3650D" in problem(older_than=moment)


def test_older_and_newer_than_one_moment_share_no_message_and_leave_none_out():
    for sent in ("2026-11-24T10:59:59.999Z", "2026-11-24T11:00:00Z", "2026-11-24T11:00:00.001Z"):
        older = meets({"older_than": "PT1H"}, first_sent_at=sent)
        assert older is not meets({"newer_than": "PT1H"}, first_sent_at=sent)
        assert older is (sent < "2026-11-24T11:00:00.")


def test_window_of_time():
    window = {"older_than": "PT1H", "newer_than": "2026-11-24T09:00:00Z"}

    assert meets(window)
    assert not meets(window, first_sent_at="2026-11-24T08:59:59Z")
    assert not meets(window, first_sent_at="2026-11-24T11:30:00Z")


@pytest.mark.parametrize(
    ("sent", "older"),
    [
        ("2026-11-24T12:30:00+02:00", True),
        ("2026-11-24T10:30:00.123456Z", True),
        ("2026-11-24T10:30:00", True),  # no zone: UTC
        ("2026-11-24T11:30:00", False),
        ("", False),
        ("no time", False),
        ("9999-12-31T23:59:59-23:59", False),
    ],
)
def test_first_sent_time_is_compared_as_a_time_not_as_a_text(sent, older):
    assert meets({"older_than": "PT1H"}, first_sent_at=sent) is older


# --- JSON -----------------------------------------------------------------------------------

FULL = {
    "message_ids": ["m-1", "sqs:0000"], "group_id": "acc-1", "type": "transaction",
    "reason": "AccountFrozen", "fingerprint": PRINT, "older_than": "PT1H",
    "newer_than": "2026-11-20T00:00:00Z",
    "payload": {"a.b": None, "c": True, "d": 1, "e": "1", "f": 1.5}, "jmespath": "a == `1`",
}  # fmt: skip


@pytest.mark.parametrize("fields", [FULL, {}] + [{name: value} for name, value in FULL.items()])
def test_filter_survives_the_way_through_a_machine(fields):
    wanted = Filter.model_validate(fields)

    sent = json.dumps(wanted.model_dump(mode="json", exclude_none=True))

    assert json.loads(sent) == fields
    assert Filter.model_validate(json.loads(sent)) == wanted


def test_relative_time_is_judged_when_it_is_looked_at(monkeypatch):
    wanted = Filter.model_validate(Filter(older_than="1h").model_dump(mode="json"))
    fresh = subject(first_sent_at="2026-11-24T11:30:00Z")

    assert not matches(wanted, fresh)
    monkeypatch.setattr(clock, "now", lambda: "2026-11-24T12:31:00.000Z")
    assert matches(wanted, fresh)


@pytest.mark.parametrize(("fields", "said"), [
    ({"message_ids": []}, "at least 1"),
    ({"message_ids": ["m"] * 101}, "at most 100"),
    ({"message_ids": ["a b"]}, "pattern"),
    ({"group_id": ""}, "pattern"),
    ({"group_id": "g" * 129}, "at most 128"),
    ({"group_id": "g\0"}, "pattern"),
    ({"group_id": "\ud800"}, "unicode"),
    ({"type": 1}, "string"),
    ({"reason": "ä"}, "pattern"),
    ({"fingerprint": "f" * 15}, "pattern"),
    ({"payload": {}}, "at least 1"),
    ({"payload": {str(number): 1 for number in range(21)}}, "at most 20"),
    ({"payload": {"a": []}}, "a number, a boolean or null"),
    ({"payload": {"a": {}}}, "a number, a boolean or null"),
    ({"payload": {"a": "x" * 501}}, "at most 500"),
    ({"payload": {"a": "\ud800"}}, "surrogate"),
    ({"payload": {"a": 2**53}}, "9007199254740991"),
    ({"payload": {"a": -(10**300)}}, "9007199254740991"),
    ({"payload": {"a": float("nan")}}, "finite"),
    ({"payload": {"": 1}}, "path"),
    ({"payload": {"a..b": 1}}, "path"),
    ({"payload": {"a" * 257: 1}}, "256"),
    ({"jmespath": ""}, "at least 1"),
    ({"jmespath": "a" * 501}, "at most 500"),
    ({"jmespath": "a\ud800"}, "unicode"),
    ({"jmespath": 1}, "string"),
    ({"jmespath": "a ="}, "character"),
    ({"jmespath": "a[?"}, "not a JMESPath expression"),
    ({"jmespath": "'"}, "not a JMESPath expression"),
    ({"jmespath": "`"}, "not a JMESPath expression"),
    ({"jmespath": "eval(a)"}, "may call only abs, avg"),
    ({"jmespath": "length(a, b)"}, "length() takes 1"),
    ({"jmespath": "a && not_null()"}, "not_null() takes 1 or more"),
    ({"colour": 1}, "is not known"),
])  # fmt: skip
def test_error_names_field_and_limit_but_no_value(fields, said):
    (field, value), *_ = fields.items()

    message = problem(**fields)

    assert message.startswith(field)
    assert said in message
    assert message.isprintable()
    if isinstance(value, str) and value:
        assert value not in message


# --- Payload --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (False, 0, False),
        (1, 1.0, True),
        (1, "1", False),
        ("1", 1, False),
        ("1", "1", True),
        (None, None, True),
        (None, False, False),
        (None, {}, False),
        ("", None, False),
        ("a", ["a"], False),
        (0, [], False),
        (1, 10**400, False),
        (1.5, 10**400, False),
    ],
)
def test_payload_is_compared_as_json(wanted, found, same):
    assert meets({"payload": {"x": wanted}}, payload={"x": found}) is same


@pytest.mark.parametrize("value", [None, "", 0, False])
@pytest.mark.parametrize("payload", [{}, {"a": {}}, {"a": []}, {"a": "b"}, {"a": None}, {"a.b": 1}])
def test_missing_attribute_equals_nothing(value, payload):
    assert not meets({"payload": {"a.b": value}}, payload=payload)


def test_payload_is_followed_by_dotted_path():
    nested = {"a": {"b": {"c": "x"}}, "d": 1}

    assert meets({"payload": {"a.b.c": "x", "d": 1}}, payload=nested)
    assert not meets({"payload": {"a.b.c": "x", "d": 2}}, payload=nested)


# --- JMESPath -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "true"),
    [
        ("amount", True),
        ("missing", False),
        ("empty", False),
        ("none || zero", True),  # 0 is true in JMESPath
        ("to_number(amount) > `9`", True),
        ("to_number(amount) > `10`", False),
        ("kind == 'credit' && contains(['EUR', 'USD'], currency)", True),
        ('contains(`["USD"]`, currency)', False),
        ("starts_with(account_id, 'acc-')", True),
        ("length(items[?sku == 'x']) >= `2`", True),
        ("items[?sku == 'z']", False),
        ("items[*].count | sum(@) == `6`", True),
        ("nested.*.deep[] | contains(@, `3`)", True),
        ("items[0].sku == 'x' && items[-1].sku == 'x'", True),
        ("items[::2] | [1].count == `3`", True),
        ("tags == ['a', 'b']", True),
        ("!missing", True),
        ("type(items) == 'array'", True),
        ("\"odd name\" == '\\''", True),
    ],
)
def test_expression_is_judged_by_jmespath_s_own_truth(expression, true):
    payload = a_transaction() | {
        "empty": [], "none": None, "zero": 0,
        "items": [{"sku": "x", "count": 1}, {"sku": "y", "count": 2}, {"sku": "x", "count": 3}],
        "nested": {"one": {"deep": [1, 2]}, "two": {"deep": [3]}}, "tags": ["a", "b"],
        "odd name": "'",
    }  # fmt: skip

    assert meets({"jmespath": expression}, payload=payload) is true


@pytest.mark.parametrize("expression", [
    "kind > `1`",  # a text and a number
    "sum(kind)", "length(number)", "abs(kind) > `0`", "avg(large)", "ceil(`1e999`)", "max(mixed)",
    "kind[99999999999999999999999]", "mixed[99999999999999999999999]",
    "mixed[99999999999999999999999:]", "mixed[" + "9" * 400 + ":]", "keys(mixed)",
    "\"\\ud800\"", "`\"\\ud800\"` == kind", "'\0' == kind",
])  # fmt: skip
def test_expression_that_fails_on_a_payload_is_false(expression):
    payload = {"kind": "credit", "number": 1, "large": [10**400], "mixed": [1, "a", None]}

    assert not meets({"jmespath": expression}, payload=payload)


@pytest.mark.parametrize("expression", [
    "(" * 250 + "a" + ")" * 249, "!" * 499 + "a", "a" + "|a" * 249, "a" + "||a" * 160,
    "[" * 500, "`" + "[" * 249 + "]" * 249 + "`", "abs(" * 70 + "a" + ")" * 70,
    "a" + "[?a" * 100 + "]" * 100, "a[::0]",
], ids=lambda text: text[:8])  # fmt: skip
def test_bottomless_expression_is_refused(expression):
    assert problem(jmespath=expression).startswith("jmespath: ")


@pytest.mark.parametrize("expression", [
    "[@, @][] | " * 40 + "@", "[@,@]|" * 80 + "length(@)", "{a: @, b: @} | @",
    "to_string(to_array(to_string(@)))", "join(a, b)", "items[*].not_null(`[1, 1, 1]`)[]",
    "map(&@, items)", "sort_by(items, &length(@))", "contains([@, @], a)", "&a",
    "merge(@, a)",
], ids=lambda text: text[:12])  # fmt: skip
def test_expression_that_makes_values_grow_is_refused(expression):
    assert " ".join(problem(jmespath=expression).split()[1:3]) in (
        "must not",
        "may call",
        "may hold",
    )


@pytest.mark.parametrize("expression", [
    "[*]" * 40 + ".a", "items[?" + "||".join(["a"] * 55) + "]", "items" + "|[*]" * 60,
    "items[*][*][*][*][*][*] | length(@)", "*.*.*.*.*[][][][]",
    "items[?items[?items[?items[?@ == items]]]]", "contains(items, items[-1])",
    "items[99999999999999999999999::-1] == items",
    "sum(items[][].x) > max(items[].y) || items == items",
], ids=lambda text: text[:12])  # fmt: skip
def test_slow_expression_gives_up(expression):
    elements = [{"a": None, "items": [number], "x": number} for number in range(20_000)]
    wanted = Filter(jmespath=expression)
    began = time.process_time()  # what else the machine does is not its fault

    matches(wanted, subject(payload={"items": elements, "more": {"items": elements}}))

    assert time.process_time() - began < 2


# fmt: off
TOKENS = st.sampled_from([
    "a", "b", "@", "*", "[]", "[*]", "[?a]", "[0]", "[1:]", "[::-1]", ".", "|", "||", "&&", "!",
    "(", ")", "==", "<", "`1`", "'x'", ",", "&", "{", "}", ":", "length(", "sum(", "contains(",
    "not_null(", "to_number(", "keys(", "values(", "type(", "`[1]`", "`null`", "[a]", "\0", "¿",
])
# fmt: on
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner),
    max_leaves=8,
)


@given(st.lists(TOKENS, max_size=12).map("".join), st.dictionaries(st.sampled_from("abx"), JSON))
def test_any_expression_is_refused_or_evaluated(expression, payload):
    try:
        wanted = Filter(jmespath=expression)
    except ValidationError:
        return
    assert matches(wanted, subject(payload=payload)) in (True, False)

"""Registered types: what their functions are asked, and what becomes of each answer."""

import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cloud import ACCOUNT, REGION
from tests.support.effects import EffectError, Functions
from tests.support.messages import a_message
from workflows.messages import effect_functions, message_types, registered_types
from workflows.messages.effect_functions import (
    EffectFailed,
    EffectFunction,
    EffectRefused,
    EffectTimedOut,
    NoTimeLeft,
    Try,
)
from workflows.messages.envelope import InvalidPayload, UnknownType
from workflows.messages.message_types import TooOld, meaning_hash
from workflows.messages.reasons import reason_of
from workflows.runtime import aws
from workflows.runtime.strict_json import loads

pytestmark = pytest.mark.usefixtures("tables")

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:team-ship"
SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
ORDER = EffectFunction("order", ARN, SCHEMA, "customer.id", 60, ("OrderCancelled",))


@pytest.fixture
def functions(environment):
    return Functions()


def register(kind=ORDER):
    registered_types.register(kind, lambda _before: [])
    registered_types.forget()


def an_order(**changes):
    return a_message(**{"type": "order", "payload": {"order": "o-1", "n": 1.5}} | changes)


def test_function_is_told_what_it_needs_and_its_return_is_success(functions):
    register()

    message_types.process(an_order(), Try(attempt=3, redrives=1))

    assert functions.events == [
        {
            "message_id": "m-1", "type": "order", "group_id": "acc-1", "trace_id": "trace-1",
            "payload": {"order": "o-1", "n": 1.5}, "attempt": 3, "redrives": 1,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "error", "reason"),
    [
        (("InvalidMessage", "No such order."), EffectRefused, "InvalidMessage"),
        (("OrderCancelled", "It was."), EffectRefused, "OrderCancelled"),
        (("Error", "db down"), EffectFailed, "Error"),
        (("Runtime.ExitError", "exit 1"), EffectFailed, "Runtime.ExitError"),
        (("a b\n", "x"), EffectFailed, "a_b_"),
        ((None, None), EffectFailed, "EffectFailed"),
        # The machine would take them for its own words.
        (("Superseded", "x"), EffectFailed, "EffectFailed"),
        (("OutOfAttempts", "x"), EffectFailed, "EffectFailed"),
        (("Lambda.TooManyRequestsException", "x"), EffectFailed, "EffectFailed"),
        (("States.Timeout", "x"), EffectFailed, "EffectFailed"),
    ],
)
def test_error_of_a_function_keeps_its_name_and_says_whether_a_retry_can_help(
    functions, raised, error, reason
):
    register()

    def fail(_event):
        raise EffectError(*raised)

    functions.do = fail
    with pytest.raises(error) as found:
        message_types.process(an_order())

    assert reason_of(found.value)["type"] == reason
    if raised[1]:
        assert reason_of(found.value)["message"] == raised[1]


def test_function_that_does_not_return_in_time_is_not_asked_again(functions):
    register()

    def hang(_event):
        raise ReadTimeoutError(endpoint_url="https://lambda")

    functions.do = hang
    with pytest.raises(EffectTimedOut, match="10 seconds"):
        message_types.process(an_order())

    assert len(functions.events) == 1
    config: Any = aws.functions().meta.config
    assert (config.read_timeout, config.retries["total_max_attempts"]) == (10, 1)


def test_consumer_ends_in_time_whatever_functions_do():
    """The last effect that may begin, its connection and 5 s for the writes fit the Timeout."""
    slowest = effect_functions.BEGIN_SECONDS + aws.EFFECT_SECONDS + 2
    assert slowest + 5 < 30


def test_effect_that_cannot_begin_in_time_is_left_to_the_retry_machine(functions):
    register()

    with pytest.raises(NoTimeLeft):
        message_types.process(an_order(), Try(begin_by=time.monotonic() - 0.001))

    assert functions.events == []


def test_throttled_function_is_an_error_by_its_name(functions):
    register()
    functions.refused[ARN] = "TooManyRequestsException"

    with pytest.raises(ClientError) as found:
        message_types.process(an_order())

    assert reason_of(found.value)["type"] == "TooManyRequestsException"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"order": 1}', "order: is not of type string"),
        ("{}", "payload: has no order"),
        ('{"order": "o", "n": 0.10000000000000000001}', "n: has more digits"),
    ],
)
def test_payload_that_does_not_fit_is_refused_by_its_field(text, problem):
    register()
    with pytest.raises(InvalidPayload, match=problem):
        message_types.validate("order", loads(text))


@pytest.mark.parametrize(
    ("customer", "group"),
    [
        ("c-7", "c-7"), (7, "7"), (7.0, "7"), (7.5, "7.5"), ("", None), (None, None), (True, None),
        ([], None), ("José", "a hash"), ("a" * 121, "a hash"), ("-", "a hash"),
        ("0" * 40, "a hash"),
    ],
)  # fmt: skip
def test_group_is_what_the_expression_finds_or_the_message_s_own(customer, group):
    register()
    found = message_types.group_id("order", {"customer": {"id": customer}})

    assert (found and re.sub("^[0-9a-f]{40}$", "a hash", found)) == group


@given(st.text(min_size=1) | st.integers() | st.floats(allow_nan=False))
def test_whatever_a_group_is_made_of_a_message_can_have_it(customer):
    found = ORDER.group_id({"customer": {"id": customer}})

    assert an_order(group_id=found).group_id == found


def test_type_without_a_group_makes_each_message_its_own():
    assert EffectFunction("order", ARN).group_id({"customer": 1}) is None


def test_age_is_limited_by_the_registration():
    register()
    with pytest.raises(TooOld, match="60 seconds"):
        message_types.check_age(an_order())
    register(EffectFunction("order", ARN))
    message_types.check_age(an_order())


def test_same_json_is_the_same_message_whoever_is_registered(functions):
    as_whole = meaning_hash(an_order(payload={"a": 10, "b": [1.0]}))

    assert as_whole == meaning_hash(an_order(payload={"b": [1], "a": 10.0}))
    assert as_whole != meaning_hash(an_order(payload={"a": "10", "b": [1]}))
    register()
    assert as_whole == meaning_hash(an_order(payload={"a": 10, "b": [1.0]}))


# The registry


def test_nobody_reads_the_registry_for_a_built_in_type(calls):
    message_types.validate("transaction", a_message().payload)
    message_types.check_age(a_message())
    meaning_hash(an_order())

    assert calls.ends == []


def test_type_is_read_once_in_ten_seconds_and_an_unknown_one_once_in_one(calls, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with pytest.raises(UnknownType):
        message_types.validate("order", {"order": "o"})
    registered_types.register(ORDER, lambda _before: [])
    with pytest.raises(UnknownType):
        message_types.validate("order", {"order": "o"})
    now[0] += registered_types.UNKNOWN_SECONDS
    calls.ends.clear()

    for _ in range(5):
        message_types.validate("order", {"order": "o"})
    assert calls.ends == ["before GetItem", "after GetItem"]

    registered_types.remove("order", lambda _before: [])
    message_types.validate("order", {"order": "o"})
    now[0] += registered_types.KNOWN_SECONDS
    with pytest.raises(UnknownType, match="GET /types"):
        message_types.validate("order", {"order": "o"})


def test_registration_comes_back_as_it_was_and_is_no_queue():
    from workflows.queues import registry

    register()

    assert registered_types.every() == [registered_types.get("order")] == [ORDER]
    assert [queue.name for queue in registry.every()] == ["default"]
    with pytest.raises(registry.UnknownQueue):
        registry.get("type order")


def test_two_who_change_one_type_at_once_do_not_overwrite_each_other():
    def somebody_else(_before):
        registered_types.register(EffectFunction("order", f"{ARN}-2"), lambda _: [])
        return []

    with pytest.raises(registered_types.TypeChanged):
        registered_types.register(ORDER, somebody_else)
    with pytest.raises(registered_types.TypeChanged):
        registered_types.remove("order", somebody_else)
    assert registered_types.get("order").function == f"{ARN}-2"

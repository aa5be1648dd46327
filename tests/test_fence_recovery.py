"""No fence outlives its owner: which fences a sweep takes over, and which it leaves alone."""

import json

import pytest

from lambdas import recover_executions
from tests.conftest import CONTEXT
from tests.fenced_group import (
    GROUP,
    change,
    consume_all,
    delivery,
    fail,
    fence_of,
    freeze,
    generations,
    stop_executions,
)
from workflows import aws, fence, groups, recovery, retry
from workflows.fence import START_GRACE_SECONDS
from workflows.settings import settings


@pytest.fixture(autouse=True)
def cloud_of_the_consumer(tables, queues, machines):
    return None


def holder(status):
    """Fence a group behind a message of this status, whose execution was stopped."""
    fail()
    consume_all(delivery(2))
    if status == "GONE":
        aws.dynamodb().delete_item(TableName="Messages", Key={"message_id": f"{GROUP}-1"})
    else:
        change(1, status=status)
    stop_executions()


def event(group_id):
    given = json.dumps({"group_id": group_id, "message_id": "m", "generation": 1})
    return {"detail": {"status": "ABORTED", "input": given}}


@pytest.mark.parametrize("status", ["RETRYING", "PROCESSED", "DISCARDED", "GONE"])
def test_fence_whose_execution_ended_gets_a_new_one(status):
    holder(status)

    assert recovery.recover().groups == [GROUP]
    assert (fence_of().generation, generations()) == (2, ["0-g1", "0-g2"])
    assert recovery.recover().groups == []


@pytest.mark.parametrize(
    "status", ["ACCEPTED", "QUEUED", "REDRIVEN", "PROCESSING", "DEAD", "QUARANTINED"]
)
def test_fence_that_waits_for_a_person_or_for_sqs_is_left_alone(status):
    holder(status)

    assert recovery.recover().groups == []
    assert (fence_of().generation, generations()) == (1, ["0-g1"])


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_held_group_goes_on_when_the_parameter_says_so(monkeypatch, status):
    holder(status)
    monkeypatch.setenv("ON_DEAD_LETTER", "continue")
    settings.cache_clear()

    assert recovery.recover().groups == [GROUP]


@pytest.mark.parametrize("status", ["RETRYING", "PROCESSED"])
def test_fence_whose_execution_runs_is_left_alone(status):
    fail()
    change(1, status=status)

    assert recovery.recover().groups == []
    assert fence_of().generation == 1


def test_execution_that_was_never_started_is_waited_for_and_then_started(calls, later):
    freeze()
    calls.error_at, calls.error = "before StartExecution", ConnectionError()
    with pytest.raises(ConnectionError):
        consume_all(delivery(1))
    assert generations() == []

    assert recovery.recover().groups == []
    later(START_GRACE_SECONDS + 1)
    assert recovery.recover().groups == [GROUP]
    assert generations() == ["0-g2"]


def test_execution_that_failed_at_once_is_not_followed_at_once(monkeypatch, later):
    holder("RETRYING")
    monkeypatch.setattr(retry, "execution_status", lambda _: "FAILED")

    assert recovery.recover().groups == []
    later(START_GRACE_SECONDS + 1)
    assert recovery.recover().groups == [GROUP]


def test_event_of_an_ended_execution_recovers_its_group_only():
    holder("RETRYING")
    freeze()
    assert consume_all(delivery(1, "other")) == ["PROCESSED"]

    assert recover_executions.handler(event("other"), CONTEXT)["groups"] == []
    assert recover_executions.handler(event(GROUP), CONTEXT)["groups"] == [GROUP]
    assert recover_executions.handler(event(GROUP), CONTEXT)["groups"] == []


@pytest.mark.parametrize("given", ["{}", "[1]", "null", ""])
def test_event_that_names_no_group_recovers_all(given):
    holder("RETRYING")

    found = recover_executions.handler({"detail": {"input": given}}, CONTEXT)
    assert found["groups"] == [GROUP]


def test_two_sweeps_give_a_fence_one_execution(monkeypatch):
    holder("RETRYING")
    seen = list(fence.every())
    assert recovery.recover().groups == [GROUP]

    monkeypatch.setattr(fence, "every", lambda: iter(seen))  # as an index that lags behind
    monkeypatch.setattr(recovery, "_has_owner", lambda _: False)
    assert recovery.recover().groups == []
    assert generations() == ["0-g1", "0-g2"]


def fence_groups(count):
    for number in range(count):
        consume_all(delivery(1, f"group-{number}", kind="debit", amount="99"))


def test_every_fence_is_looked_at(monkeypatch, later):
    monkeypatch.setattr(recovery, "_CHUNK", 2)
    fence_groups(5)
    for number in range(5):
        change(1, f"group-{number}", status="DISCARDED")
    later(START_GRACE_SECONDS + 1)

    assert sorted(recovery.recover().groups) == [f"group-{number}" for number in range(5)]


def test_pages_list_each_fenced_group_once_oldest_first():
    fence_groups(5)
    first, cursor = groups.page(2, None)
    second, cursor = groups.page(2, cursor)
    third, end = groups.page(2, cursor)

    listed = [group.group_id for group in first + second + third]
    assert (listed, end) == ([f"group-{number}" for number in range(5)], None)
    assert {group.reason for group in first} == {"DEAD"}
    assert (groups.counts().fenced, groups.counts().parked) == (5, 0)

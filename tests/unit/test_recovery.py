"""No fence outlives its owner: which fences a sweep takes over, and which it leaves alone."""

import json
import random
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas import recover_executions
from tests.support.accounts import freeze
from tests.support.aws_calls import WorkerDied
from tests.support.fenced_group import (
    GROUP,
    change,
    consume_all,
    delivery,
    fail,
    fence_of,
    generations,
    stop_executions,
)
from tests.support.invocations import CONTEXT, FakeContext
from tests.support.messages import a_message
from tests.support.troubles import in_trouble, sent
from workflows import recovery
from workflows.groups import fence, fences, view
from workflows.groups.fence import START_GRACE_SECONDS
from workflows.groups.view import GroupCounts
from workflows.ledger import lookup
from workflows.operator import retry_by_hand
from workflows.queues.queue import default
from workflows.recovery import RESERVE_SECONDS
from workflows.redrive import in_flight, let_go, ownership, run_lock
from workflows.runtime import aws, executions
from workflows.runtime.settings import settings

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines")


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
    monkeypatch.setattr(executions, "execution_status", lambda _: "FAILED")

    assert recovery.recover().groups == []
    later(START_GRACE_SECONDS + 1)
    assert recovery.recover().groups == [GROUP]


def test_two_sweeps_give_a_fence_one_execution(monkeypatch):
    holder("RETRYING")
    seen = list(fences.every())
    assert recovery.recover().groups == [GROUP]

    monkeypatch.setattr(fences, "every", lambda: iter(seen))  # as an index that lags behind
    monkeypatch.setattr(recovery, "_has_owner", lambda _: False)
    assert recovery.recover().groups == []
    assert generations() == ["0-g1", "0-g2"]


def fence_groups(count):
    for number in range(count):
        consume_all(delivery(1, f"group-{number}", kind="debit", amount="99"))


GROUPS = [f"group-{number}" for number in range(5)]
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeExecution")


STOPPED = {
    "run_id": "stopped", "status": "ABORTED", "trigger": "api", "noted_at": "by somebody",
    "dead_letter_queue": "dead-letter.fifo", "started_at": "2026-11-24T12:00:00.000Z",
    "finished_at": "2026-11-24T12:00:00.000Z", "execution_arn": "arn:stopped",
}  # fmt: skip


@pytest.fixture
def much_to_do(tables, queues, machines, later):
    """Leave a stopped run's lock, letters and guard, a retry by hand, and five fences."""
    fence_groups(5)
    for group in GROUPS:
        change(1, group, status="DISCARDED")
    run_lock.take("stopped", default(), None)
    later(START_GRACE_SECONDS + 1)
    assert sorted(recovery.recover().groups) == GROUPS
    stop_executions()
    run_lock.take("stopped", default(), None)
    later(START_GRACE_SECONDS + 1)
    aws.dynamodb().put_item(TableName="Runs", Item=STOPPED)
    record = {
        "run_id": "HELD#stopped#0", "held_by": "stopped", "receipt_handles": ["stale"],
        "dead_letter_queue": "HELD#dead-letter.fifo", "started_at": "2026-11-24T12:00:00.000Z",
    }  # fmt: skip
    aws.dynamodb().put_item(TableName="Runs", Item=record)
    in_trouble(
        "REDRIVEN", a_message(message_id="guarded"), trouble="REDRIVING", redriven_by="stopped"
    )
    in_trouble("REDRIVEN", a_message(message_id="unsent"), trouble="SENDING")


def throttled(*_of):
    raise THROTTLED


def done():
    """Return what was set right of `much_to_do`."""
    record = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": "HELD#stopped#0"})
    return {
        "ownership": run_lock.find(default()) is None,
        "in_flight": "Item" not in record,
        "let_go": lookup.get("guarded")["trouble"] == "DEAD",
        "retry_by_hand": bool(sent()),
    } | {group: fence_of(group).generation == 2 for group in GROUPS}


def not_done():
    return {name for name, right in done().items() if not right}


def describing(monkeypatch, failing=None):
    """Watch which group's execution is asked for; of one group's the question is throttled."""
    asked: list[str] = []
    describe = aws.stepfunctions().describe_execution

    def watched(executionArn):  # noqa: N803 - boto3's
        asked.extend(g for g in GROUPS if fence_of(g).execution_arn == executionArn)
        if asked[-1:] == [failing]:
            raise THROTTLED
        return describe(executionArn=executionArn)

    monkeypatch.setattr(aws.stepfunctions(), "describe_execution", watched)
    return asked


@pytest.mark.usefixtures("much_to_do")
def test_sweep_sets_everything_right():
    found = recover_executions.handler({}, CONTEXT)

    assert sorted(found.pop("groups")) == GROUPS
    assert found == {
        "run_ids": ["stopped"], "released": ["stopped"], "let_go": ["guarded"],
        "resent": ["unsent"], "lost": [], "unchecked": 0,
    }  # fmt: skip
    assert not_done() == set()


@pytest.mark.usefixtures("much_to_do")
@pytest.mark.parametrize("failing", GROUPS)
def test_fence_that_cannot_be_checked_keeps_nothing_else_waiting(monkeypatch, failing):
    asked = describing(monkeypatch, failing)

    with pytest.raises(ClientError, match="ThrottlingException"):
        recover_executions.handler({}, CONTEXT)

    assert sorted(asked) == GROUPS
    assert not_done() == {failing}


@pytest.mark.usefixtures("much_to_do")
def test_execution_that_cannot_be_started_keeps_nothing_else_waiting(calls):
    calls.error_at, calls.error = "before StartExecution", THROTTLED

    with pytest.raises(ClientError, match="ThrottlingException"):
        recover_executions.handler({}, CONTEXT)

    assert not_done() == set()
    assert len(generations()) == 5 + 4


@pytest.mark.usefixtures("much_to_do")
@pytest.mark.parametrize("part", [ownership, in_flight, let_go, retry_by_hand])
def test_part_that_fails_keeps_nothing_else_waiting(monkeypatch, part):
    monkeypatch.setattr(part, "finish_sending" if part is retry_by_hand else "recover", throttled)

    with pytest.raises(ClientError, match="ThrottlingException"):
        recover_executions.handler({}, CONTEXT)

    assert not_done() == {part.__name__.rpartition(".")[2]}


@pytest.mark.usefixtures("much_to_do")
def test_rows_that_cannot_be_read_keep_the_other_fences_from_nothing(monkeypatch):
    monkeypatch.setattr(recovery, "_CHUNK", 2)
    read, chunks = lookup.get_many, []

    def read_all_but_the_first(ids):
        chunks.append(ids)
        if len(chunks) == 1:
            raise THROTTLED
        return read(ids)

    with monkeypatch.context() as patch:
        # Of recovery's own view: letting go reads rows as well.
        patch.setattr(recovery, "lookup", SimpleNamespace(get_many=read_all_but_the_first))
        with pytest.raises(ClientError, match="ThrottlingException"):
            recover_executions.handler({}, CONTEXT)

    assert not_done() == {holder.removesuffix("-1") for holder in chunks[0]}


@pytest.mark.usefixtures("much_to_do")
def test_event_of_one_group_finds_it_although_something_else_fails(monkeypatch):
    monkeypatch.setattr(in_flight, "recover", throttled)

    with pytest.raises(ClientError, match="ThrottlingException"):
        recover_executions.handler(event(GROUPS[2]), CONTEXT)

    assert fence_of(GROUPS[2]).generation == 2
    assert run_lock.find(default()) is None


@pytest.mark.usefixtures("much_to_do")
def test_sweep_without_time_for_fences_does_all_else_and_says_so(monkeypatch):
    asked = describing(monkeypatch)
    context: Any = FakeContext(seconds_left=RESERVE_SECONDS - 1)

    found = recover_executions.handler({}, context)

    assert (found["groups"], found["unchecked"], asked) == ([], 5, [])
    assert not_done() == set(GROUPS)


@pytest.mark.usefixtures("much_to_do")
def test_sweep_that_is_cut_off_among_the_fences_has_done_all_else(monkeypatch):
    def cut_off(_):
        raise WorkerDied

    monkeypatch.setattr(recovery, "_has_owner", cut_off)
    with pytest.raises(WorkerDied):
        recover_executions.handler({}, CONTEXT)

    assert not_done() == set(GROUPS)


@pytest.mark.usefixtures("much_to_do")
def test_every_fence_has_its_turn_though_there_is_never_time_for_all(monkeypatch):
    monkeypatch.setattr(random, "shuffle", random.Random(1).shuffle)  # noqa: S311 - a fixed lot
    asked = describing(monkeypatch)
    monkeypatch.setattr(fence, "resume", lambda *_: False)  # so that each waits as before
    for sweep in range(1, 31):
        left = iter([RESERVE_SECONDS] * 3 + [RESERVE_SECONDS - 1])

        assert recovery.recover(left.__next__).unchecked == 3
        assert len(asked) == 2 * sweep

    assert set(asked) == set(GROUPS)


def test_pages_list_each_fenced_group_once_oldest_first():
    fence_groups(5)
    first, cursor = view.page(2, None)
    second, cursor = view.page(2, cursor)
    third, end = view.page(2, cursor)

    listed = [group.group_id for group in first + second + third]
    assert (listed, end) == ([f"group-{number}" for number in range(5)], None)
    assert {group.reason for group in first} == {"DEAD"}
    assert view.counts() == (GroupCounts(fenced=5, parked=0), 0)

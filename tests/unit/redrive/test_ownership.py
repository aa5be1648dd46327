"""Who owns the queue: the lock and the record of a run whose machine has begun, given up once."""

from typing import Any

import pytest

from tests.support.cloud import audited
from tests.support.messages import an_operator
from workflows.queues.queue import default
from workflows.redrive import counters, ownership, run_lock, runs
from workflows.redrive.lane import Lane
from workflows.redrive.ownership import LeaseLost
from workflows.redrive.run import new
from workflows.runtime import aws
from workflows.runtime.settings import settings

AT, LATER = "2026-11-30T12:00:00.000Z", "2026-11-30T12:00:01.000Z"


@pytest.fixture(autouse=True)
def _cloud(tables, machines, later):
    """Every test needs them."""


def a_run(run_id="run-1", **fields):
    run = new(run_id, f"arn:{run_id}", {"request": {"max_messages": 9}, "trace_id": "t-1"})
    run.lanes = [Lane(number=number) for number in range(2)]
    run.lanes[0].counts |= {"redriven": 1, "left": 2}
    run.lanes[1].counts |= {"redriven": 2, "failed": 1}
    return run.model_copy(update=fields)


def row(run_id="run-1") -> dict[str, Any]:
    return runs.find(run_id) or {}


def change(run_id, **columns):
    found = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": run_id})["Item"]
    aws.dynamodb().put_item(TableName="Runs", Item=found | columns)


def lock():
    return run_lock.find(default()) or {}


def ends():
    return [record for record in audited() if record["action"] == "end_run"]


# Claimed


def test_claim_makes_the_lock_and_the_record_of_a_run_that_nobody_announced():
    run = a_run(trigger="schedule", requested_by="schedule")

    assert ownership.claim(run, default())
    now = lock()["acquired_at"]
    assert (lock()["holder"], lock()["lease_until"] - now) == (
        "run-1", settings().run_lease_seconds,
    )  # fmt: skip
    expected = {
        "status": "RUNNING", "trigger": "schedule", "requested_by": "schedule",
        "request": '{"max_messages": 9}', "trace_id": "t-1", "execution_arn": "arn:run-1",
        "dead_letter_queue": "dead-letter.fifo", "owned_at": now,
    } | dict.fromkeys(counters.NAMES, 0)  # fmt: skip
    assert expected.items() <= row().items()
    assert row()["expires_at"] > now


def test_claim_of_a_run_of_the_api_keeps_what_its_record_says(later):
    before = ownership.acquire("run-1", default(), "api", an_operator(), {"max_messages": 1})
    later(5)

    assert ownership.claim(a_run(), default())
    also = {"execution_arn": "arn:run-1", "owned_at": before["owned_at"] + 5}
    assert row() == before | also | {"expires_at": row()["expires_at"]}


def test_claim_asked_again_is_granted_again_and_keeps_the_start(later):
    ownership.claim(a_run(), default())
    started = row()["started_at"]
    change("run-1", status="CANCELLING")
    later(5)

    assert ownership.claim(a_run(), default())
    assert (row()["started_at"], row()["status"]) == (started, "CANCELLING")


@pytest.mark.parametrize(("seconds", "granted"), [(0, False), (900, False), (901, True)])
def test_claim_takes_the_lock_of_another_only_after_its_lease(later, seconds, granted):
    ownership.claim(a_run("run-0"), default())
    later(seconds)

    assert ownership.claim(a_run(), default()) is granted
    assert lock()["holder"] == ("run-1" if granted else "run-0")
    assert (row() != {}) is granted


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "SUCCEEDED", "CANCELLED"])
def test_claim_of_a_run_that_somebody_closed_is_refused_whole(status):
    ownership.acquire("run-1", default(), "api", an_operator(), {})
    change("run-1", status=status)
    run_lock.release("run-1", default())

    assert not ownership.claim(a_run(), default())
    assert (lock(), row()["status"]) == ({}, status)


# Closed


def given_run(**columns):
    ownership.claim(a_run(), default())
    change("run-1", **columns)


def test_close_writes_the_end_gives_the_lock_back_and_accounts_for_it():
    given_run()
    ownership.close(a_run(status="HALTED", reason="why", in_flight=2, missing=1), AT)

    ended = {
        "status": "HALTED", "finished_at": AT, "reason": "why", "received": 4, "redriven": 3,
        "failed": 1, "left": 2, "in_flight": 2, "missing": 1,
    }  # fmt: skip
    assert ended.items() <= row().items()
    assert (row()["lane_0"], row()["lane_1"]) == (
        {"redriven": 1, "left": 2},
        {"redriven": 2, "failed": 1},
    )
    assert "failure" not in row()
    assert lock() == {}
    (record,) = ends()
    assert (record["result"], record["at"], record["run_id"]) == ("HALTED", AT, "run-1")
    assert record["counters"] == {"received": 4} | a_run().counts
    assert (record["actor"], record["execution_arn"]) == ("console", "arn:run-1")


def test_close_of_a_cancelled_run_closes_it_too():
    given_run(status="CANCELLING")
    ownership.close(a_run(status="CANCELLED"), AT)

    assert row()["status"] == "CANCELLED"


def test_second_try_of_a_close_is_done_already_and_accounts_once():
    given_run()
    for _ in range(2):
        ownership.close(a_run(), AT)
    ownership.claim(a_run("run-2"), default())  # the next run has begun between two tries
    ownership.close(a_run(), AT)

    assert (row()["status"], len(ends()), lock()["holder"]) == ("SUCCEEDED", 1, "run-2")


@pytest.mark.parametrize("status", ["FAILED", "ABORTED"])
def test_close_of_what_somebody_closed_otherwise_writes_nothing(status):
    given_run(status=status, finished_at=AT[:-4] + "999Z")
    with pytest.raises(LeaseLost):
        ownership.close(a_run(), AT)

    assert (row()["status"], lock()["holder"], ends()) == (status, "run-1", [])


def test_close_without_the_lock_writes_nothing():
    given_run()
    change(run_lock.key(default()), holder="run-2")
    with pytest.raises(LeaseLost):
        ownership.close(a_run(), AT)

    assert (row()["status"], lock()["holder"], ends()) == ("RUNNING", "run-2", [])


def test_close_whose_lock_is_gone_is_a_close_all_the_same():
    """Nobody has it: it was freed, and no other run began."""
    given_run()
    run_lock.release("run-1", default())
    ownership.close(a_run(), AT)

    assert (row()["status"], len(ends())) == ("SUCCEEDED", 1)


# Closed after a failure


def failed(**fields):
    return a_run(**{"failure": "Sqs.SqsException", "in_flight": 2} | fields)


def test_failed_run_is_closed_with_its_failure_and_counters():
    given_run()
    ownership.close_failed(failed(reason="why"), AT)

    ended = {
        "status": "FAILED", "finished_at": AT, "failure": "Sqs.SqsException", "reason": "why",
        "redriven": 3, "received": 4,
    }  # fmt: skip
    assert ended.items() <= row().items()
    assert (lock(), [record["result"] for record in ends()]) == ({}, ["FAILED"])


@pytest.mark.parametrize("tries", [2, 3])
def test_second_try_after_a_failure_writes_nothing_more(tries):
    given_run()
    for _ in range(tries):
        run = failed()
        ownership.close_failed(run, AT)
        assert run.failure == "Sqs.SqsException"

    assert (row()["failure"], len(ends())) == ("Sqs.SqsException", 1)


def test_failed_run_whose_lock_is_another_s_lost_its_lease_and_touches_it_not():
    given_run()
    change(run_lock.key(default()), holder="run-2")
    for _ in range(2):
        run = failed()
        ownership.close_failed(run, AT)

    assert (row()["status"], row()["failure"]) == ("FAILED", "LeaseLost")
    assert row()["reason"] == "Sqs.SqsException."
    assert (lock()["holder"], len(ends())) == ("run-2", 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"failure": "LeaseLost"}, ""), ({"failure": "X", "reason": "why"}, "why")],
)
def test_reason_that_is_known_is_kept_when_the_lock_is_lost(fields, reason):
    given_run()
    change(run_lock.key(default()), holder="run-2")
    ownership.close_failed(failed(**fields), AT)

    assert (row()["failure"], row()["reason"]) == ("LeaseLost", reason)


def test_failed_run_that_somebody_closed_stays_closed_frees_its_lock_and_is_accounted_for():
    given_run(status="ABORTED", finished_at=LATER)
    for _ in range(2):
        ownership.close_failed(failed(), AT)

    assert (row()["status"], lock()) == ("ABORTED", {})
    assert [record["result"] for record in ends()] == ["FAILED"]


def test_failed_run_without_a_record_is_accounted_for_and_leaves_another_s_lock():
    ownership.claim(a_run("run-2"), default())
    for _ in range(2):
        ownership.close_failed(failed(), AT)

    assert (row(), lock()["holder"]) == ({}, "run-2")
    assert [record["run_id"] for record in ends()] == ["run-1"]


def test_failed_run_that_is_neither_known_nor_locked_is_accounted_for():
    ownership.close_failed(failed(), AT)

    assert (row(), lock(), len(ends())) == ({}, {}, 1)


def test_run_is_accounted_for_as_it_was_when_it_was_skipped():
    run = a_run(status="SKIPPED", reason="why")
    for _ in range(2):
        ownership.account_for_skipped(run, AT)

    (record,) = audited()
    assert (record["action"], record["result"]) == ("skip_run", "SKIPPED")
    assert record["input"] == {"request": '{"max_messages": 9}', "reason": "why"}


def test_second_try_after_a_failure_tells_it_although_the_next_run_has_begun():
    given_run()
    ownership.close_failed(failed(), AT)
    ownership.claim(a_run("run-2"), default())
    run = failed()
    ownership.close_failed(run, AT)

    assert (run.failure, row()["failure"]) == ("Sqs.SqsException", "Sqs.SqsException")
    assert (lock()["holder"], len(ends())) == ("run-2", 1)

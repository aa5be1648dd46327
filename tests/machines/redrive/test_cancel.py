"""A cancelled run stops within one batch: counters true, lock free, nothing held."""

import uuid

import pytest

from local.deadline import wait_until
from tests.support.redrive_runs import (
    LOCK,
    QUEUE,
    all_visible,
    audited,
    counters,
    held_records,
    maximum_message_size,
    redrive,
)
from tests.support.stack_fixtures import (
    dead_letter,
    dead_letters,
    ended,
    history,
    put,
    queued,
    row,
    run_machine,
    start_machine,
    transaction,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]
# One message is left out, the others go.
ONLY = {"filter": {"payload": {"currency": "EUR"}}}


def with_one_left_out(stack, count):
    """Make one message that the filter leaves out and so many that it does not."""
    dead_letter(stack, transaction(currency="CHF"))
    dead_letters(stack, count)


def start(stack, **options):
    return start_machine(stack, "redrive", {"request": ONLY | options})


@pytest.fixture(scope="module")
def operator(operator):
    """Cancel a first time, before there is a run: it might end meanwhile."""
    assert operator.cancel("no-such-run").status == 404
    return operator


def cancel(operator, arn):
    return operator.cancel(arn.rpartition(":")[2])


def entered(stack, arn, state, times=1):
    wait_until(
        lambda: history(stack, arn).count(state) >= times, 30, f"{state} is entered {times} times"
    )


def assert_cancelled(stack, run, **expected):
    assert (run.status, run.output["status"]) == ("SUCCEEDED", "CANCELLED")
    assert row(stack, "Runs", run.name)["status"] == "CANCELLED"
    assert counters(stack, run) == expected
    assert len(queued(stack, "Work")) == expected["redriven"]
    assert row(stack, "Runs", LOCK) == {}
    assert all_visible(stack)
    assert held_records(stack, run.name) == 0
    ends = [r for r in audited(stack, run.name) if r["action"] == "end_run"]
    assert [r["result"] for r in ends] == ["CANCELLED"]


def test_cancel_while_the_canary_is_watched_sends_nothing_more(stack, operator):
    with_one_left_out(stack, 4)
    arn = start(stack, canary={"messages": 2, "watch_seconds": 60})
    entered(stack, arn, "WaitForOutcomes")

    answer = cancel(operator, arn)

    assert (answer.status, answer.json["status"]) == (202, "CANCELLING")
    assert_cancelled(stack, ended(stack, arn), received=2, redriven=2, left=1)
    assert len(queued(stack, "DeadLetter")) == 3


def test_cancel_while_the_rate_is_kept_stops_within_one_batch(stack, operator):
    with_one_left_out(stack, 12)
    arn = start(stack, max_per_second=0.5)
    entered(stack, arn, "WaitForRate")

    assert cancel(operator, arn).status == 202
    before = history(stack, arn).count("RedriveMessages")

    run = ended(stack, arn)
    sent = run.states.count("RedriveMessages")
    assert sent <= before + 1 < 12
    assert_cancelled(stack, run, received=sent, redriven=sent, left=1)


def test_cancel_between_batches_stops_within_one(stack, operator):
    with_one_left_out(stack, 30)
    with maximum_message_size(stack, "DeadLetter", 262_144):  # one at a time
        arn = start(stack)
        entered(stack, arn, "DeleteDeadLetters", 2)
        assert cancel(operator, arn).status == 202
        guarded = history(stack, arn).count("GuardLoop")
        run = ended(stack, arn)

    assert run.states.count("GuardLoop") <= guarded + 1
    sent = run.states.count("RedriveMessages")
    assert 2 <= sent < 30
    assert_cancelled(stack, run, received=sent, redriven=sent, left=1)


def test_cancel_while_an_empty_queue_is_polled_ends_the_run(stack, operator):
    arn = start(stack)
    entered(stack, arn, "ReceiveDeadLetters")

    assert cancel(operator, arn).status == 202

    run = ended(stack, arn)
    assert run.status == "SUCCEEDED"
    assert row(stack, "Runs", run.name)["status"] in ("SUCCEEDED", "CANCELLED")
    assert row(stack, "Runs", LOCK) == {}


def test_run_that_was_cancelled_before_it_began_sends_at_most_one_batch(stack):
    for _ in range(12):
        dead_letter(stack, transaction())
    run_id = f"run-{uuid.uuid4()}"
    put(
        stack,
        "Runs",
        {
            "run_id": run_id,
            "dead_letter_queue": QUEUE,
            "status": "CANCELLING",
            "trigger": "api",
            "requested_by": "o@example.com",
            "request": "{}",
        },
    )
    put(stack, "Runs", {"run_id": LOCK, "holder": run_id, "lease_until": 4_102_444_800})

    run = run_machine(stack, "redrive", {"request": {}, "trigger": "api"}, name=run_id)

    assert_cancelled(stack, run, received=10, redriven=10)
    assert len(queued(stack, "DeadLetter")) == 2


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED", "ABORTED"])
def test_run_whose_record_is_closed_does_nothing(stack, status):
    dead_letter(stack, transaction())
    run_id = f"run-{uuid.uuid4()}"
    closed = {"run_id": run_id, "status": status, "trigger": "api", "dead_letter_queue": QUEUE}
    put(stack, "Runs", closed)

    run = redrive(stack, 1, name=run_id)

    assert run.output["status"] == "SKIPPED"
    assert row(stack, "Runs", run_id) == closed
    assert row(stack, "Runs", LOCK) == {}
    assert len(queued(stack, "DeadLetter")) == 1


def test_cancelled_run_goes_on_when_another_is_started(stack, operator):
    with_one_left_out(stack, 3)
    arn = start(stack, canary={"messages": 1, "watch_seconds": 60})
    entered(stack, arn, "WaitForOutcomes")
    cancel(operator, arn)
    ended(stack, arn)

    assert counters(stack, redrive(stack, 3)) == {"received": 3, "redriven": 3}
    assert cancel(operator, arn).status == 409

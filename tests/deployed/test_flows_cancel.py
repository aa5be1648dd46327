"""Cancelling runs over HTTP, and what is told afterwards: counters, audit records, journeys."""

import pytest

from local.deadline import wait_until
from tests.deployed.flows import (
    assert_problem,
    dead_message,
    finished,
    frozen_account,
    settled,
)
from tests.deployed.run_flows import counted, run_of
from tests.support import redrive_runs
from tests.support.redrive_runs import COUNTERS, LOCK, all_visible, held_records
from tests.support.stack_fixtures import (
    dead_letter,
    dead_letters,
    history,
    queued,
    row,
    transaction,
    unfreeze,
    waits_scaled,
)

pytestmark = [pytest.mark.xdist_group("flows of runs"), pytest.mark.usefixtures("no_dead_letters")]

SMALL = {"jmespath": "amount < `50`"}
# Slow enough to be cancelled at any time: four seconds between two messages.
SLOWLY = {"filter": SMALL, "max_per_second": 0.25}


def records_of(client, run_id):
    """Return the audit records of a run, oldest first."""
    found = client.audit(limit=100).expect(200)["records"]
    return [record for record in reversed(found) if record["run_id"] == run_id]


def told(record):
    return record["action"], record["role"], record["result"]


def journey_of(client, message_id):
    return client.message(message_id).expect(200)["journey"]


def running(stack, client, state, **request):
    """Start a run and return its id once it has come to a state."""
    started = client.reprocess(**request).expect(202)
    wait_until(
        lambda: state in history(stack, started["execution_arn"]), 30, f"the run comes to {state}"
    )
    return started["run_id"]


def test_cancelled_run_stops_within_a_batch_and_another_goes_on(stack, producer, operator, email):
    (left,) = dead_letters(stack, 1, amount=99.0)
    messages = dead_letters(stack, 5)
    # So that it is shown before it notices, on a busy machine too: both functions are warm.
    assert_problem(operator.cancel("no-such-run"), 404, "run_not_found")
    assert_problem(operator.run("no-such-run"), 404, "run_not_found")
    with waits_scaled(stack, 1):
        run_id = running(stack, operator, "WaitForRate", **SLOWLY)

        cancelled, again = operator.cancel(run_id), operator.cancel(run_id)
        shown = operator.run(run_id).expect(200)
        run = finished(operator, run_id)

    for answer in (cancelled, again):
        assert (answer.status, answer.json["run_id"]) == (202, run_id)
        assert (answer.json["status"], answer.json["finished_at"]) == ("CANCELLING", None)
    assert shown["status"] == "CANCELLING"
    assert shown["progress"]["remaining"] >= 1
    assert run["status"] == "CANCELLED"
    assert run["finished_at"]
    # The record is one behind while the rate is kept; one more was received meanwhile.
    sent = run["redriven"]
    assert 1 <= sent <= shown["redriven"] + 2 < len(messages)
    assert counted(run) == {"received": sent, "redriven": sent, "left": 1}
    assert (all_visible(stack), held_records(stack, run_id)) == (True, 0)
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [
        message.body() for message in (left, *messages[sent:])
    ]
    assert row(stack, "Runs", LOCK) == {}
    assert [told(record) for record in records_of(operator, run_id)] == [
        ("start_run", "operator", "STARTED"),
        ("cancel_run", "operator", "CANCELLING"),
        ("cancel_run", "operator", "UNCHANGED"),
        ("end_run", "api", "CANCELLED"),
    ]

    following = run_of(operator, filter=SMALL, max_messages=5 - sent)
    assert (following["status"], following["redriven"]) == ("SUCCEEDED", 5 - sent)
    for message in messages:
        record = settled(producer, message.message_id, "PROCESSED")
        assert record["redrives"] == 1
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [left.body()]


def test_run_that_watches_its_canary_is_cancelled_at_once(stack, operator):
    dead_letter(stack, transaction(account_id=frozen_account(stack)))
    messages = dead_letters(stack, 2)
    canary = {"messages": 1, "watch_seconds": 600, "max_failures": 1}
    redrive_runs.consume(stack, False)  # or the message would end, and with it the watch
    try:
        run_id = running(stack, operator, "WaitForOutcomes", canary=canary)
        operator.cancel(run_id).expect(202)
        run = finished(operator, run_id)
    finally:
        redrive_runs.consume(stack, True)

    assert run["status"] == "CANCELLED"
    assert counted(run) == {"received": 1, "redriven": 1}
    assert [m["Body"] for m in queued(stack, "DeadLetter")][:2] == [m.body() for m in messages]


def test_ended_run_cannot_be_cancelled_and_the_try_is_on_record(stack, operator):
    dead_letters(stack, 1)
    run = run_of(operator, max_messages=1)

    for _ in range(2):
        assert_problem(operator.cancel(run["run_id"]), 409, "run_ended")

    assert operator.run(run["run_id"]).expect(200)["status"] == "SUCCEEDED"
    assert [told(record) for record in records_of(operator, run["run_id"])] == [
        ("start_run", "operator", "STARTED"),
        ("end_run", "api", "SUCCEEDED"),
        ("cancel_run", "operator", "RunEnded"),
        ("cancel_run", "operator", "RunEnded"),
    ]


def test_run_is_on_record_from_its_start_to_its_counters(stack, operator, email):
    dead_letters(stack, 2)
    old = transaction(first_sent_at="2026-01-01T00:00:00Z")
    dead_letter(stack, old)
    request = {"filter": {"type": "transaction"}, "max_messages": 3, "max_per_second": 100}

    run = run_of(operator, **request)
    start, end = records_of(operator, run["run_id"])

    assert counted(run) == {"received": 3, "redriven": 2, "quarantined": 1}
    assert (start["actor"], start["source_ip"], start["input"]) == (email, "127.0.0.1", request)
    assert (end["actor"], end["role"], end["result"]) == (email, "api", "SUCCEEDED")
    assert end["counters"] == {name: run[name] for name in COUNTERS}
    for record in (start, end):
        assert record["execution_arn"] == run["execution_arn"]
        assert record["trace_id"] == start["trace_id"]
    assert max(start["at"], run["started_at"]) < end["at"]


def test_journey_tells_by_which_runs_a_message_came_back(stack, producer, operator):
    """Dead, redriven in vain, redriven again, processed: each step once and in order."""
    account_id, dead = dead_message(stack, producer)
    message_id = dead["message_id"]
    before = journey_of(producer, message_id)
    assert [step["event"] for step in before] == ["sent", *["attempt"] * 4, "dead"]
    assert [step["number"] for step in before if step["event"] == "attempt"] == [1, 2, 3, 4]

    first = run_of(operator, max_messages=1)
    wait_until(lambda: queued(stack, "DeadLetter"), 60, "it died again")
    settled(producer, message_id, "DEAD")
    unfreeze(stack, account_id)
    second = run_of(operator, max_messages=1)
    shown = settled(producer, message_id, "PROCESSED")

    steps = shown["journey"]
    assert [step["event"] for step in steps] == [
        "sent", *["attempt"] * 4, "dead",
        "redriven", *["attempt"] * 4, "dead",
        "redriven", "processed",
    ]  # fmt: skip
    redriven = [step for step in steps if step["event"] == "redriven"]
    assert [(step["run_id"], step["number"]) for step in redriven] == [
        (first["run_id"], 1),
        (second["run_id"], 2),
    ]
    attempts = [step for step in steps if step["event"] == "attempt"]
    assert [step["number"] for step in attempts] == list(range(1, 9))
    assert {step["reason_type"] for step in attempts} == {"AccountFrozen"}
    assert [step["n"] for step in steps] == list(range(1, len(steps) + 1))
    times = [step["at"] for step in steps]
    assert times == sorted(times)
    assert steps[-1]["at"] == shown["processed_at"]

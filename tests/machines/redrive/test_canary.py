"""The canary: a run tries a few, watches how they end, and doubles its step or halts."""

import pytest

from local.deadline import wait_until
from tests.support.redrive_expressions import evaluate, states
from tests.support.redrive_runs import (
    COUNTERS,
    DONE,
    FINISH,
    JUDGED,
    LOCK,
    START,
    WAVE,
    audited,
    batches_sent,
    consume,
    counters,
    ledger,
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
WATCH = ["WaitForOutcomes", "CountOutcomes", "CanaryHealthy"]


def request(messages=1, watch_seconds=60, max_failures=0, **options):
    canary = {"messages": messages, "watch_seconds": watch_seconds, "max_failures": max_failures}
    return {"request": {"canary": canary} | options}


def counted(**outcome):
    """Return what CountOutcomes says, for `mocks`."""
    usual = {"processed": 0, "retrying": 0, "died_again": 0, "pending": 0, "moved_on": 0}
    return {"Return": {"Payload": usual | {"active": True} | outcome}}


def test_run_that_lost_its_lease_while_it_watched_was_not_cancelled(stack):
    dead_letters(stack, 2)
    lost = counted(active=False, lease_lost=True)

    run = run_machine(stack, "redrive", request(), mocks={"CountOutcomes": [lost]})

    assert (run.status, run.error) == ("FAILED", "LeaseLost")
    assert row(stack, "Runs", run.name)["status"] == "FAILED"


def watching(stack, **options):
    """Start a run with a canary and return it once it watches."""
    arn = start_machine(stack, "redrive", request(**options))
    wait_until(lambda: "CountOutcomes" in history(stack, arn), 30, "the canary is watched")
    return arn


def end_as(stack, message, status):
    trouble = {"trouble": status} if status == "DEAD" else {}
    put(stack, "Messages", ledger(stack, message) | {"status": status} | trouble)


def test_healthy_canary_doubles_its_step_until_all_is_redriven(stack):
    messages = dead_letters(stack, 10)
    consume(stack, True)

    run = run_machine(stack, "redrive", request(max_messages=10))

    assert batches_sent(stack, run) == [1, 2, 4, 3]
    assert counters(stack, run) == {"received": 10, "redriven": 10}
    assert "reason" not in run.output
    steps = [state for state in run.states if state in ("RedriveMessages", "CanaryHealthy")]
    assert steps[-1] == "CanaryHealthy"  # the last step is watched though it was not a full one
    assert {ledger(stack, message)["status"] for message in messages} == {"PROCESSED"}


def test_step_larger_than_a_batch_is_watched_when_it_is_full(stack):
    dead_letters(stack, 14)
    healthy = counted(processed=12), counted(processed=14)

    run = run_machine(
        stack, "redrive", request(12, max_messages=14), mocks={"CountOutcomes": list(healthy)}
    )

    assert batches_sent(stack, run) == [10, 2, 2]
    assert run.states == [
        *START, *JUDGED, *WAVE, *JUDGED, *WAVE, *WATCH,
        "MoreToDo", *JUDGED, *WAVE, "AnyDeadLetters", *WATCH, "MoreToDo", *DONE,
    ]  # fmt: skip


def test_last_partial_step_of_a_run_without_a_limit_is_watched(stack):
    dead_letters(stack, 2)
    mocks = {"CountOutcomes": [counted(processed=1), counted(processed=2)]}

    run = run_machine(stack, "redrive", request(), mocks=mocks)

    assert batches_sent(stack, run) == [1, 1]
    assert run.states[-7:] == ["AnyDeadLetters", *WATCH, "MoreToDo", "AnyDeadLetters", *FINISH]
    assert run.states.count("CanaryHealthy") == 2


def assert_halted(stack, run, reason, **expected):
    assert (run.status, run.output["status"], run.output["reason"]) == (
        "SUCCEEDED", "HALTED", reason,
    )  # fmt: skip
    found = row(stack, "Runs", run.name)
    assert (found["status"], found["reason"]) == ("HALTED", reason)
    assert found["finished_at"]
    assert counters(stack, run) == expected
    assert row(stack, "Runs", LOCK) == {}
    (record,) = audited(stack, run.name)
    assert (record["action"], record["result"]) == ("end_run", "HALTED")
    assert {name: int(record["counters"].get(name, 0)) for name in COUNTERS} == {
        name: expected.get(name, 0) for name in COUNTERS
    }


def test_canary_that_dies_halts_the_run_and_the_rest_stays(stack):
    messages = dead_letters(stack, 5)
    arn = watching(stack, messages=2)

    end_as(stack, messages[0], "DEAD")

    run = ended(stack, arn)
    assert_halted(
        stack, run, "1 of 2 redriven messages failed again; max_failures is 0.",
        received=2, redriven=2,
    )  # fmt: skip
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [m.body() for m in messages[2:]]


def test_canary_may_die_as_often_as_allowed(stack):
    messages = dead_letters(stack, 3)
    arn = watching(stack, messages=2, max_failures=1, max_messages=3)
    end_as(stack, messages[0], "DEAD")
    end_as(stack, messages[1], "PROCESSED")
    wait_until(lambda: ledger(stack, messages[2])["status"] == "REDRIVEN", 30, "the run goes on")

    end_as(stack, messages[2], "DEAD")

    assert_halted(
        stack, ended(stack, arn), "2 of 3 redriven messages failed again; max_failures is 1.",
        received=3, redriven=3,
    )  # fmt: skip


def test_canary_that_does_not_end_in_time_halts_the_run(stack):
    messages = dead_letters(stack, 3)

    run = run_machine(stack, "redrive", request(2, watch_seconds=1))

    assert_halted(
        stack, run,
        "2 of 2 redriven messages failed again or had not ended after 1 seconds;"
        " max_failures is 0.",
        received=2, redriven=2,
    )  # fmt: skip
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [messages[2].body()]
    assert run.states.count("CountOutcomes") > 1


def test_watch_whose_time_is_over_between_two_rules_does_not_halt_a_healthy_run():
    """Each rule reads the clock for itself; a rule that comes later may find it a moment on."""
    counts = {"counts": {"redriven": 2}, "watch_from": 0, "millis": 1_000}
    outcome = {"active": True, "lease_lost": False, "died_again": 0, "processed": 0}
    canary = {"messages": 2, "watch_seconds": 1, "max_failures": 2}
    given = counts | {"outcome": outcome, "request": {"canary": canary}}
    too_few = {"request": {"canary": canary | {"max_failures": 1}}}
    healthy, *others = (rule["Condition"] for rule in states()["CanaryHealthy"]["Choices"])

    assert not evaluate(healthy, **given | {"millis": 999})
    assert not any(evaluate(rule, **given) for rule in others)
    assert any(evaluate(rule, **given | too_few) for rule in others)


def test_what_has_not_ended_in_time_may_be_as_much_as_may_fail(stack):
    dead_letters(stack, 2)

    run = run_machine(stack, "redrive", request(2, watch_seconds=1, max_failures=2, max_messages=2))

    assert (run.output["status"], run.output.get("reason")) == ("SUCCEEDED", None)
    assert counters(stack, run) == {"received": 2, "redriven": 2}


def test_quarantined_messages_do_not_fill_a_step(stack):
    wrong = transaction(currency="euro")
    dead_letter(stack, wrong)
    dead_letters(stack, 2)
    mocks = {"CountOutcomes": [counted(processed=1), counted(processed=2)]}

    run = run_machine(stack, "redrive", request(max_messages=3), mocks=mocks)

    assert batches_sent(stack, run) == [1, 1]
    assert counters(stack, run) == {"received": 3, "redriven": 2, "quarantined": 1}


def test_count_that_fails_for_good_fails_the_run(stack):
    dead_letters(stack, 1)
    mocks = {"CountOutcomes": [{"Throw": {"Error": "Lambda.Unknown", "Cause": "made up"}}]}

    run = run_machine(stack, "redrive", request(), mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "Lambda.Unknown")
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert row(stack, "Runs", LOCK) == {}

"""Canaries over HTTP: a few first, then more, and a halt when the consumer fails again."""

import pytest

from tests.deployed.flows import (
    frozen_account,
)
from tests.deployed.run_flows import counted, run_of
from tests.support.redrive_runs import all_visible, batches_sent
from tests.support.stack_fixtures import (
    dead_letter,
    dead_letters,
    ended,
    queued,
    transaction,
    unfreeze,
)

pytestmark = [pytest.mark.xdist_group("flows of runs"), pytest.mark.usefixtures("no_dead_letters")]


# --- Canary ---------------------------------------------------------------------------------


def test_healthy_canary_lets_the_rest_follow_in_growing_steps(stack, operator):
    dead_letters(stack, 9)
    canary = {"messages": 1, "watch_seconds": 60}

    run = run_of(operator, canary=canary, max_messages=9)

    assert (run["status"], run["reason"]) == ("SUCCEEDED", None)
    assert counted(run) == {"received": 9, "redriven": 9}
    assert batches_sent(stack, ended(stack, run["execution_arn"])) == [1, 2, 4, 2]
    assert run["outcome"]["processed"] == 9  # each step was watched to its end
    assert run["request"]["canary"] == canary


def test_canary_halts_when_the_consumer_fails_again_and_the_rest_stays(stack, producer, operator):
    account_id = frozen_account(stack)
    first = transaction(account_id=account_id)
    dead_letter(stack, first)
    rest = dead_letters(stack, 4)

    run = run_of(operator, canary={"messages": 1, "watch_seconds": 60})

    assert (run["status"], run["failure"]) == ("HALTED", None)
    assert run["reason"] == "1 of 1 redriven messages failed again; max_failures is 0."
    assert counted(run) == {"received": 1, "redriven": 1}
    assert (run["outcome"]["died_again"], run["outcome"]["processed"]) == (1, 0)
    assert all_visible(stack)
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [
        message.body() for message in (*rest, first)
    ]
    for message in rest:
        assert producer.message(message.message_id).expect(200)["redrives"] == 0

    unfreeze(stack, account_id)
    again = run_of(operator, canary={"messages": 2, "watch_seconds": 60}, max_messages=5)
    assert (again["status"], again["outcome"]["processed"]) == ("SUCCEEDED", 5)
    assert operator.run(run["run_id"]).expect(200)["outcome"]["moved_on"] == 1


def test_canary_whose_messages_do_not_end_in_time_halts(stack, operator, consumer_off):
    messages = dead_letters(stack, 3)

    run = run_of(operator, canary={"messages": 1, "watch_seconds": 1})

    assert run["status"] == "HALTED"
    assert "1 of 1 redriven messages failed again or had not ended after 1 seconds" in run["reason"]
    assert run["outcome"]["pending"] == 1
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [m.body() for m in messages[1:]]

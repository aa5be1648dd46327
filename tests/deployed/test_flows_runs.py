"""Runs over HTTP as an operator watches them: rate, age, progress, outcome."""

import pytest

from local.deadline import wait_until
from tests.deployed.flows import (
    dead_message,
    frozen_account,
    settled,
)
from tests.deployed.run_flows import counted, outcome_becomes, run_of
from tests.support.stack_fixtures import (
    dead_letter,
    dead_letters,
    queued,
    row,
    transaction,
    unfreeze,
    waits_scaled,
)

pytestmark = [pytest.mark.xdist_group("flows of runs"), pytest.mark.usefixtures("no_dead_letters")]

NEW_YEAR = "2026-01-01T00:00:00.000Z"


# --- Rate -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "count"), [(2, 6), (0.8, 3)])
@pytest.mark.usefixtures("consumer_off")
def test_rate_holds_in_any_second(stack, operator, rate, count):
    dead_letters(stack, count)
    with waits_scaled(stack, 1):
        run = run_of(operator, max_per_second=rate, max_messages=count)

    assert counted(run) == {"received": count, "redriven": count}
    sent = sorted(int(m["Attributes"]["SentTimestamp"]) for m in queued(stack, "Work"))
    most, span = (int(rate), 1_000) if rate >= 1 else (1, 1_000 / rate)
    assert len(sent) == count
    for earlier, later in zip(sent, sent[most:], strict=False):
        assert later - earlier >= span - 20  # SQS notes the time a moment after it was asked


# --- Time -----------------------------------------------------------------------------------


def test_message_that_is_too_old_is_quarantined_and_never_young_again(stack, producer, operator):
    old = transaction(first_sent_at=NEW_YEAR)
    dead_letter(stack, old)

    run = run_of(operator, max_messages=1)

    assert counted(run) == {"received": 1, "quarantined": 1}
    shown = producer.message(old.message_id).expect(200)
    assert (shown["status"], shown["reason"]["type"]) == ("QUARANTINED", "TooOld")
    assert shown["first_sent_at"] == NEW_YEAR
    (kept,) = operator.quarantine(group_id=old.group_id).expect(200)["messages"]
    assert (kept["reason"]["type"], kept["body"]) == ("TooOld", old.body())
    assert kept["age_seconds"] > 1_209_600
    last = shown["journey"][-1]
    assert (last["event"], last["reason_type"], last["run_id"]) == (
        "quarantined",
        "TooOld",
        run["run_id"],
    )
    assert queued(stack, "DeadLetter") == []


def test_time_of_first_sending_survives_every_hop(stack, producer, operator):
    """Dead, redriven, dead again, edited, redriven, dead, retried by hand, processed."""
    account_id, dead = dead_message(stack, producer)
    message_id, sent_at = dead["message_id"], dead["first_sent_at"]

    def hop(status, redrives):
        record = settled(producer, message_id, status)
        assert (record["first_sent_at"], record["redrives"]) == (sent_at, redrives)
        return record

    run_of(operator, max_messages=1)
    wait_until(lambda: queued(stack, "DeadLetter"), 60, "it died again")
    hop("DEAD", 1)
    payload = {"account_id": account_id, "kind": "credit", "amount": "5.00", "currency": "EUR"}
    operator.call("PATCH", f"/messages/{message_id}", {"payload": payload}).expect(200)
    assert hop("DEAD", 1)["edited"]
    run_of(operator, max_messages=1)
    wait_until(lambda: queued(stack, "DeadLetter"), 60, "it died a third time")
    assert all(sent_at in letter["Body"] for letter in queued(stack, "DeadLetter"))
    hop("DEAD", 2)
    unfreeze(stack, account_id)
    operator.call("POST", f"/messages/{message_id}/retry").expect(202)
    shown = hop("PROCESSED", 3)

    assert shown["journey"][0] == {"n": 1, "event": "sent", "at": sent_at}
    assert str(row(stack, "Accounts", account_id)["balance"]) == "5"


# --- Progress and outcome -------------------------------------------------------------------


def test_progress_moves_while_the_run_works_and_is_gone_afterwards(stack, operator):
    dead_letters(stack, 5)  # one more than wanted: what remains is told by the record alone
    seen = []
    # The record is one behind, so each of its numbers is there to be seen for four seconds.
    with waits_scaled(stack, 1):
        run_id = operator.reprocess(max_per_second=0.25, max_messages=4).expect(202)["run_id"]

        def has_ended():
            run = operator.run(run_id).expect(200)
            seen.append(run)
            return run["status"] != "RUNNING"

        wait_until(has_ended, 60, "the run ends")

    assert seen[-1]["progress"] is None
    working = [run for run in seen if run["status"] == "RUNNING"]
    redriven = [run["redriven"] for run in working]
    remaining = [run["progress"]["remaining"] for run in working]
    assert redriven == sorted(redriven)
    assert len(set(redriven)) >= 3
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[0] == 4
    assert len(set(remaining)) >= 3
    under_way = [run["progress"] for run in working if run["redriven"]]
    # The fourth is sent twelve seconds after the first.
    assert all(0 < progress["rate_per_second"] <= 0.34 for progress in under_way)
    assert all(progress["eta_seconds"] >= 0 for progress in under_way)
    assert working[0]["progress"]["eta_seconds"] is None
    outcome_becomes(operator, run_id, processed=4)


@pytest.fixture
def longest_waits(stack):
    """Let each retry wait as long as the jitter may make it: 3 s, 5 s and 9 s in real time."""
    client, arn = stack.client("stepfunctions"), stack.outputs["RetryStateMachineArn"]
    definition = client.describe_state_machine(stateMachineArn=arn)["definition"]
    longest = definition.replace("$random()", "1")
    assert longest != definition
    client.update_state_machine(stateMachineArn=arn, definition=longest)
    yield
    client.update_state_machine(stateMachineArn=arn, definition=definition)


@pytest.mark.usefixtures("longest_waits")
def test_outcome_tells_who_is_processed_who_retries_and_who_died_again(stack, operator):
    frozen = frozen_account(stack)
    (good,) = dead_letters(stack, 1)
    dead_letter(stack, transaction(account_id=frozen))
    with waits_scaled(stack, 1):  # its next try is seconds away
        run = run_of(operator, max_messages=2)
        outcome_becomes(operator, run["run_id"], processed=1, retrying=1)

    outcome_becomes(operator, run["run_id"], processed=1, died_again=1)
    unfreeze(stack, frozen)
    other = run_of(operator, max_messages=1)
    outcome_becomes(operator, run["run_id"], processed=1, moved_on=1)
    outcome_becomes(operator, other["run_id"], processed=1)
    assert row(stack, "Messages", good.message_id)["redriven_by"] == run["run_id"]

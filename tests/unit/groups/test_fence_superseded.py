"""Executions and copies that come late act on the row as it is now, whatever they read before.

Each order was found by the model of the protocol, and had an effect after a discard, an effect of
an old body, a dead message without a copy, or a life cut short. In process, with the shipped state
machine; see docs/fence.md, step 4.
"""

import copy
import dataclasses

import pytest

from tests.support.cloud import ENVIRONMENT, drain
from tests.support.fenced_group import (
    GROUP,
    change,
    consume_all,
    delivery,
    fence_of,
    generations,
    row,
    watched_group,
)
from tests.support.messages import a_transaction, an_operator
from workflows import recovery, retry
from workflows.consume import Batch, Delivery, MessageBusy
from workflows.groups import fence
from workflows.ledger import attempts, claims, transitions
from workflows.ledger.claims import Decision
from workflows.messages.carried import NOTHING
from workflows.operator import discard, edit, retry_by_hand
from workflows.operator.discard import DiscardRequest
from workflows.runtime import aws
from workflows.runtime.settings import settings

WORK, DEAD_LETTERS = ENVIRONMENT["WORK_QUEUE_URL"], ENVIRONMENT["DEAD_LETTER_QUEUE_URL"]
LAST = int(ENVIRONMENT["MAX_ATTEMPTS"])
LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
ID = f"{GROUP}-1"
GIVEN_UP = DiscardRequest(reason="given up")


@pytest.fixture
def group(tables, queues, machines, later, monkeypatch):
    return watched_group(later, monkeypatch)


def before_last_try(group):
    """Fail message 1 but for its last try, which its execution waits for; return the execution."""
    group.failing.add(1)
    group.deliver(1)
    execution = group.execution()
    while row(1)["attempts"] < LAST - 1:
        execution.run(until="GuardLoop")
        execution.run(until="WaitBackoff")
    execution.run(until="GuardLoop")
    execution.run(until="WaitBackoff")
    group.failing.clear()
    return execution


def replaced(group):
    """Stop the execution and have the sweep start another; return that, run to its end."""
    aws.stepfunctions().stop_execution(executionArn=fence_of().execution_arn)
    assert recovery.recover().groups == [GROUP]
    execution = group.execution()
    execution.run()
    return execution


def moved(sequence_number="77"):
    """Move the dead letter to the work queue, as StartMessageMoveTask does: under a new SQS id."""
    (found,) = drain(aws.sqs(), DEAD_LETTERS)
    return Delivery(found["Body"], GROUP, f"sqs-moved-{sequence_number}", sequence_number, 1)


def test_execution_that_comes_back_after_a_discard_has_no_effect(group):
    old = before_last_try(group)  # and is stopped there, and redriven in the console afterwards
    replaced(group)
    assert (row(1)["status"], fence_of().generation) == ("DEAD", 2)
    discard.discard(ID, GIVEN_UP, an_operator())
    group.deliver(2)

    old.run()

    assert group.effects == [2]
    assert old.states[-3:] == ["InspectFence", "StillOurs", "NothingToRetry"]
    assert row(1)["status"] == "DISCARDED"


def test_execution_that_comes_back_after_an_edit_leaves_the_old_body_alone(group):
    old = before_last_try(group)
    replaced(group)
    edit.edit(ID, a_transaction(account_id=GROUP, amount="1.00"), an_operator())
    retry_by_hand.retry(ID, retry_by_hand.RetryRequest(), an_operator())

    old.run()

    assert group.effects == []
    (sent,) = drain(aws.sqs(), WORK)
    again = Delivery(sent["Body"], GROUP, "sqs-again", "88", 1)
    assert consume_all(again) == ["PROCESSED"]
    assert group.effects == [1]


def test_two_executions_of_one_group_have_one_effect(group):
    group.failing.add(1)
    group.deliver(1, 2)
    fence.resume(fence_of(), 0)  # the sweep is faster than a worker, which starts the first one too
    assert generations() == ["0-g1", "0-g2"]
    new = group.execution()
    old = copy.deepcopy(new)
    old._input["generation"] = 1
    new.run(until="WaitBackoff")
    old.run(until="ProcessMessage")
    group.failing.clear()

    new.run()  # its attempt is not the last one that was counted
    old.run()

    assert group.effects == [1, 2]
    assert [row(number)["attempts_total"] for number in (1, 2)] == [4, 1]
    assert fence_of() is None


def test_message_whose_dead_letter_was_moved_before_it_is_dead_gets_another(group):
    group.failing.add(1)
    group.deliver(1)
    execution = group.execution()
    execution.run(until="MarkDead")
    assert consume_all(moved()) == ["RETRYING"]  # acknowledged: it is on no queue now

    execution.run()

    assert execution.states[-9:] == [
        "MarkDead", "InspectFence", "StillOurs", "InspectMessage", "ValidateMessage",
        "DeadLetter", "MarkDead", "HoldOrContinue", "GroupHeld",
    ]  # fmt: skip
    assert row(1)["status"] == "DEAD"
    assert len(drain(aws.sqs(), DEAD_LETTERS)) == 1


def test_copy_that_comes_when_its_message_is_just_dead_stays_on_the_queue(group, monkeypatch):
    group.failing.add(1)
    group.deliver(1)
    monkeypatch.setattr(transitions, "copy_met", lambda _: False)

    with pytest.raises(MessageBusy):
        consume_all(Delivery(delivery(1).body, GROUP, "sqs-moved", "77", 1))


def test_second_try_of_mark_dead_leaves_the_next_life_alone(group):
    group.failing.add(1)
    group.deliver(1)
    execution = group.execution()
    execution.run(until="MarkDead")
    first_try = copy.copy(execution)
    first_try.states = []
    first_try.step()  # it is written, and its answer lost
    assert consume_all(moved()) == ["RETRYING"]
    assert (row(1)["redrives"], fence_of().generation) == (1, 2)

    execution.run()

    assert execution.states[-3:] == ["InspectFence", "StillOurs", "NothingToRetry"]
    assert row(1)["status"] == "RETRYING"
    assert row(1)["attempts"] == 1


def outlived(group):
    """Let a message die while the function of its last try, which nobody waits for, goes on."""
    before_last_try(group)
    lease = attempts.take(ID, int(row(1)["attempts_total"]))
    assert lease is not None
    replaced(group)
    assert (row(1)["status"], row(1)["lease_until"]) == ("DEAD", lease.until)


def deeds():
    """Return what begins another life of a message, or ends this one, by name."""
    payload = a_transaction(account_id=GROUP, amount="1.00")
    return {
        "discard": lambda: discard.discard(ID, GIVEN_UP, an_operator()),
        "edit": lambda: edit.edit(ID, payload, an_operator()),
        "retry": lambda: retry_by_hand.retry(ID, retry_by_hand.RetryRequest(), an_operator()),
    }


@pytest.mark.parametrize("deed", ["discard", "edit", "retry"])
def test_function_that_outlives_its_execution_is_waited_for(group, deed):
    outlived(group)

    with pytest.raises(transitions.BeingTried):
        deeds()[deed]()
    assert row(1)["status"] == "DEAD"

    group.later(LEASE + 1)
    deeds()[deed]()


def test_moved_copy_waits_for_a_function_that_outlives_its_execution(group):
    outlived(group)
    copy_of_it = moved()

    with pytest.raises(MessageBusy):
        consume_all(copy_of_it)

    group.later(LEASE + 1)
    assert consume_all(copy_of_it) == ["PROCESSED"]


@pytest.fixture
def called_twice(group):
    """Let two functions be at one attempt: the answer of the first was lost. Give their leases."""
    group.failing.add(1)
    group.deliver(1)
    first, second = attempts.take(ID, 1), attempts.take(ID, 1)
    assert first is not None
    assert second is not None
    assert (first.sole, second.sole) == (True, False)
    assert second.until > first.until
    return first, second


def note(lease, attempt=1):
    why = {"type": "X", "message": "x"}
    attempts.failed_again(ID, why, final=True, attempt=attempt, lease=lease)


def test_late_note_of_a_failed_try_leaves_the_next_one_alone(called_twice):
    before = row(1)

    note(called_twice[0])

    assert row(1) == before


def test_lease_that_another_may_still_have_is_not_given_back(called_twice):
    note(called_twice[1])

    assert row(1)["reason"]["type"] == "X"
    assert row(1)["lease_until"] == called_twice[1].until


def test_lease_of_the_next_attempt_holds_for_the_function_of_the_last_too(group):
    stray = before_last_try(group)  # its function runs on while Step Functions counts the next try
    lease = attempts.take(ID, int(row(1)["attempts_total"]))
    change(1, attempts_total=row(1)["attempts_total"] + 1)

    next_one = attempts.take(ID, int(row(1)["attempts_total"]))

    assert lease is not None
    assert next_one is not None
    assert (next_one.sole, next_one.until) == (False, lease.until + 1)
    stray.run()
    assert group.effects == []


def test_worker_reads_the_fence_again_that_another_raised_meanwhile(group):
    """SQS gives a group to one worker; should it not, nothing is overtaken all the same."""
    late = Batch([delivery(1), delivery(2)])
    group.failing.add(1)
    group.deliver(1)

    assert [late.consume(one) for one in (delivery(1), delivery(2))] == ["RETRYING", "PARKED"]
    assert group.effects == []


@pytest.mark.parametrize("rule", ["hold", "continue"])
@pytest.mark.parametrize("end", ["parked", "retrying", "dead", "dead without a fence"])
def test_worker_whose_claim_is_another_s_by_now_writes_nothing(group, monkeypatch, end, rule):
    changed = dataclasses.replace(settings(), on_dead_letter=rule)
    monkeypatch.setattr(fence, "settings", lambda: changed)
    message, body = delivery(1).message, delivery(1).body
    mine = claims.claim(message, "sqs-1")
    group.later(LEASE + 1)
    assert claims.claim(message, "sqs-1").decision is Decision.PROCESS
    if end != "dead without a fence":
        fence.raise_ahead(delivery(2).message)
    before = row(1)
    fenced = fence_of()
    act = {
        "parked": lambda: fence.park(
            message.group_id, [fence.Claimed(message, mine, body, NOTHING, "1")]
        ),
        "retrying": lambda: fence.retrying(message, body, NOTHING, mine, OSError(), fenced),
    }

    with pytest.raises(fence.FenceTaken):
        act.get(end, lambda: fence.dead(message, body, NOTHING, mine, OSError(), fenced))()

    assert (row(1), fence_of()) == (before, fenced)


def test_exhausted_message_that_got_a_new_budget_is_not_quarantined(later, group):
    """The worker saw it out of redrives; by now a person sent it again and it died once more."""
    group.failing.add(1)
    group.deliver(1)
    group.execution().run()
    message, seen = delivery(1).message, row(1)
    retry_by_hand.retry(ID, retry_by_hand.RetryRequest(reset_redrives=True), an_operator())
    drain(aws.sqs(), WORK)
    assert consume_all(delivery(1)) == ["RETRYING"]
    group.execution().run()
    assert row(1)["status"] == "DEAD"

    attempt = int(seen["attempts_total"])
    assert not transitions.quarantine(message, message.body(), NOTHING, OSError(), attempt)
    assert row(1)["status"] == "DEAD"


def test_superseded_try_has_no_effect_and_leaves_no_trace(group):
    group.failing.add(1)
    group.deliver(1)
    before = row(1)
    group.failing.clear()

    with pytest.raises(retry.Superseded):
        retry.process(ID, GROUP, int(before["attempts_total"]) + 1)

    assert (group.effects, row(1)) == ([], before)

"""What a dead letter does to its group's fence, and how a person gives one up."""

from dataclasses import replace

import pytest

from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ENVIRONMENT
from tests.support.fenced_group import (
    GROUP,
    change,
    consume_all,
    delivery,
    fail,
    fence_of,
    generations,
    row,
)
from tests.support.messages import an_operator
from workflows.ledger import claims, lookup, transitions
from workflows.messages import message_types
from workflows.operator import discard
from workflows.operator.discard import DiscardRequest
from workflows.runtime.settings import settings

LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
WHY = DiscardRequest(reason="the customer left")


@pytest.fixture(autouse=True)
def cloud_of_the_consumer(tables, queues, machines):
    return None


# Dead letters


def rejected():
    return delivery(1, kind="debit", amount="99")


@pytest.fixture
def going_on(monkeypatch):
    """Set `OnDeadLetter` to `continue`."""
    monkeypatch.setenv("ON_DEAD_LETTER", "continue")
    settings.cache_clear()


def test_invalid_message_holds_nothing_when_the_group_goes_on(going_on):
    assert consume_all(rejected(), delivery(2)) == ["DEAD", "PROCESSED"]
    assert fence_of() is None


def test_redrive_limit_holds_the_group_unless_it_goes_on(monkeypatch):
    consume_all(rejected(), delivery(2))
    change(1, redrives=settings().max_redrives)

    assert consume_all(rejected()) == ["EXHAUSTED"]
    assert (row(1)["status"], fence_of().holder, generations()) == ("QUARANTINED", f"{GROUP}-1", [])


def quarantined_by_a_run():
    """Let a worker die between dead letter and fence, and a run meet the dead letter at once."""
    claims.claim(rejected().message)
    reason = {"type": "TransactionRejected", "message": "It is not covered."}
    change(1, status="QUARANTINED", trouble="QUARANTINED", body=rejected().body, reason=reason)


def test_message_that_a_run_quarantined_before_its_fence_was_raised_holds_its_group():
    quarantined_by_a_run()

    again = replace(rejected(), receive_count=2)
    assert consume_all(again, delivery(2)) == ["KEPT", "PARKED"]
    assert fence_of().holder == f"{GROUP}-1"


def test_quarantined_message_that_comes_again_holds_nothing_when_the_group_goes_on(going_on):
    quarantined_by_a_run()

    again = replace(rejected(), receive_count=2)
    assert consume_all(again, delivery(2)) == ["KEPT", "PROCESSED"]
    assert fence_of() is None


@pytest.mark.parametrize("moves", [1, LIMIT])
def test_native_redrive_of_what_crashing_workers_left_counts_too(monkeypatch, later, moves):
    """SQS dead-letters it without a word, and brings it back under a new id."""

    def die(_):
        raise WorkerDied

    with monkeypatch.context() as patch:
        patch.setattr(message_types, "process", die)
        for move in range(moves + 1):
            for receive_count in (1, 2, 3):
                later(LEASE + 1)
                came = delivery(1, receive_count=receive_count)
                with pytest.raises(WorkerDied):
                    consume_all(replace(came, sqs_message_id=f"sqs-{move}"))
            assert (row(1)["status"], row(1)["redrives"]) == ("PROCESSING", move)
    later(LEASE + 1)

    outcome = consume_all(replace(delivery(1), sqs_message_id="sqs-again"))
    if moves < LIMIT:
        assert (outcome, row(1)["redrives"], fence_of()) == (["PROCESSED"], moves + 1, None)
    else:
        assert (outcome, row(1)["redrives"]) == (["EXHAUSTED"], LIMIT)
        assert (row(1)["status"], row(1)["body"]) == ("QUARANTINED", delivery(1).body)
        assert fence_of().holder == f"{GROUP}-1"


def test_crashing_message_that_sqs_delivers_again_was_not_redriven(later):
    claims.claim(delivery(1).message, "sqs-1")
    later(LEASE + 1)

    assert consume_all(replace(delivery(1, receive_count=2), sqs_message_id="sqs-1")) == [
        "PROCESSED"
    ]
    assert row(1)["redrives"] == 0


# Discarding


def dead():
    fail()
    change(1, status="DEAD")


def test_discarded_holder_with_nothing_behind_it_takes_its_fence_along():
    dead()

    discard.discard(f"{GROUP}-1", WHY, an_operator())
    assert fence_of() is None


def test_discarding_twice_changes_nothing_and_mends_a_crash(calls):
    dead()
    calls.error_at = "after TransactWriteItems"
    with pytest.raises(WorkerDied):
        discard.discard(f"{GROUP}-1", WHY, an_operator())
    assert fence_of()
    first = row(1)["discarded"]

    again = discard.discard(
        f"{GROUP}-1", DiscardRequest(reason="other"), an_operator(email="x@example.com")
    )
    assert (again["discarded"], fence_of()) == (first, None)


@pytest.mark.parametrize("value", ["PROCESSED", "PARKED", "RETRYING", "REDRIVEN", "PROCESSING"])
def test_message_that_is_not_in_trouble_cannot_be_discarded(value):
    fail()
    change(1, status=value)

    with pytest.raises(transitions.NotInTrouble, match=f"{GROUP}-1 is {value}"):
        discard.discard(f"{GROUP}-1", WHY, an_operator())
    assert fence_of()


def test_discarding_another_than_the_holder_leaves_the_fence():
    dead()
    consume_all(delivery(2))
    change(2, status="DEAD")

    discard.discard(f"{GROUP}-2", WHY, an_operator())
    assert (fence_of().holder, fence_of().generation) == (f"{GROUP}-1", 1)


def test_unknown_message_cannot_be_discarded():
    with pytest.raises(lookup.MessageNotFound, match="none"):
        discard.discard("none", WHY, an_operator())

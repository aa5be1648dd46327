"""The fence's rules, one by one, in process: who raises, parks, takes over and removes it."""

from dataclasses import replace

import pytest

from tests.support.accounts import freeze
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
    message,
    row,
)
from tests.support.messages import an_operator
from workflows.consume import Batch, MessageBusy
from workflows.groups import fence, view
from workflows.groups.fence import FenceTaken
from workflows.ledger import claims
from workflows.messages import message_types
from workflows.messages.carried import NOTHING
from workflows.messages.transaction import AccountFrozen
from workflows.operator import discard
from workflows.operator.discard import DiscardRequest
from workflows.runtime.settings import settings

LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
WHY = DiscardRequest(reason="the customer left")
ERROR = AccountFrozen("Account acc-1 is frozen.")

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines")


def parked():
    return view.show(GROUP).parked_message_ids


# Raising


def test_failed_message_fences_its_group():
    fail()

    fenced = fence_of()
    assert (fenced.holder, fenced.generation) == (f"{GROUP}-1", 1)
    assert (fenced.parked, fenced.drained) == (0, 0)
    assert fenced.execution_arn == row(1)["execution_arns"][-1]
    assert generations() == ["0-g1"]


def test_healthy_messages_cost_one_read_of_the_fence(calls):
    assert consume_all(delivery(1), delivery(2)) == ["PROCESSED", "PROCESSED"]

    effect = ["before GetItem", "before TransactWriteItems"]  # of the built-in type
    once_a_message = ["before UpdateItem", *effect, "before UpdateItem"]
    assert [end for end in calls.ends if end.startswith("before")] == [
        "before BatchGetItem",
        *once_a_message * 2,
    ]
    assert fence_of() is None


def test_fence_of_another_message_is_not_taken():
    fence.raise_ahead(message(1))

    with pytest.raises(FenceTaken):
        fence.raise_ahead(message(2))
    claim = claims.claim(message(2))
    with pytest.raises(FenceTaken):
        fence.retrying(message(2), "{}", NOTHING, claim, ERROR, None)
    assert (fence_of().holder, row(2)["status"]) == (f"{GROUP}-1", "PROCESSING")


# Parking


def test_later_messages_of_a_fenced_group_are_parked_in_order_and_others_pass():
    freeze()
    outcomes = consume_all(
        delivery(1), delivery(2), delivery(1, "acc-2"), delivery(3), delivery(2, "acc-2")
    )

    assert outcomes == ["RETRYING", "PARKED", "PROCESSED", "PARKED", "PROCESSED"]
    assert parked() == [f"{GROUP}-2", f"{GROUP}-3"]
    assert row(2)["attempts"] == 0
    assert (fence_of().parked, fence_of().drained, fence_of("acc-2")) == (2, 0, None)


def statuses(*numbers):
    return [row(number)["status"] for number in numbers]


def test_messages_that_wait_are_parked_in_one_transaction(calls):
    fail()
    before = len(calls.ends)
    assert consume_all(delivery(2), delivery(1, "acc-2"), delivery(3), delivery(4))[-1] == "PARKED"

    made = [end for end in calls.ends[before:] if end == "before TransactWriteItems"]
    assert len(made) == 2  # the other is the effect of the other group's
    assert (fence_of().parked, statuses(2, 3, 4)) == (3, ["PARKED"] * 3)
    assert [row(number)["attempts"] for number in (2, 3, 4)] == [0, 0, 0]
    assert parked() == [f"{GROUP}-{number}" for number in (2, 3, 4)]


def test_holder_that_comes_behind_those_that_wait_for_it_passes():
    fail(3)
    change(3, status="REDRIVEN", redrives=1)
    outcomes = consume_all(delivery(2), delivery(3), delivery(4))

    assert outcomes == ["PARKED", "PROCESSED", "PARKED"]
    assert parked() == [f"{GROUP}-2", f"{GROUP}-4"]  # which the machine drains


@pytest.mark.parametrize("body", ["hello", ""])
def test_message_that_is_not_ours_ends_what_is_parked_at_once(body):
    fail()
    foreign = replace(delivery(3), body=body)

    assert consume_all(delivery(2), foreign, delivery(4)) == ["PARKED", "DEAD", "PARKED"]
    assert (fence_of().parked, statuses(2, 4)) == (2, ["PARKED"] * 2)


def test_message_in_other_hands_keeps_none_before_it_from_being_parked():
    fail()
    claims.claim(message(3), "another copy")
    batch = Batch([delivery(number) for number in (2, 3, 4)])

    assert batch.consume(delivery(2)) == "PARKED"
    with pytest.raises(MessageBusy):
        batch.consume(delivery(3))
    assert fence_of().parked == 1


def test_message_that_is_taken_before_it_is_parked_keeps_the_others_from_nothing(monkeypatch):
    fail()
    park = fence.park

    def taken_meanwhile(group_id, claimed):
        if len(claimed) > 1:
            change(3, attempts_total=row(3)["attempts_total"] + 1)
        return park(group_id, claimed)

    monkeypatch.setattr(fence, "park", taken_meanwhile)
    batch = Batch([delivery(number) for number in (2, 3, 4)])

    assert batch.consume(delivery(2)) == "PARKED"
    with pytest.raises(FenceTaken):
        batch.consume(delivery(3))
    assert (fence_of().parked, statuses(2, 3)) == (1, ["PARKED", "PROCESSING"])


def test_call_that_fails_for_a_later_message_is_told_at_its_own_turn(monkeypatch):
    fail()
    claim = claims.claim

    def cannot(waiting, *args):
        if waiting.message_id == f"{GROUP}-3":
            raise ConnectionError
        return claim(waiting, *args)

    monkeypatch.setattr(claims, "claim", cannot)
    batch = Batch([delivery(number) for number in (2, 3, 4)])

    assert batch.consume(delivery(2)) == "PARKED"
    with pytest.raises(ConnectionError):
        batch.consume(delivery(3))
    assert fence_of().parked == 1


def test_parked_messages_stand_in_the_order_of_their_sequence_numbers():
    fail()
    for number in (9, 10, 100):
        assert consume_all(delivery(number)) == ["PARKED"]

    assert parked() == [f"{GROUP}-{number}" for number in (9, 10, 100)]


def test_parked_message_that_comes_again_is_counted_once():
    fail()

    assert consume_all(delivery(2), delivery(2)) == ["PARKED", "KEPT"]
    assert consume_all(delivery(2, receive_count=2)) == ["KEPT"]
    assert (fence_of().parked, parked()) == (1, [f"{GROUP}-2"])


def test_message_that_finds_the_fence_gone_is_processed():
    fail()
    batch = Batch([delivery(2), delivery(3)])
    change(1, status="PROCESSED")
    fence.release(fence_of(), 0)

    assert [batch.consume(delivery(number)) for number in (2, 3)] == ["PROCESSED", "PROCESSED"]
    assert fence_of() is None


# The second delivery


def test_second_delivery_is_fenced_before_any_is_tried_again(monkeypatch):
    def die(*_):
        raise WorkerDied

    monkeypatch.setattr(message_types, "process", die)
    deliveries = [delivery(number, receive_count=2) for number in (1, 2, 3)]
    with pytest.raises(WorkerDied):
        consume_all(*deliveries)

    assert (fence_of().holder, fence_of().generation) == (f"{GROUP}-1", 0)
    assert parked() == [f"{GROUP}-2", f"{GROUP}-3"]
    assert [row(number)["status"] for number in (1, 2, 3)] == ["PROCESSING", "PARKED", "PARKED"]


def test_second_delivery_of_healthy_messages_leaves_no_fence_and_drains():
    outcomes = consume_all(*(delivery(number, receive_count=2) for number in (1, 2)))

    assert outcomes == ["PROCESSED", "KEPT"]
    assert generations() == ["0-g1"]  # which drains the parked one
    assert consume_all(delivery(1, "acc-2", receive_count=2)) == ["PROCESSED"]
    assert fence_of("acc-2") is None


def test_second_delivery_of_a_processed_message_fences_nothing():
    consume_all(delivery(1))

    outcomes = consume_all(delivery(1, receive_count=2), delivery(2, receive_count=2))
    assert outcomes == ["SETTLED", "PROCESSED"]
    assert fence_of() is None


def test_second_delivery_while_another_worker_holds_the_message_waits():
    claims.claim(message(1))

    with pytest.raises(MessageBusy):
        consume_all(delivery(1, receive_count=2), delivery(2, receive_count=2))
    assert fence_of().holder == f"{GROUP}-1"
    assert parked() == [f"{GROUP}-2"]


# The holder


def test_holder_passes_its_own_fence_and_the_group_is_drained():
    fail()
    consume_all(delivery(2))
    change(1, status="REDRIVEN")

    assert consume_all(delivery(3), delivery(1)) == ["PARKED", "PROCESSED"]
    assert (fence_of().holder, fence_of().generation) == (f"{GROUP}-1", 2)
    assert generations() == ["0-g1", "0-g2"]


def test_holder_with_nothing_behind_it_removes_its_fence():
    fail()
    change(1, status="REDRIVEN")

    assert consume_all(delivery(1), delivery(2)) == ["PROCESSED", "PROCESSED"]
    assert (fence_of(), generations()) == (None, ["0-g1"])


def test_holder_that_fails_again_keeps_its_fence_under_a_new_generation():
    fail()
    change(1, status="REDRIVEN")
    freeze()

    assert consume_all(delivery(1), delivery(2)) == ["RETRYING", "PARKED"]
    assert (fence_of().generation, generations()) == (2, ["0-g1", "0-g2"])


@pytest.mark.parametrize("copies", [1, 3])
def test_copy_of_a_processed_holder_lets_the_group_go_on(copies):
    fail()
    consume_all(delivery(2))
    change(1, status="PROCESSED")

    for _ in range(copies):
        assert consume_all(delivery(1)) == ["SETTLED"]
    assert fence_of().generation == 1 + copies
    assert parked() == [f"{GROUP}-2"]


def test_stale_owner_changes_nothing():
    fail()
    stale = fence_of()
    assert fence.resume(stale, 0)

    assert not fence.resume(stale, 0)
    fence.release(stale, 0)
    assert (fence_of().generation, generations()) == (2, ["0-g1", "0-g2"])


def test_fence_with_something_parked_is_not_removed():
    fail()
    fenced = fence_of()
    consume_all(delivery(2))

    fence.release(fenced, 0)
    assert (fence_of().parked, fence_of().generation) == (1, 2)


def test_group_that_cannot_be_fenced_waits_and_the_others_go_on(monkeypatch):
    def broken(_):
        raise OSError("no answer")

    monkeypatch.setattr(fence, "raise_ahead", broken)
    first, second = delivery(1, receive_count=2), delivery(2, receive_count=2)
    batch = Batch([first, second, delivery(1, "other")])

    for failing in (first, second):
        with pytest.raises(OSError, match="no answer"):
            batch.consume(failing)
    assert batch.consume(delivery(1, "other")) == "PROCESSED"


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

    def die(*_):
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


# Discarding


def dead():
    fail()
    change(1, status="DEAD")


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


def test_discarding_another_than_the_holder_leaves_the_fence():
    dead()
    consume_all(delivery(2))
    change(2, status="DEAD")

    discard.discard(f"{GROUP}-2", WHY, an_operator())
    assert (fence_of().holder, fence_of().generation) == (f"{GROUP}-1", 1)

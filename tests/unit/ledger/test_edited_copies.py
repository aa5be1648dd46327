"""A message that was edited may have copies from before: the ledger's body is what counts."""

import pytest

from tests.support.accounts import balance
from tests.support.cloud import ENVIRONMENT
from tests.support.fenced_group import fence_of
from tests.support.messages import a_message, a_transaction
from tests.support.troubles import change, row
from workflows.consume import Batch, Delivery, MessageBusy
from workflows.ledger import claims, transitions, writes
from workflows.ledger.claims import Claim, Decision
from workflows.messages.envelope import Message
from workflows.runtime import clock

pytestmark = pytest.mark.usefixtures("dead_letters", "recursion_limit")

LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
OLD = a_message()
NEW = a_message(payload=a_transaction(amount="25"))
REJECTED = a_message(payload=a_transaction(kind="debit", amount="25"))
STRANGER = a_message(payload=a_transaction(amount="99"))


def edit(new=NEW, **columns):
    """Change the message's body and payload as an operator's edit does; its row may be anywhere."""
    before = row()
    change(
        **{
            "body": new.body(),
            "payload_hash": new.payload_hash,
            "superseded_hashes": [*before.get("superseded_hashes", []), before["payload_hash"]],
            "redrive_limit": before["redrives"] + LIMIT,
        }
        | columns
    )


def edited(status="DEAD", new=NEW, **columns):
    transitions.accept(OLD)
    edit(new, status=status, **columns)


def deliver(message: Message, sqs_id="sqs-1"):
    one = Delivery(message.body(), "acc-1", sqs_id, "1", 1)
    return Batch([one]).consume(one)


@pytest.mark.parametrize("status", ["DEAD", "REDRIVEN", "PROCESSING"])
def test_claim_of_a_superseded_copy_gives_the_ledger_s_body(status):
    edited(status, sqs_message_id="sqs-1")

    claim = claims.claim(OLD, "sqs-1")

    assert (claim.decision, claim.body) == (Decision.PROCESS, NEW.body())
    assert row()["status"] == "PROCESSING"
    assert claims.claim(OLD, "sqs-1").decision is Decision.BUSY


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        ("PROCESSED", Decision.SETTLED),
        ("DISCARDED", Decision.SETTLED),
        ("QUARANTINED", Decision.KEPT),
        ("PARKED", Decision.KEPT),
        ("RETRYING", Decision.RETRYING),
    ],
)
def test_superseded_copy_that_needs_no_worker_is_answered_by_the_status(status, decision):
    edited(status)
    before = row()

    assert claims.claim(OLD).decision is decision
    assert row() == before


@pytest.mark.parametrize("status", ["DEAD", "REDRIVEN", "PROCESSED", "QUARANTINED"])
def test_payload_that_the_message_never_had_is_a_conflict_as_ever(status):
    edited(status)
    before = row()

    assert claims.claim(STRANGER).decision is Decision.CONFLICT
    assert not claims.holds_group(STRANGER)
    assert row() == before


@pytest.mark.parametrize(("status", "may"), [("DEAD", True), ("REDRIVEN", True), ("PARKED", False)])
def test_superseded_copy_may_be_tried_by_the_status(status, may):
    edited(status)

    assert claims.holds_group(OLD) == claims.holds_group(NEW) == may


def test_copy_from_after_the_edit_is_its_own_body():
    edited("REDRIVEN")

    assert claims.claim(NEW) == Claim(Decision.PROCESS, 0, attempt=1)


def test_edit_back_to_the_first_payload_makes_the_first_copy_a_good_one():
    edited()
    edit(OLD)

    assert claims.claim(OLD).body is None


@pytest.mark.parametrize("copies", [(OLD, NEW), (NEW, OLD)])
def test_both_copies_of_a_redriven_message_have_one_effect_the_edited_one(copies):
    edited("REDRIVEN")

    assert [deliver(copy) for copy in copies] == ["PROCESSED", "SETTLED"]
    assert balance() == 25


def test_edited_message_that_dies_again_is_dead_lettered_as_edited(dead_letters):
    edited(new=REJECTED)

    assert deliver(OLD) == "DEAD"

    assert [letter["Body"] for letter in dead_letters()] == [REJECTED.body()]
    assert (row()["status"], row()["body"]) == ("DEAD", REJECTED.body())
    assert row()["payload_hash"] == REJECTED.payload_hash


def test_quarantine_of_a_superseded_copy_keeps_the_edited_body():
    edited(redrives=LIMIT, redrive_limit=LIMIT)

    assert deliver(OLD) == "EXHAUSTED"
    assert (row()["status"], row()["body"]) == ("QUARANTINED", NEW.body())


@pytest.mark.parametrize(
    ("columns", "decision"),
    [
        ({"redrives": LIMIT}, Decision.EXHAUSTED),
        ({"redrives": LIMIT, "redrive_limit": LIMIT + 1}, Decision.PROCESS),
        ({"redrives": LIMIT + 1, "redrive_limit": LIMIT + 1}, Decision.EXHAUSTED),
        ({"redrives": 1, "redrive_limit": 1}, Decision.EXHAUSTED),
        ({"redrives": LIMIT - 1}, Decision.PROCESS),
    ],
)
def test_native_redrive_obeys_the_row_s_limit_or_else_the_parameter(columns, decision):
    transitions.accept(OLD)
    change(status="DEAD", **columns)

    assert claims.claim(OLD).decision is decision


def changed_before(monkeypatch, write, **columns):
    """Have the row change just before the `write`-th write of the ledger."""
    update, seen = writes.update, []

    def raced(message_id, *arguments, **names):
        seen.append(message_id)
        if len(seen) == write:
            edit(**columns)
        return update(message_id, *arguments, **names)

    monkeypatch.setattr(writes, "update", raced)


def test_edit_between_look_and_claim_is_not_overlooked(monkeypatch):
    transitions.accept(OLD)
    change(status="DEAD")
    changed_before(monkeypatch, 2)

    with pytest.raises(MessageBusy):
        deliver(OLD)
    assert (row()["status"], balance()) == ("DEAD", 0)
    assert deliver(OLD) == "PROCESSED"
    assert balance() == 25


def test_other_redrive_between_look_and_claim_is_no_reason_for_quarantine(monkeypatch):
    transitions.accept(OLD)
    change(status="DEAD")
    changed_before(monkeypatch, 2, new=OLD, redrives=1)

    assert claims.claim(OLD) == Claim(Decision.BUSY, 1)


def test_edit_between_claim_and_quarantine_gives_the_message_its_new_chance(monkeypatch):
    transitions.accept(OLD)
    change(status="DEAD", redrives=LIMIT, body=OLD.body())
    changed_before(monkeypatch, 3)

    with pytest.raises(MessageBusy):
        deliver(OLD)
    assert (row()["status"], row()["body"]) == ("DEAD", NEW.body())
    assert deliver(OLD) == "PROCESSED"


@pytest.mark.parametrize("status", ["REDRIVEN", "PROCESSING"])
def test_claim_ends_the_sending_of_a_retry_by_hand(status):
    transitions.accept(OLD)
    change(status=status, trouble="SENDING", updated_at=clock.now(), redriven_by="run-1")

    assert claims.claim(OLD).decision is Decision.PROCESS
    assert "trouble" not in row()
    assert row()["redriven_by"] == "run-1"  # it still is that run's


def test_claim_that_is_refused_leaves_the_sending_to_whom_it_belongs():
    transitions.accept(OLD)
    change(status="REDRIVEN", trouble="SENDING", updated_at=clock.now())

    assert claims.claim(STRANGER).decision is Decision.CONFLICT
    assert row()["trouble"] == "SENDING"


def test_held_group_of_an_edited_message_goes_on_once_it_is_processed():
    transitions.accept(REJECTED)
    one = Delivery(REJECTED.body(), "acc-1", "sqs-1", "1", 1)
    assert Batch([one]).consume(one) == "DEAD"
    assert fence_of().holder == "m-1"
    edit(NEW)

    assert deliver(REJECTED, "sqs-2") == "PROCESSED"
    assert (fence_of(), balance()) == (None, 25)

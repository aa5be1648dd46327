"""Claims: who may process a message of each status, for how long, and what its group waits for."""

import pytest

from tests.support.at_status import BODY, ERROR, MESSAGE, OTHER, STATUSES, attempt, fall_into, put
from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message
from tests.support.troubles import row
from workflows.ledger import claims, transitions
from workflows.ledger.claims import Decision
from workflows.ledger.lookup import MessageNotFound
from workflows.messages.carried import NOTHING
from workflows.runtime import clock

LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
CLAIMS = {
    "ACCEPTED": Decision.PROCESS, "QUEUED": Decision.PROCESS, "REDRIVEN": Decision.PROCESS,
    "PROCESSING": Decision.PROCESS, "DEAD": Decision.PROCESS, "PROCESSED": Decision.SETTLED,
    "DISCARDED": Decision.SETTLED, "QUARANTINED": Decision.KEPT, "PARKED": Decision.KEPT,
    "RETRYING": Decision.RETRYING,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("tables")


@pytest.mark.parametrize("status", STATUSES)
def test_claim_follows_the_status(status):
    put(status)

    claim = claims.claim(MESSAGE)

    assert claim.decision is CLAIMS[status]
    assert claim.redrives == (1 if status == "DEAD" else 0)


@pytest.mark.parametrize("status", STATUSES)
def test_claim_of_another_message_under_the_id_is_a_conflict(status):
    put(status)
    before = row()

    assert claims.claim(OTHER).decision is Decision.CONFLICT
    assert row() == before


def test_claim_makes_the_row_of_a_message_that_came_without_the_api():
    assert claims.claim(MESSAGE) == claims.Claim(Decision.PROCESS, 0, attempt=1)

    found = row()
    assert (found["status"], found["attempts"], found["redrives"]) == ("PROCESSING", 1, 0)
    assert found["execution_arns"] == found["journey"] == []
    assert found["payload_hash"] == MESSAGE.payload_hash


def test_claim_keeps_who_sent_the_message_first():
    transitions.accept(MESSAGE)
    claims.claim(a_message(submitted_by="o@example.com", trace_id="trace-2"))

    assert (row()["submitted_by"], row()["trace_id"]) == ("p@example.com", "trace-1")


def test_lease_ends_at_its_second(monkeypatch):
    monkeypatch.setattr(clock, "epoch", lambda: 1_000)
    claims.claim(MESSAGE)
    monkeypatch.setattr(clock, "epoch", lambda: 1_000 + LEASE - 1)
    assert claims.claim(MESSAGE).decision is Decision.BUSY
    monkeypatch.setattr(clock, "epoch", lambda: 1_000 + LEASE)
    assert claims.claim(MESSAGE).decision is Decision.PROCESS


def test_new_claim_renews_the_lease(later):
    claims.claim(MESSAGE)
    later(LEASE + 1)
    claims.claim(MESSAGE)

    later(LEASE - 2)
    assert claims.claim(MESSAGE).decision is Decision.BUSY


def test_claim_of_a_redriven_message_says_how_often_it_came_back():
    put("REDRIVEN", redrives=2)

    assert claims.claim(MESSAGE) == claims.Claim(Decision.PROCESS, 2, attempt=1)


def test_native_redrive_counts_against_the_limit_and_is_exhausted_at_it():
    put("DEAD", redrives=2, attempts=5, attempts_total=12)

    assert claims.claim(MESSAGE) == claims.Claim(Decision.PROCESS, 3, attempt=13)
    assert (row()["redrives"], row()["attempts"], row()["attempts_total"]) == (3, 1, 13)
    assert "trouble" not in row()

    fall_into("DEAD")
    assert claims.claim(MESSAGE) == claims.Claim(Decision.EXHAUSTED, 3, attempt=13)
    assert row()["status"] == "DEAD"


def test_native_redrive_is_leased_like_any_claim():
    put("DEAD")
    claims.claim(MESSAGE)

    assert claims.claim(MESSAGE).decision is Decision.BUSY
    assert row()["redrives"] == 1


def test_message_that_sqs_delivers_again_was_not_redriven(later):
    claims.claim(MESSAGE, "sqs-1")
    later(LEASE + 1)

    assert claims.claim(MESSAGE, "sqs-1") == claims.Claim(Decision.PROCESS, 0, attempt=2)
    assert row()["attempts"] == 2


def test_message_of_a_dead_worker_that_comes_under_another_sqs_id_was_redriven(later):
    claims.claim(MESSAGE, "sqs-1")

    assert claims.claim(MESSAGE, "sqs-2").decision is Decision.BUSY
    later(LEASE + 1)
    assert claims.claim(MESSAGE, "sqs-2") == claims.Claim(Decision.PROCESS, 1, attempt=2)
    assert (row()["attempts"], row()["sqs_message_id"]) == (1, "sqs-2")
    assert claims.claim(MESSAGE, "sqs-3").decision is Decision.BUSY


@pytest.mark.parametrize("status", ["ACCEPTED", "QUEUED", "REDRIVEN"])
def test_message_that_waits_for_a_worker_may_have_any_sqs_id(status):
    put(status, sqs_message_id="sqs-1")

    assert claims.claim(MESSAGE, "sqs-2") == claims.Claim(Decision.PROCESS, 0, attempt=1)


def test_message_of_dead_workers_is_exhausted_at_the_limit_and_can_be_quarantined(later):
    put("REDRIVEN", redrives=3)
    claims.claim(MESSAGE, "sqs-1")
    later(LEASE + 1)

    assert claims.claim(MESSAGE, "sqs-2") == claims.Claim(Decision.EXHAUSTED, 3, attempt=1)
    assert transitions.quarantine(MESSAGE, BODY, NOTHING, ERROR, attempt())
    assert (row()["status"], row()["body"]) == ("QUARANTINED", BODY)


def test_message_in_a_living_worker_s_hands_is_not_quarantined():
    claims.claim(MESSAGE)
    before = row()

    assert not transitions.quarantine(MESSAGE, BODY, NOTHING, ERROR, attempt())
    assert row() == before


@pytest.mark.parametrize("status", STATUSES)
def test_group_waits_for_what_may_be_tried_or_lies_in_quarantine_and_nothing_is_claimed(status):
    put(status)
    before = row()

    waited_for = CLAIMS[status] is Decision.PROCESS or status == "QUARANTINED"
    assert claims.holds_group(MESSAGE) == waited_for
    assert not claims.holds_group(OTHER)
    assert row() == before


def test_message_without_a_row_may_be_tried_and_gets_none():
    assert claims.holds_group(MESSAGE)
    with pytest.raises(MessageNotFound):
        row()


def test_waiting_for_a_message_asks_for_the_status_and_not_for_the_lease():
    claims.claim(MESSAGE)

    assert claims.holds_group(MESSAGE)

"""Envelopes that a sender puts on the work queue itself: what `docs/envelope.md` says of them."""

import pytest

from tests.support.accounts import balance, freeze
from tests.support.cloud import ENVIRONMENT
from tests.support.fenced_group import consume_all, fence_of
from tests.support.messages import a_message, a_transaction
from tests.support.troubles import change, row
from workflows.consume import Delivery
from workflows.ledger import lookup
from workflows.ledger.lookup import MessageNotFound
from workflows.messages.filters import Filter
from workflows.queues.queue import default
from workflows.redrive.judge import Judge
from workflows.redrive.verdict import DeadLetter
from workflows.runtime import clock
from workflows.send import SendRequest, send

pytestmark = pytest.mark.usefixtures("dead_letters")

NOW = clock.now()
MINE = {"trace_id": "theirs", "submitted_by": "a batch job", "first_sent_at": NOW.removesuffix("Z")}


def an_envelope(**changes):
    return a_message(**MINE | changes)


def put(message, sqs_id="0000-sqs"):
    """Let the consumer have a message as SQS delivers it; nobody has recorded it before."""
    (outcome,) = consume_all(Delivery(message.body(), message.group_id, sqs_id, "1", 1))
    return outcome


def judged(message, sqs_id="1111-sqs"):
    """Return what a run makes of a message on the dead-letter queue: the verdict, and why."""
    letter: DeadLetter = {
        "MessageId": sqs_id,
        "Body": message.body(),
        "Attributes": {"MessageGroupId": message.group_id},
    }
    (verdict,) = Judge("run-1", Filter(), default()).judge([letter])
    return verdict["verdict"], verdict["reason"]["type"], verdict["ledger_id"]


def test_it_is_processed_once_and_has_a_row_from_then_on():
    message = an_envelope()
    with pytest.raises(MessageNotFound):
        lookup.get("m-1")

    assert [put(message), put(message, "2222-sqs")] == ["PROCESSED", "SETTLED"]

    assert balance() == 10
    found = row()
    assert (found["status"], found["submitted_by"]) == ("PROCESSED", "a batch job")
    assert (found["trace_id"], found["first_sent_at"]) == ("theirs", NOW)
    assert found["journey"] == []  # nobody saw it sent


def test_it_is_the_same_message_as_one_that_is_sent_under_its_id():
    put(an_envelope())
    request = SendRequest(type="transaction", payload=a_transaction(), message_id="m-1")

    sent = send(request, "p@example.com", "trace-1")

    assert (sent.status, sent.duplicate) == ("PROCESSED", True)


def test_another_message_under_a_known_id_is_kept_under_sqs_s():
    put(an_envelope())
    other = an_envelope(payload=a_transaction(amount="99"))

    assert put(other, "2222-sqs") == "CONFLICT"

    assert balance() == 10
    assert judged(other) == ("quarantine", "MessageConflict", "sqs:1111-sqs")


def test_it_waits_for_its_group_and_its_group_for_it():
    freeze()

    assert put(an_envelope()) == "RETRYING"
    assert put(an_envelope(message_id="m-2"), "2222-sqs") == "PARKED"

    assert fence_of().holder == "m-1"
    assert row("m-2")["status"] == "PARKED"


def test_it_is_redriven_like_any_and_no_more_often():
    message = an_envelope(payload=a_transaction(kind="debit"))

    assert put(message) == "DEAD"

    assert judged(message) == ("redrive", "TransactionRejected", "m-1")
    change(redrives=int(ENVIRONMENT["MAX_REDRIVES"]))
    assert judged(message) == ("quarantine", "RedriveLimitReached", "m-1")


def test_its_age_counts_from_when_it_says_that_it_was_sent():
    message = an_envelope(payload=a_transaction(kind="debit"), first_sent_at="2026-01-01T00:00:00Z")
    put(message)

    assert judged(message) == ("quarantine", "TooOld", "m-1")


def test_one_that_no_worker_claimed_is_quarantined_and_not_redriven():
    """Put on the dead-letter queue, or moved there before its first claim: nothing guards it."""
    assert judged(an_envelope()) == ("quarantine", "UnknownMessage", "m-1")

"""What a run learns of dead letters that nobody noted, and what it does with edited or old ones."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.redrive_runs import (
    all_visible,
    counters,
    ledger,
    on_dlq,
    quarantine_of,
    redrive,
    sent,
)
from tests.support.stack_fixtures import (
    dead_letter,
    put_on_dlq,
    queued,
    record,
    row,
    run_machine,
    transaction,
)
from workflows.runtime import clock

pytestmark = [
    pytest.mark.xdist_group("redrive options"),
    pytest.mark.usefixtures("empty_queues"),
]
LISTING = {
    "trouble", "group_id", "type", "reason", "attempts", "redrives",
    "first_sent_at", "dead_at", "updated_at", "body", "journey",
}  # fmt: skip


def sent_at(letter):
    moment = datetime.fromtimestamp(int(letter["Attributes"]["SentTimestamp"]) / 1_000, UTC)
    return clock.text(moment)


def leave_all(stack):
    return run_machine(stack, "redrive", {"request": {"filter": {"group_id": "none"}}})


def events_of(found):
    return [(entry["event"], entry.get("reason_type")) for entry in found["journey"]]


def lease_over():
    return {"lease_until": clock.epoch() - 1}


@pytest.mark.parametrize(
    ("status", "columns"), [("ACCEPTED", {}), ("QUEUED", {}), ("PROCESSING", lease_over())]
)
def test_crashed_consumer_s_message_that_is_left_out_is_noted_as_dead(stack, status, columns):
    message = transaction()
    record(stack, message, status, **columns)
    put_on_dlq(stack, message.body(), message.group_id)
    (letter,) = queued(stack, "DeadLetter")

    run = leave_all(stack)

    assert counters(stack, run) == {"left": 1}
    now = ledger(stack, message)
    assert now.keys() >= LISTING
    assert (now["status"], now["trouble"]) == ("DEAD", "DEAD")
    assert now["reason"]["type"] == "ConsumerCrashed"
    assert now["body"] == message.body()
    assert now["dead_at"] == sent_at(letter)
    assert "expires_at" not in now
    assert events_of(now) == [("dead", "ConsumerCrashed")]
    assert now["journey"][0]["run_id"] == run.name
    leave_all(stack)
    assert ledger(stack, message) == now  # once is enough


def test_crashed_consumer_s_message_is_redriven_and_its_journey_tells(stack):
    message = transaction()
    record(stack, message, "PROCESSING", **lease_over())
    put_on_dlq(stack, message.body(), message.group_id)

    run = redrive(stack, 1)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    now = ledger(stack, message)
    assert (now["status"], now["redriven_by"]) == ("REDRIVEN", run.name)
    assert events_of(now) == [("dead", "ConsumerCrashed"), ("redriven", None)]
    assert (now["journey"][1]["run_id"], now["journey"][1]["number"]) == (run.name, 1)


def test_message_that_a_worker_has_just_now_is_left(stack):
    message = transaction()
    record(stack, message, "PROCESSING", lease_until=clock.epoch() + 600)
    put_on_dlq(stack, message.body(), message.group_id)
    before = ledger(stack, message)

    assert counters(stack, redrive(stack, 1)) == {"left": 1}
    assert ledger(stack, message) == before
    assert all_visible(stack)


def test_message_that_a_person_sent_again_is_left(stack):
    message = transaction()
    dead_letter(stack, message, status="REDRIVEN", redrives=1, redrive_mark="#1")
    before = ledger(stack, message)

    assert counters(stack, redrive(stack, 1)) == {"left": 1}
    assert ledger(stack, message) == before


def test_unknown_message_that_a_filter_leaves_out_is_noted_and_quarantined_by_a_run_that_takes_it(
    stack,
):
    message = transaction()
    put_on_dlq(stack, message.body(), message.group_id)

    assert counters(stack, leave_all(stack)) == {"left": 1}

    now = ledger(stack, message)
    assert now.keys() >= LISTING
    assert (now["status"], now["reason"]["type"]) == ("DEAD", "UnknownMessage")
    assert (now["body"], now["redrives"]) == (message.body(), 0)
    assert events_of(now) == [("dead", "UnknownMessage")]
    assert len(on_dlq(stack, message)) == 1
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "quarantined": 1}
    assert quarantine_of(stack, message.message_id) == ("UnknownMessage", message.body())
    assert events_of(ledger(stack, message))[1:] == [("quarantined", "UnknownMessage")]
    assert sent(stack, message) == queued(stack, "DeadLetter") == []


def test_foreign_message_that_a_filter_leaves_out_is_noted_and_quarantined_by_a_run_that_takes_it(
    stack,
):
    key = f"sqs:{put_on_dlq(stack, 'hello', 'nobody')}"

    assert counters(stack, leave_all(stack)) == {"left": 1}

    noted = row(stack, "Messages", key)
    assert noted.keys() >= LISTING
    assert (noted["status"], noted["type"], noted["body"]) == ("DEAD", "foreign", "hello")
    assert events_of(noted) == [("dead", "InvalidEnvelope")]
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "quarantined": 1}
    assert quarantine_of(stack, key) == ("InvalidEnvelope", "hello")


def first_sent(days):
    sent_at = datetime.now(UTC) - timedelta(days=days)
    return transaction(first_sent_at=sent_at.isoformat())


def test_message_too_old_for_its_type_is_quarantined_instead_of_sent(stack):
    old, young = first_sent(14.01), first_sent(13.99)
    for message in (old, young):
        dead_letter(stack, message)

    run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 2, "redriven": 1, "quarantined": 1}
    assert quarantine_of(stack, old.message_id) == ("TooOld", old.body())
    assert ledger(stack, old)["redrives"] == 0
    assert sent(stack, old) == []
    assert len(sent(stack, young)) == 1


def test_edited_message_is_sent_as_the_ledger_has_it(stack):
    message = transaction()
    edited = transaction(
        message_id=message.message_id, account_id=message.payload["account_id"], amount=11.0
    )
    body = edited.body() + " \n"  # the very bytes
    dead_letter(
        stack,
        message,
        body=body,
        payload_hash=edited.payload_hash,
        superseded_hashes=[message.payload_hash],
    )

    run = redrive(stack, 1)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert [m["Body"] for m in queued(stack, "Work")] == [body]
    assert queued(stack, "DeadLetter") == []


def test_edited_message_keeps_its_place_in_its_group(stack):
    account = str(uuid.uuid4())
    messages = [transaction(account_id=account) for _ in range(3)]
    edited = transaction(message_id=messages[1].message_id, account_id=account, amount=11.0)
    for message in messages:
        changes = {
            "body": edited.body(),
            "payload_hash": edited.payload_hash,
            "superseded_hashes": ["0" * 64, message.payload_hash],
        }
        dead_letter(stack, message, **(changes if message is messages[1] else {}))

    redrive(stack, 3)

    assert [m["Body"] for m in queued(stack, "Work")] == [
        messages[0].body(), edited.body(), messages[2].body(),
    ]  # fmt: skip


def test_message_with_a_budget_of_its_own_is_redriven_up_to_it(stack):
    fresh, spent = transaction(), transaction()
    dead_letter(stack, fresh, redrives=5, redrive_limit=6)
    dead_letter(stack, spent, redrives=6, redrive_limit=6)

    run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 2, "redriven": 1, "quarantined": 1}
    assert ledger(stack, fresh)["redrives"] == 6
    assert quarantine_of(stack, spent.message_id)[0] == "RedriveLimitReached"

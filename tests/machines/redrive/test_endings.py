"""The redrive machine by path, through the shipped ASL on the local stack; one test an ending."""

import uuid
from collections import Counter

import pytest

from tests.support.redrive_runs import (
    COUNTERS,
    DONE,
    FINISH,
    HELD,
    JUDGED,
    LOCK,
    LOCKED,
    MAX_REDRIVES,
    NO_MORE,
    NOTHING_GOES,
    QUEUE,
    REFUSED,
    START,
    STORED,
    WAVE,
    audited,
    counters,
    is_visible_again,
    ledger,
    maximum_message_size,
    on_dlq,
    process_all,
    quarantine_of,
    quiet,
    redrive,
    sent,
)
from tests.support.stack_fixtures import (
    balance,
    dead_letter,
    put,
    put_on_dlq,
    queued,
    record,
    row,
    run_machine,
    transaction,
)
from tests.support.verdicts import answer, judged
from workflows.messages.reasons import reason_of
from workflows.messages.transaction import AccountFrozen

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]


# Empty, full and ordered


@pytest.fixture(scope="module")
def empty_runs(stack):
    """Run twice on an empty queue as the console does, the second time while another has the lock.

    Gives both runs, and the lock's row after each.
    """
    quiet(stack)
    first = run_machine(stack, "redrive")
    free = row(stack, "Runs", LOCK)
    put(stack, "Runs", {"run_id": LOCK, "holder": "another", "lease_until": 4_102_444_800})
    second = run_machine(stack, "redrive")
    held = row(stack, "Runs", LOCK)
    return first, second, free, held


def test_empty_queue_is_asked_twice(stack, empty_runs):
    run, *_ = empty_runs

    assert run.states == [*START, *NO_MORE, *FINISH]
    assert counters(stack, run) == {}
    assert run.output == {"run_id": run.name, "status": "SUCCEEDED"} | dict.fromkeys(COUNTERS, 0)
    assert row(stack, "Runs", run.name)["status"] == "SUCCEEDED"


def test_run_from_the_console_needs_no_input(stack, empty_runs):
    run, *_ = empty_runs

    recorded = row(stack, "Runs", run.name)
    assert (recorded["trigger"], recorded["requested_by"]) == ("console", "console")
    assert (recorded["dead_letter_queue"], recorded["execution_arn"]) == (QUEUE, run.arn)
    assert recorded["started_at"] < recorded["finished_at"]


@pytest.mark.parametrize("wrong", ["", 5, None, [], "o" * 255], ids=lambda value: str(value)[:4])
def test_who_asked_for_a_run_is_the_console_if_the_input_does_not_say_it(stack, wrong):
    """An end that the audit's keys cannot hold would leave the run without one."""
    given = dict.fromkeys(("requested_by", "trigger", "trace_id"), wrong)

    run = run_machine(stack, "redrive", {"request": {}} | given)

    assert run.status == "SUCCEEDED"
    recorded = row(stack, "Runs", run.name)
    assert (recorded["status"], recorded["trigger"]) == ("SUCCEEDED", "console")
    assert recorded["requested_by"] == "console"
    (record,) = audited(stack, run.name)
    assert (record["actor"], record["trace_id"]) == ("console", run.name)


def test_run_while_another_is_active_is_skipped(stack, empty_runs):
    _, second, _, held = empty_runs

    assert second.status == "SUCCEEDED"
    assert second.states == [*LOCKED, "SkipRun"]
    assert second.output == {
        "run_id": second.name,
        "status": "SKIPPED",
        "reason": "Another run is active on this dead-letter queue.",
    }
    assert row(stack, "Runs", second.name) == {}
    assert held["holder"] == "another"


def test_finished_run_gives_the_lock_back(empty_runs):
    first, _, free, _ = empty_runs

    assert first.status == "SUCCEEDED"
    assert free == {}


def test_full_batches_are_redriven(stack):
    messages = [transaction() for _ in range(50)]
    for message in messages:
        dead_letter(stack, message)

    run = redrive(stack, 50)

    assert run.states == [*START, *(JUDGED + WAVE) * 5, *DONE]
    assert counters(stack, run) == {"received": 50, "redriven": 50}
    assert queued(stack, "DeadLetter") == []
    for message in messages:
        (copy,) = sent(stack, message)
        assert copy["MessageDeduplicationId"] == f"{message.message_id}.r1"
        now = ledger(stack, message)
        assert (now["status"], now["redrives"], now["attempts"]) == ("REDRIVEN", 1, 0)
        assert now["execution_arns"] == [run.arn]
    # The next turn notes what was sent; what the last one sent waits for its claim.
    troubles = Counter(ledger(stack, message).get("trouble") for message in messages)
    assert troubles == {None: 40, "REDRIVING": 10}


def test_option_that_is_null_is_absent_as_in_the_api(stack):
    dead_letter(stack, transaction())

    run = run_machine(stack, "redrive", {"request": {"max_messages": None, "canary": None}})

    assert counters(stack, run) == {"received": 1, "redriven": 1}


def test_redriven_message_has_its_effect_once(stack):
    message = transaction()
    dead_letter(stack, message)

    redrive(stack, 1)

    process_all(stack, message)
    assert balance(stack, message) == 10


def test_messages_of_a_group_are_sent_in_order_in_waves(stack):
    account = str(uuid.uuid4())
    first, second, third = (transaction(account_id=account) for _ in range(3))
    alone = transaction()
    for message in (first, second, alone, third):
        dead_letter(stack, message)

    run = redrive(stack, 4)

    assert run.states == [*START, *JUDGED, *WAVE, *WAVE, *WAVE, *DONE]
    bodies = [m["Body"] for m in queued(stack, "Work", account)]
    assert bodies == [m.body() for m in (first, second, third)]
    assert queued(stack, "Work")[-2]["Body"] == second.body()  # `alone` went with the first wave
    assert counters(stack, run) == {"received": 4, "redriven": 4}


def test_group_of_more_messages_than_a_batch_keeps_its_order(stack):
    account = str(uuid.uuid4())
    messages = [transaction(account_id=account) for _ in range(12)]
    for message in messages:
        dead_letter(stack, message)

    run = redrive(stack, 12)

    assert run.states == [*START, *JUDGED, *WAVE * 10, *JUDGED, *WAVE * 2, *DONE]
    assert [m["Body"] for m in queued(stack, "Work")] == [m.body() for m in messages]


def test_copies_of_one_message_are_sent_once_by_a_run(stack):
    message = transaction()
    dead_letter(stack, message)
    put_on_dlq(stack, message.body(), message.group_id)  # as SQS's own move would

    run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 1, "redriven": 1, "left": 1}
    assert ledger(stack, message)["redrives"] == 1
    assert len(sent(stack, message)) == 1
    assert is_visible_again(stack, message)
    process_all(stack, message)
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "already_processed": 1}
    assert balance(stack, message) == 10


def test_copies_of_one_foreign_message_are_stored_once_by_a_run(stack):
    message = transaction()  # unknown to the ledger
    put_on_dlq(stack, message.body(), message.group_id)
    put_on_dlq(stack, message.body(), message.group_id)

    run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 1, "quarantined": 1, "left": 1}
    stored = ledger(stack, message)
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "already_processed": 1}
    assert ledger(stack, message) == stored
    assert queued(stack, "DeadLetter") == []


def test_no_more_than_max_messages_are_taken(stack):
    messages = [transaction() for _ in range(12)]
    for message in messages:
        dead_letter(stack, message)

    run = redrive(stack, 11)

    assert counters(stack, run) == {"received": 11, "redriven": 11}
    (last,) = queued(stack, "DeadLetter")
    assert last["Body"] == messages[-1].body()
    assert last["ReceiveCount"] == 0


def test_queue_of_huge_messages_is_redriven_one_at_a_time(stack):
    messages = [transaction() for _ in range(3)]
    for message in messages:
        dead_letter(stack, message)

    with maximum_message_size(stack, "DeadLetter", 262_144):
        run = redrive(stack, 3)

    assert run.states == [*START, *(JUDGED + WAVE) * 3, *DONE]


# Verdicts


def test_mixed_batch_ends_as_each_message_should(stack):
    healthy, exhausted, unknown = transaction(), transaction(), transaction()
    processed, discarded, taken = transaction(), transaction(), transaction()
    twin = transaction(message_id=taken.message_id, amount=99.0)
    wrong = transaction(currency="euro")
    dead_letter(stack, healthy, redrives=MAX_REDRIVES - 1)
    dead_letter(stack, exhausted, redrives=MAX_REDRIVES)
    put_on_dlq(stack, unknown.body(), unknown.group_id)
    dead_letter(stack, processed, status="PROCESSED")
    dead_letter(stack, discarded, status="DISCARDED")
    record(stack, taken, "QUEUED")
    conflicting = put_on_dlq(stack, twin.body(), twin.group_id)
    dead_letter(stack, wrong)
    foreign = put_on_dlq(stack, "hello", "nobody")

    run = redrive(stack, 8)

    assert run.states == [*START, *JUDGED, *WAVE, *DONE]
    assert counters(stack, run) == {
        "received": 8,
        "redriven": 1,
        "quarantined": 5,
        "already_processed": 1,
        "discarded": 1,
    }
    assert queued(stack, "DeadLetter") == []
    assert [m["Body"] for m in queued(stack, "Work")] == [healthy.body()]
    assert ledger(stack, healthy)["redrives"] == MAX_REDRIVES
    assert quarantine_of(stack, exhausted.message_id) == ("RedriveLimitReached", exhausted.body())
    assert ledger(stack, exhausted)["redrives"] == MAX_REDRIVES
    assert quarantine_of(stack, unknown.message_id) == ("UnknownMessage", unknown.body())
    assert ledger(stack, processed)["status"] == "PROCESSED"
    assert ledger(stack, discarded)["status"] == "DISCARDED"
    assert quarantine_of(stack, f"sqs:{conflicting}") == ("MessageConflict", twin.body())
    assert (ledger(stack, taken)["status"], ledger(stack, taken)["redrives"]) == ("QUEUED", 0)
    assert quarantine_of(stack, wrong.message_id) == ("InvalidPayload", wrong.body())
    assert quarantine_of(stack, f"sqs:{foreign}") == ("InvalidEnvelope", "hello")


def test_batch_without_anything_to_send_is_stored_and_deleted(stack):
    letters = [put_on_dlq(stack, f"not ours {n}", f"group-{n}") for n in range(10)]

    run = redrive(stack, 10)

    assert run.states == [*START, *JUDGED, *STORED, *DONE]
    assert counters(stack, run) == {"received": 10, "quarantined": 10}
    assert queued(stack, "DeadLetter") == queued(stack, "Work") == []
    for n, letter in enumerate(letters):
        assert quarantine_of(stack, f"sqs:{letter}") == ("InvalidEnvelope", f"not ours {n}")


def test_message_that_keeps_dying_is_quarantined_after_its_redrives(stack):
    message = transaction()
    record(stack, message, "DEAD")
    outcomes = []
    for life in range(MAX_REDRIVES + 1):
        # Died again: the queue has it under the deduplication id of this life.
        put_on_dlq(stack, message.body(), message.group_id, f"{message.message_id}.r{life}")
        outcomes.append(counters(stack, redrive(stack, 1)))

    assert outcomes == [
        *[{"received": 1, "redriven": 1}] * MAX_REDRIVES,
        {"received": 1, "quarantined": 1},
    ]
    assert [m["MessageDeduplicationId"][-3:] for m in sent(stack, message)] == [".r1", ".r2", ".r3"]
    assert ledger(stack, message)["redrives"] == MAX_REDRIVES
    assert len(ledger(stack, message)["execution_arns"]) == MAX_REDRIVES


def test_message_moved_behind_a_quarantined_one_of_its_group_goes_on(stack):
    account = str(uuid.uuid4())
    exhausted, later = transaction(account_id=account), transaction(account_id=account)
    dead_letter(stack, exhausted, redrives=MAX_REDRIVES)
    dead_letter(stack, later)

    run = redrive(stack, 2)

    assert run.states == [*START, *JUDGED, *STORED, *WAVE, *DONE]
    assert counters(stack, run) == {"received": 2, "redriven": 1, "quarantined": 1}
    assert [m["Body"] for m in queued(stack, "Work")] == [later.body()]


# What stays


def redrive_as_judged(stack, *verdicts, name=None):
    """Run the machine for messages on which it gets these verdicts, whatever the ledger says."""
    name = name or f"run-{uuid.uuid4()}"
    mocks = {"ValidateMessages": answer(stack, name, *verdicts)}
    return redrive(stack, len(verdicts), name=name, mocks=mocks)


@pytest.mark.parametrize(
    "change",
    [
        {"redrives": 1},
        {"status": "PROCESSED"},
        {"status": "DISCARDED"},
        {"status": "QUARANTINED"},
        {"payload_hash": "another message's"},
    ],
    ids=lambda change: "-".join(map(str, *change.items())),
)
def test_message_that_changed_between_verdict_and_guard_stays(stack, change):
    raced, healthy = transaction(), transaction()
    dead_letter(stack, raced, **change)
    dead_letter(stack, healthy)
    before = ledger(stack, raced)

    run = redrive_as_judged(stack, judged(raced), judged(healthy, index=1))

    assert run.states == [*START, *JUDGED, *WAVE, *REFUSED, *DONE]
    assert counters(stack, run) == {"received": 2, "redriven": 1, "failed": 1}
    assert is_visible_again(stack, raced)
    assert ledger(stack, raced) == before
    assert [m["Body"] for m in queued(stack, "Work")] == [healthy.body()]


def test_message_out_of_redrives_since_its_verdict_stays(stack):
    message = transaction()
    dead_letter(stack, message, redrives=MAX_REDRIVES)

    run = redrive_as_judged(stack, judged(message, redrives=MAX_REDRIVES))

    assert counters(stack, run) == {"received": 1, "failed": 1}
    assert ledger(stack, message)["redrives"] == MAX_REDRIVES
    assert sent(stack, message) == []


def test_quarantine_of_a_message_that_was_processed_meanwhile_is_refused(stack):
    message = transaction()
    dead_letter(stack, message, status="PROCESSED")

    run = redrive_as_judged(stack, judged(message, verdict="quarantine"))

    assert counters(stack, run) == {"received": 1, "failed": 1}
    assert ledger(stack, message)["status"] == "PROCESSED"
    assert is_visible_again(stack, message)


def test_quarantine_by_a_run_keeps_the_template(stack):
    message = transaction()
    dead_letter(stack, message)
    why = reason_of(AccountFrozen("Account {account_id} is frozen.", account_id="bob"))

    redrive_as_judged(stack, judged(message, verdict="quarantine", reason=why))

    assert on_dlq(stack, message) == []
    assert ledger(stack, message)["status"] == "QUARANTINED"
    assert ledger(stack, message)["reason"] == why


def test_message_that_this_run_redrove_is_left_for_another(stack):
    message, run_id = transaction(), f"run-{uuid.uuid4()}"
    dead_letter(stack, message, redrives=1, redrive_mark=f"{run_id}#0.0")

    run = redrive(stack, 5, name=run_id)

    assert run.states == [
        *START,
        *JUDGED,
        *NOTHING_GOES,
        *HELD,
        *NO_MORE,
        "ReturnDeadLetters",
        *FINISH,
    ]
    assert counters(stack, run) == {"left": 1}
    assert is_visible_again(stack, message)
    assert ledger(stack, message)["redrives"] == 1
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "redriven": 1}


def test_later_messages_of_a_group_stay_behind_one_that_is_left(stack):
    account, run_id = str(uuid.uuid4()), f"run-{uuid.uuid4()}"
    left, later = transaction(account_id=account), transaction(account_id=account)
    other = transaction()
    dead_letter(stack, left, redrives=1, redrive_mark=f"{run_id}#0.0")
    dead_letter(stack, later)
    dead_letter(stack, other)

    run = redrive(stack, 3, name=run_id)

    assert counters(stack, run) == {"received": 1, "redriven": 1, "left": 2}
    seen = Counter(run.states)
    assert (seen["ValidateMessages"], seen["HoldDeadLetters"], seen["ReturnDeadLetters"]) == (
        1,
        1,
        1,
    )
    assert [m["Body"] for m in queued(stack, "Work")] == [other.body()]
    assert ledger(stack, later)["redrives"] == 0
    assert is_visible_again(stack, left)
    assert is_visible_again(stack, later)


def test_guard_that_was_counted_by_its_own_lost_try_is_not_counted_twice(stack):
    message, run_id = transaction(), f"run-{uuid.uuid4()}"
    dead_letter(stack, message, status="REDRIVEN", redrives=1, redrive_mark=f"{run_id}#0.0")

    run = redrive_as_judged(stack, judged(message), name=run_id)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert ledger(stack, message)["redrives"] == 1
    assert sent(stack, message)[0]["MessageDeduplicationId"] == f"{message.message_id}.r1"

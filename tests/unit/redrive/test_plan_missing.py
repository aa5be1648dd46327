"""What a plan says of dead letters that no queue has: they are no part of what its run will do."""

import pytest

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message
from tests.support.troubles import LIMIT, in_trouble, row
from tests.unit.redrive.test_plan import dead, drawn, told
from workflows.ledger import lost
from workflows.messages.filters import Filter
from workflows.operator import failures, overview
from workflows.queues.queue import default
from workflows.redrive import plan


def missed(number, status="QUEUED", **columns):
    """Put a message into the ledger that the sweep has noted as lost; return its row."""
    message = a_message(message_id=f"m-{number}")
    in_trouble(status, message, **{"trouble": None, "body": None} | columns)
    assert lost.note(row(message.message_id))
    return row(message.message_id)


@pytest.fixture(autouse=True)
def dead_letter_queue(tables, queues):
    """Give a function that puts so many letters on the dead-letter queue."""

    def put(count):
        for number in range(count):
            queues.send_message(
                QueueUrl=ENVIRONMENT["DEAD_LETTER_QUEUE_URL"],
                MessageBody="{}",
                MessageGroupId="g",
                MessageDeduplicationId=str(number),
            )

    return put


def test_what_no_queue_has_is_told_and_is_no_part_of_the_plan(dead_letter_queue):
    dead(1)
    dead_letter_queue(1)
    before = drawn()
    dead(2, dead_at="2026-01-01T00:00:00.000Z")
    missed(3)

    found = drawn()

    assert found.counts == {"redrive": 1, "missing": 2}
    assert told(found)["m-2"][0] == told(found)["m-3"][0] == "missing"
    assert (found.missing, found.unnoted, plan.size(found)) == (2, 0, 1)
    assert found.plan_hash == before.plan_hash
    assert drawn(filter=Filter(reason="AccountFrozen")).counts == {"redrive": 1, "missing": 1}


def test_dead_letters_that_somebody_purged_are_told_by_the_queue_s_numbers(dead_letter_queue):
    for number in range(3):
        dead(number)
    dead_letter_queue(1)

    found = drawn()

    assert (found.missing, found.unnoted, plan.size(found)) == (2, 0, 3)


def test_message_that_the_ledger_takes_for_lost_does_not_hide_one_that_it_has_not_met(
    dead_letter_queue,
):
    missed(1)
    dead_letter_queue(1)

    assert (drawn().missing, drawn().unnoted) == (1, 1)


def test_overview_counts_the_lost_among_the_dead():
    missed(1)
    dead(2, dead_at="2026-01-01T00:00:00.000Z")
    dead(3, message=a_message(message_id="m-3"))

    counts = overview.status(default()).messages

    assert (counts.dead, counts.lost) == (3, 2)


def listed():
    letters, _ = failures.dead_letters(Filter(), 10, None, default())
    return [letter.lost for letter in letters]


def test_what_a_worker_had_when_it_was_missed_may_lie_there_and_is_planned(dead_letter_queue):
    """SQS moves what a worker died of; its body was never in the ledger."""
    missed(1, "PROCESSING", lease_until=1)
    dead_letter_queue(1)

    found = drawn()

    assert told(found) == {"m-1": ("redrive", None)}
    assert (found.missing, found.unnoted, plan.size(found)) == (0, 0, 1)
    assert (overview.status(default()).messages.lost, listed()) == (0, [False])


def test_what_a_worker_had_is_gone_when_the_dead_letter_queue_has_dropped_it(later):
    missed(1, "PROCESSING", lease_until=1)

    later(lost.DEAD_LETTER_RETENTION_SECONDS + 901)

    assert (drawn().counts, listed()) == ({"missing": 1}, [True])


def test_what_a_worker_had_and_is_out_of_redrives_is_planned_as_such():
    missed(1, "PROCESSING", lease_until=1, redrives=LIMIT)

    assert told(drawn()) == {"m-1": ("quarantine", "RedriveLimitReached")}
    assert drawn(filter=Filter(type="another")).counts == {"left": 1}


def test_hours_of_what_a_worker_had_count_from_before_it_was_missed():
    missed(1, "PROCESSING", lease_until=1)

    ((letter,), _) = failures.dead_letters(Filter(), 10, None, default())

    assert letter.hours_until_dropped == (14 - 4) * 24

"""What a plan says of dead letters that no queue has: they are no part of what its run will do."""

import pytest

from tests.conftest import ENVIRONMENT, a_message
from tests.test_plan import dead, drawn, told
from workflows import plan, status
from workflows.filters import Filter

GONE = {"reason": {"type": "LostByQueue", "message": "No queue has it."}, "body": None}


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
    dead(3, **GONE)

    found = drawn()

    assert found.counts == {"redrive": 1, "missing": 2}
    assert told(found)["m-2"][0] == told(found)["m-3"][0] == "missing"
    assert (found.missing, found.unnoted, plan.held(found)) == (2, 0, 1)
    assert found.plan_hash == before.plan_hash
    assert drawn(filter=Filter(reason="AccountFrozen")).counts == {"redrive": 1, "missing": 1}


def test_dead_letters_that_somebody_purged_are_told_by_the_queue_s_numbers(dead_letter_queue):
    for number in range(3):
        dead(number)
    dead_letter_queue(1)

    found = drawn()

    assert (found.missing, found.unnoted, plan.held(found)) == (2, 0, 3)


def test_message_that_the_ledger_takes_for_lost_does_not_hide_one_that_it_has_not_met(
    dead_letter_queue,
):
    dead(1, **GONE)
    dead_letter_queue(1)

    assert (drawn().missing, drawn().unnoted) == (1, 1)


def test_overview_counts_the_lost_among_the_dead():
    dead(1, **GONE)
    dead(2, dead_at="2026-01-01T00:00:00.000Z")
    dead(3, message=a_message(message_id="m-3"))

    counts = status.status().messages

    assert (counts.dead, counts.lost) == (3, 2)

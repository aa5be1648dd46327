"""Copies that the work queue lost: the holder of a fence is listed again, and its group gets on."""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.support import entry
from tests.support.invariants import broken
from tests.support.messages import an_operator
from tests.support.rows import indexed
from tests.support.world import World
from workflows import recovery
from workflows.ledger import journey, lookup
from workflows.ledger import lost as lost_by_queue
from workflows.messages import message_types
from workflows.messages.filters import Filter
from workflows.operator import failures, retry_by_hand
from workflows.operator.retry_by_hand import RetryRequest
from workflows.queues.queue import default
from workflows.runtime import aws, clock
from workflows.runtime.settings import settings

ACTOR = an_operator()


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setitem(message_types.TYPES, "entry", entry)
    with MotoStack() as stack:
        yield World(stack)


@pytest.fixture
def group(world):
    """Give a group of three, the first dead after all its tries; the next one would succeed."""
    name = world.name("g")
    found = [
        world.message(type="entry", group_id=name, number=number, fails=4 if number == 1 else 0)
        for number in (1, 2, 3)
    ]
    for message in found:
        world.send(message)
    world.consume()
    assert [world.row(message)["status"] for message in found] == ["DEAD", "PARKED", "PARKED"]
    return found


def retry(message):
    return retry_by_hand.retry(message.message_id, RetryRequest(), ACTOR)


def write(row):
    aws.dynamodb().put_item(TableName=settings().messages_table, Item=indexed(row))


def purge(world):
    world.stack.client("sqs").purge_queue(QueueUrl=world.stack.outputs["WorkQueueUrl"])


def listed():
    letters, _ = failures.dead_letters(Filter(), 10, None, default())
    return [letter.message_id for letter in letters]


def redriven(world, message, by):
    """Send the holder again: by a run, which is not told that SQS took it, or by hand."""
    if by == "run":
        assert world.redrive().output["redriven"] == 1
    else:
        retry(message)
    assert world.row(message)["status"] == "REDRIVEN"
    assert listed() == []


@pytest.fixture(params=["run", "hand"])
def lost(request, world, group):
    """Give a holder that was sent again, and whose copy is gone for longer than it is kept."""
    redriven(world, group[0], request.param)
    purge(world)
    world.stack.elapse(settings().work_queue_retention_seconds + 901)
    return group[0]


def is_over(world, group, effects):
    world.settle()
    assert world.effects(group[0].group_id) == effects
    assert world.fence(group[0].group_id) == {}
    return True


def test_holder_whose_copy_is_lost_is_listed_once_and_a_retry_drains_the_group(world, group, lost):
    assert recovery.recover().lost == [lost.message_id]
    assert recovery.recover().lost == []

    row = lookup.get(lost.message_id)
    assert (row["status"], row["trouble"], listed()) == ("REDRIVEN", "DEAD", [lost.message_id])
    sent, told = journey.told(row)[-2:]
    assert (sent.event in ("redriven", "retried"), sent.number) == (True, 1)
    assert (told.event, told.number, told.run_id) == ("lost", 1, sent.run_id)
    assert world.effects(lost.group_id) == []

    retry(lost)

    assert world.row(lost)["redrives"] == 2
    assert is_over(world, group, [1, 2, 3])
    # The copy that a retry by hand leaves on the dead-letter queue goes by the next run.
    world.redrive()
    assert broken(world, moved=group) == []


@pytest.mark.parametrize("again", [False, True], ids=["without a retry", "before a retry's"])
def test_copy_that_comes_after_all_is_processed_once(world, group, lost, again):
    world.recover()
    assert listed() == [lost.message_id]
    world.put_copy("Work", lost)
    if again:
        retry(lost)
    assert len(world.queued("Work")) == 1 + again

    assert is_over(world, group, [1, 2, 3])
    assert listed() == []
    world.redrive()
    assert broken(world, moved=group) == []


def test_retry_that_was_perhaps_not_sent_is_sent_again_and_not_lost(world, group):
    retry(group[0])
    write(lookup.get(group[0].message_id) | {"trouble": "SENDING"})
    purge(world)
    world.stack.elapse(settings().work_queue_retention_seconds + 901)

    found = recovery.recover()

    assert (found.resent, found.lost) == ([group[0].message_id], [])
    assert is_over(world, group, [1, 2, 3])


def test_holder_that_was_claimed_or_sent_again_since_it_was_read_is_left_alone(world, group, lost):
    seen = lookup.get(lost.message_id)
    for change in (
        {"status": "PROCESSING"}, {"redrives": 2}, {"trouble": "SENDING"}, {"trouble": "DEAD"},
        {"updated_at": clock.now()},
    ):  # fmt: skip
        write(seen | change)

        assert not lost_by_queue.note(seen)
        assert lookup.get(lost.message_id) == indexed(seen | change)
    write(seen)
    assert lost_by_queue.note(seen)

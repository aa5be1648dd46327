"""Runs that meet each other, are cancelled, or are not used at all; clocks that differ."""

import time

import pytest

from tests.proofs.faults.crashing_world import LATER
from tests.proofs.faults.queues import of_each_queue
from tests.support.invariants import MAX_REDRIVES, broken
from tests.support.messages import an_operator
from tests.support.stack_fixtures import put, row
from workflows.messages import message_types
from workflows.redrive import runs
from workflows.runtime import clock

LOCK = "LOCK#local-dead-letters.fifo"


@of_each_queue
@pytest.mark.fault(10)
def test_second_run_says_that_one_is_active_and_does_nothing(world):
    messages = [world.message() for _ in range(3)]
    for message in messages:
        world.dead_letter(message)
    second = []

    def a_schedule_starts_another():
        second.append(world.begin(trigger="schedule"))

    run = world.run({}, meanwhile=("ValidateMessages", a_schedule_starts_another))
    world.settle()

    answer = world.stack.client("stepfunctions").describe_execution(executionArn=second[0])
    assert '"status": "SKIPPED"' in answer["output"].replace('":"', '": "')
    assert "Another run is active" in answer["output"]
    assert run.output["redriven"] == 3
    assert broken(world, moved=messages) == []


@of_each_queue
@pytest.mark.fault(24)
def test_cancelled_run_stops_within_a_batch_and_its_counters_are_true(world):
    messages = [world.message() for _ in range(25)]
    for message in messages:
        world.dead_letter(message)

    run_id = world.next_run

    def cancel():
        runs.cancel(run_id, an_operator())

    run = world.run({}, meanwhile=("MoreToDo", cancel))  # after the first batch

    sent = len(world.queued("Work"))
    assert run.output["status"] == "CANCELLED"
    assert sent <= 20
    assert run.output["redriven"] == sent == 25 - len(world.queued("DeadLetter"))
    world.settle()
    assert broken(world) == []

    world.redrive()
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.fault(25)
def test_rows_that_ttl_should_have_taken_away_decide_as_any_other(world):
    done, spent = world.message(), world.message()
    world.send(done)
    world.settle()
    world.put_copy("DeadLetter", done)
    world.dead_letter(spent, redrives=MAX_REDRIVES)
    long_ago = int(time.time()) - 86_400
    for message in (done, spent):
        put(world.stack, "Messages", world.row(message) | {"expires_at": long_ago})
    stale_lock = {"run_id": LOCK, "holder": "gone", "lease_until": long_ago}
    put(world.stack, "Runs", stale_lock | {"execution_arn": "gone", "expires_at": long_ago})

    run = world.redrive()
    world.settle()

    assert (run.output["already_processed"], run.output["quarantined"]) == (1, 1)
    assert row(world.stack, "Runs", LOCK) == {}
    assert broken(world, moved=[done]) == []


@pytest.mark.fault(25)
@pytest.mark.parametrize("minutes", [-10, 10])
def test_worker_whose_clock_differs_and_dies_holds_a_message_up_and_no_more(
    world, monkeypatch, minutes
):
    message = world.message()
    world.send(message)
    epoch = clock.epoch
    with monkeypatch.context() as patch:
        patch.setattr(clock, "epoch", lambda: epoch() + 60 * minutes)
        patch.setattr(message_types, "process", _die)
        with pytest.raises(SystemExit):
            world.stack.poll()
    world.stack.elapse(LATER)

    world.settle()

    assert broken(world, moved=[message]) == []


def _die(*_):
    raise SystemExit


def move_natively(world):
    """Move all dead letters as StartMessageMoveTask does: the same bytes under a new id."""
    sqs, url = world.stack.client("sqs"), world.stack.outputs["DeadLetterQueueUrl"]
    by_body = {message.body(): message for message in world.messages}
    for letter in world.queued("DeadLetter"):
        world.put_copy("Work", by_body[letter["Body"]])
    sqs.purge_queue(QueueUrl=url)


@pytest.mark.fault(26)
def test_native_redrives_count_and_end_in_quarantine_and_the_group_waits(world):
    door, group = world.name("door"), world.name("g")
    messages = [
        world.message(type="entry", group_id=group, number=number, frozen_by=door)
        for number in (1, 2)
    ]
    world.freeze(door)
    for message in messages:
        world.send(message)
    world.settle()
    for _ in range(MAX_REDRIVES + 1):
        move_natively(world)
        world.settle()
        assert broken(world) == []

    first, second = (world.row(message) for message in messages)
    assert (first["status"], first["redrives"]) == ("QUARANTINED", MAX_REDRIVES)
    assert (second["status"], world.effects(group)) == ("PARKED", [])


@pytest.mark.fault(26)
def test_native_redrive_of_a_mended_group_keeps_its_order(world):
    door, group = world.name("door"), world.name("g")
    messages = [
        world.message(type="entry", group_id=group, number=number, frozen_by=door)
        for number in (1, 2, 3)
    ]
    world.freeze(door)
    for message in messages[:2]:
        world.send(message)
    world.settle()
    world.unfreeze(door)
    world.send(messages[2])
    move_natively(world)  # behind the newer one

    world.settle()

    assert world.effects(group) == [1, 2, 3]
    assert broken(world, moved=messages) == []


@pytest.mark.fault(19, 26)
def test_dead_letter_moved_back_before_its_retry_could_note_it_is_dead_lettered_again(world):
    message = world.message(type="entry", group_id=world.name("g"), number=1, fails=99)
    world.stack.before_state = lambda arn, state: state != "MarkDead"
    world.send(message)
    world.consume()
    world.go_on()
    assert world.row(message)["status"] == "RETRYING"

    move_natively(world)
    world.consume()  # acknowledges it: the retry has it
    assert world.queued("DeadLetter") == world.queued("Work") == []
    world.settle()  # within the five minutes in which SQS knows the dead letter's id

    assert world.row(message)["status"] == "DEAD"
    assert [letter["Body"] for letter in world.queued("DeadLetter")] == [message.body()]
    assert broken(world) == []


@pytest.mark.fault(19)
def test_run_of_the_console_that_is_stopped_gives_its_lock_to_the_next(world):
    message = world.message()
    world.dead_letter(message)
    world.stop_before("redrive", 2)
    run_id = world.begin().rpartition(":")[2]
    world.go_on()
    assert row(world.stack, "Runs", LOCK)["holder"] == run_id

    world.recover()

    assert row(world.stack, "Runs", LOCK) == {}
    world.stack.elapse(LATER)
    world.redrive()
    world.settle()
    assert broken(world, moved=[message]) == []

"""A run that is stopped at one certain place: what is where, and what the counts say."""

from unittest.mock import Mock

import pytest

from tests.proofs.faults.crashing_world import LATER
from tests.support.invariants import broken
from tests.support.messages import an_operator
from tests.support.stack_fixtures import start_machine
from workflows.redrive import in_flight, ownership, runs


@pytest.fixture
def letters(world):
    """Give three dead letters, two of them of one group."""
    pair = world.name("pair")
    messages = [world.message(type="entry", group_id=pair, number=number) for number in (1, 2)]
    messages.append(world.message())
    for message in messages:
        world.dead_letter(message)
    return messages


def stop_before(world, state):
    """Run until just before the first entry of a state; return the run's id."""
    world.stack.before_state = lambda arn, name: ":redrive:" not in arn or name != state
    run_id = world.begin().rpartition(":")[2]
    world.go_on()
    return run_id


def on_dlq(world):
    return [letter["Body"] for letter in world.queued("DeadLetter")]


@pytest.mark.fault(1)
@pytest.mark.parametrize("state", ["ReceiveDeadLetters", "ValidateMessages", "GuardLoop"])
def test_crash_before_a_send_leaves_the_messages_where_they_were(world, letters, state):
    stop_before(world, state)
    world.settle()

    assert on_dlq(world) == [message.body() for message in letters]
    assert [world.row(message)["redrives"] for message in letters] == [0, 0, 0]
    assert broken(world) == []


@pytest.mark.fault(2)
def test_dead_letter_that_was_sent_and_not_deleted_is_found_processed(world, letters):
    stop_before(world, "DeleteDeadLetters")
    world.consume()
    world.settle()

    run = world.redrive()

    # The second one of the group was not in the first wave, so it had not been sent.
    assert (run.output["already_processed"], run.output["redriven"]) == (2, 1)
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(3)
def test_dead_letter_is_sent_again_when_sqs_has_forgotten_the_first_copy(world, letters):
    stop_before(world, "DeleteDeadLetters")
    world.stack.elapse(LATER)
    world.recover()

    assert world.redrive().output["redriven"] == 3
    assert len(world.queued("Work")) == 5  # two of them twice
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(4)
def test_crash_between_guard_and_send_counts_one_too_many_and_loses_nothing(world, letters):
    stop_before(world, "RedriveMessages")
    world.settle()

    assert on_dlq(world) == [message.body() for message in letters]
    assert [world.row(message)["redrives"] for message in letters] == [1, 0, 1]
    assert broken(world) == []

    world.redrive()
    world.settle()
    assert [world.row(message)["redrives"] for message in letters] == [2, 1, 2]
    assert broken(world, moved=letters) == []


@pytest.mark.fault(5)
def test_crash_after_the_delete_leaves_a_run_that_is_marked_and_messages_that_are_safe(
    world, letters
):
    run_id = stop_before(world, "MoreToDo")
    world.settle()

    run = runs.get(run_id)
    assert (run["status"], run["failure"]) == ("ABORTED", "The execution was ended from outside.")
    assert world.effects(letters[0].group_id) == [1]
    assert on_dlq(world) == [letters[1].body()]
    assert broken(world, moved=[letters[0], letters[2]]) == []

    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(19)
@pytest.mark.parametrize("state", ["ValidateMessages", "RedriveMessages", "DeleteDeadLetters"])
def test_batch_of_a_stopped_run_is_visible_as_soon_as_its_lock_is_freed(world, letters, state):
    stop_before(world, state)
    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {False}

    world.recover()

    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {True}
    world.stack.before_state = lambda *_: True
    assert world.redrive().output["received"] == 3
    world.settle()
    assert broken(world, moved=letters) == []


def starts_another(_run_id):
    ownership.acquire("another", "api", an_operator(), {})


def cancels_it(run_id):
    with pytest.raises(runs.RunEnded):
        runs.cancel(run_id, an_operator())


@pytest.mark.fault(19)
@pytest.mark.parametrize("act", [starts_another, cancels_it, runs.get])
def test_batch_of_a_stopped_run_is_visible_whoever_noticed_its_end_first(world, letters, act):
    run_id = stop_before(world, "ValidateMessages")
    act(run_id)

    world.recover()

    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {True}
    start_machine(world.stack, "redrive", {}, name="another")
    world.stack.run_executions()
    assert runs.get("another")["received"] == 3
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(19)
def test_batch_that_could_not_be_given_back_is_given_back_by_the_next_sweep(
    world, letters, monkeypatch
):
    stop_before(world, "ValidateMessages")
    with monkeypatch.context() as patch:
        patch.setattr(in_flight, "give_back_batch", Mock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            world.recover()

    world.recover()

    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {True}
    assert broken(world) == []


def stop_before_entry(world, state, number):
    """Run until just before a state is entered for the `number`th time."""
    entered = []

    def before(arn, name):
        entered.extend([name] if ":redrive:" in arn else [])
        return entered.count(state) < number

    world.stack.before_state = before
    world.begin()
    world.stack.before_state = lambda *_: True


@pytest.mark.fault(19)
def test_batch_of_one_group_is_visible_however_many_waves_it_had(world):
    """Each wave leaves some twenty events after those that tell what was received."""
    group = world.name("group")
    messages = [world.message(type="entry", group_id=group, number=n) for n in range(1, 11)]
    for message in messages:
        world.dead_letter(message)
    stop_before_entry(world, "RedriveMessages", 6)
    hidden = [letter["IsVisible"] for letter in world.queued("DeadLetter")]
    assert hidden == [False] * 5

    world.recover()

    assert [letter["IsVisible"] for letter in world.queued("DeadLetter")] == [True] * 5
    assert world.redrive().output["received"] == 5
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.fault(19)
def test_second_batch_of_a_stopped_run_is_visible_and_not_its_first(world):
    messages = [world.message() for _ in range(12)]
    for message in messages:
        world.dead_letter(message)
    stop_before_entry(world, "RedriveMessages", 2)
    hidden = [letter["IsVisible"] for letter in world.queued("DeadLetter")]
    assert hidden == [False] * 2

    world.recover()

    assert [letter["IsVisible"] for letter in world.queued("DeadLetter")] == [True] * 2
    world.settle()
    world.redrive()
    world.settle()
    assert broken(world, moved=messages) == []

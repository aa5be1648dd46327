"""A run that is stopped at one certain place: what is where, and what the counts say.

Who stops a run stops its lane with it. Of a lane that is stopped alone its run learns at once.
"""

from unittest.mock import Mock

import pytest

from tests.engines.moto_engine.stack import end_alone
from tests.proofs.faults.crashing_world import LATER
from tests.support.invariants import broken
from tests.support.messages import an_operator
from tests.support.redrive_runs import held_records
from tests.support.stack_fixtures import start_machine
from workflows.queues.queue import default
from workflows.redrive import in_flight, ownership, run_lock, runs


@pytest.fixture
def letters(world):
    """Give three dead letters, two of them of one group."""
    pair = world.name("pair")
    messages = [world.message(type="entry", group_id=pair, number=number) for number in (1, 2)]
    messages.append(world.message())
    for message in messages:
        world.dead_letter(message)
    return messages


BOTH, LANE = "run and lane", "lane"
ENDS = {
    BOTH: ("ABORTED", "The execution was ended from outside."),
    LANE: ("FAILED", "LaneStopped"),
}
either = pytest.mark.parametrize("who", [BOTH, LANE])


def stop_before(world, state, number=1, *, who=BOTH):
    """Run until just before a state of the lane is entered for the `number`th time.

    Args:
        world: where.
        state: of the lane.
        number: of its entry.
        who: is stopped there.

    Returns:
        the run's id.
    """
    entered = []

    def before(arn, name):
        if ":redrive_lane:" in arn:
            entered.append(name)
        elif who == LANE:
            return True
        return entered.count(state) < number

    world.stack.before_state = before
    run_id = world.begin().rpartition(":")[2]
    world.go_on()
    assert entered.count(state) == number
    return run_id


def on_dlq(world):
    return [letter["Body"] for letter in world.queued("DeadLetter")]


@either
@pytest.mark.fault(1)
@pytest.mark.parametrize("state", ["ReceiveDeadLetters", "ValidateMessages", "GuardLoop"])
def test_crash_before_a_send_leaves_the_messages_where_they_were(world, letters, state, who):
    stop_before(world, state, who=who)
    world.settle()

    assert on_dlq(world) == [message.body() for message in letters]
    assert [world.row(message)["redrives"] for message in letters] == [0, 0, 0]
    assert broken(world) == []


@either
@pytest.mark.fault(2)
def test_dead_letter_that_was_sent_and_not_deleted_is_found_processed(world, letters, who):
    stop_before(world, "DeleteDeadLetters", who=who)
    world.consume()
    world.settle()

    run = world.redrive()

    # The second one of the group was not in the first wave, so it had not been sent.
    assert (run.output["already_processed"], run.output["redriven"]) == (2, 1)
    world.settle()
    assert broken(world, moved=letters) == []


@either
@pytest.mark.fault(3)
def test_dead_letter_is_sent_again_when_sqs_has_forgotten_the_first_copy(world, letters, who):
    stop_before(world, "DeleteDeadLetters", who=who)
    world.stack.elapse(LATER)
    world.recover()

    assert world.redrive().output["redriven"] == 3
    assert len(world.queued("Work")) == 5  # two of them twice
    world.settle()
    assert broken(world, moved=letters) == []


@either
@pytest.mark.fault(4)
def test_crash_between_guard_and_send_counts_one_too_many_and_loses_nothing(world, letters, who):
    stop_before(world, "RedriveMessages", who=who)
    world.settle()

    assert on_dlq(world) == [message.body() for message in letters]
    assert [world.row(message)["redrives"] for message in letters] == [1, 0, 1]
    assert broken(world) == []

    world.redrive()
    world.settle()
    assert [world.row(message)["redrives"] for message in letters] == [2, 1, 2]
    assert broken(world, moved=letters) == []


@either
@pytest.mark.fault(5)
def test_crash_after_the_delete_leaves_a_run_that_is_marked_and_messages_that_are_safe(
    world, letters, who
):
    run_id = stop_before(world, "MoreToDo", who=who)
    world.settle()

    run = runs.get(run_id)
    assert (run["status"], run["failure"]) == ENDS[who]
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
    assert world.redrive().output["received"] == 3
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(19)
@pytest.mark.parametrize("state", ["ValidateMessages", "RedriveMessages", "DeleteDeadLetters"])
def test_batch_of_a_stopped_lane_is_visible_as_soon_as_its_run_has_failed(world, letters, state):
    run_id = stop_before(world, state, who=LANE)

    assert (world.run_row(run_id)["status"], world.run_row(run_id)["failure"]) == ENDS[LANE]
    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {True}
    assert world.redrive().output["received"] == 3
    world.settle()
    assert broken(world, moved=letters) == []


@either
@pytest.mark.fault(19)
def test_what_a_stopped_run_has_left_out_is_visible_when_its_end_was_noticed(world, who):
    """Of its records one is of the batch that was under way, which its run never heard of."""
    left = [world.message(type="entry", group_id=world.name(f"g{n}"), number=1) for n in range(15)]
    for message in left:
        world.dead_letter(message)
    request = {"filter": {"type": "transaction"}}
    second = []

    def before(arn, name):
        if ":redrive_lane:" in arn:
            second.extend([name] if name == "HoldDeadLetters" else [])
        elif who == LANE:
            return True
        return len(second) < 2

    world.stack.before_state = before
    run_id = world.begin(request=request).rpartition(":")[2]
    world.go_on()
    if who == BOTH:
        assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {False}
        assert held_records(world.stack, run_id) == 2
        world.recover()

    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {True}
    assert held_records(world.stack, run_id) == 0
    world.redrive()
    world.settle()
    assert broken(world, moved=left) == []


def starts_another(_run_id):
    ownership.acquire("another", default(), "api", an_operator(), {})


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
def test_batch_of_a_lane_that_is_stopped_after_its_run_was_told_of_is_given_back(world, letters):
    """Step Functions stops them one after the other, and the run's own event may be faster."""

    def before(arn, name):
        if ":redrive_lane:" not in arn or name != "ValidateMessages":
            return True
        end_alone(world.stack.runs_a_lane(arn))
        world.recover()
        return False

    world.stack.before_state = before
    world.begin()
    world.go_on()
    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {False}

    world.recover()  # as the lane's event lets it

    assert {letter["IsVisible"] for letter in world.queued("DeadLetter")} == {True}
    world.settle()
    assert broken(world) == []


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


@pytest.mark.fault(19)
def test_batch_of_one_group_is_visible_however_many_waves_it_had(world):
    """Each wave leaves some twenty events after those that tell what was received."""
    group = world.name("group")
    messages = [world.message(type="entry", group_id=group, number=n) for n in range(1, 11)]
    for message in messages:
        world.dead_letter(message)
    stop_before(world, "RedriveMessages", 6)
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
    stop_before(world, "RedriveMessages", 2)
    hidden = [letter["IsVisible"] for letter in world.queued("DeadLetter")]
    assert hidden == [False] * 2

    world.recover()

    assert [letter["IsVisible"] for letter in world.queued("DeadLetter")] == [True] * 2
    world.settle()
    world.redrive()
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.fault(4, 24)
def test_what_a_cancelled_run_had_guarded_when_it_was_stopped_is_dead_again(world, letters):
    """The record takes no note of a lane any more once it says CANCELLING."""

    def cancel(arn, state):
        if state == "GuardLoop":
            lock = run_lock.find(default())
            assert lock
            runs.cancel(lock["holder"], an_operator())
        return state != "RedriveMessages"

    world.stack.before_state = cancel
    world.begin()
    world.go_on()
    world.recover()

    rows = [world.row(message) for message in letters]
    assert [(row["status"], row["trouble"]) for row in rows] == [
        ("REDRIVEN", "DEAD"), ("DEAD", "DEAD"), ("REDRIVEN", "DEAD"),
    ]  # fmt: skip
    assert [row["redrives"] for row in rows] == [1, 0, 1]
    world.settle()
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []

"""A run of ten messages that is stopped before any state, and resumed as a person would.

The run, its lane, or both: a lane whose run alone was stopped goes on, and must notice.

Resumed: time passes, the sweep runs, another run starts, the consumer works. The checker then
knows whether a message was lost, repeated, reordered or counted too low.
"""

from functools import cache

import pytest

from local.stack import ROOT
from tests.engines.moto_engine.as_aws import TIMED_OUT
from tests.engines.moto_engine.stack import MotoStack, end_alone
from tests.proofs.faults import ten
from tests.proofs.faults.acts import given
from tests.proofs.faults.crashing_world import LATER
from tests.proofs.faults.registered_world import Registered
from tests.proofs.faults.shares import part, shared
from tests.support.invariants import broken

REGISTERED = {
    "standard": Registered(ten.of_a_team, fifo=False),
    "fifo": Registered(ten.of_a_team, fifo=True),
}
MIXES = {"mixed": ten.mixed, "healthy": ten.healthy, **REGISTERED}
# A run whose messages are visible again after 10 s can be resumed while SQS still remembers their
# deduplication ids.
SOON = 11
pytestmark = pytest.mark.timeout(300)


@cache
def entries_of(mix):
    """Return what a run of the mix and its lane enter when nothing stops them, in order.

    That is for each the machine and the state.
    """
    made = given(MIXES[mix])
    with MotoStack() as stack:
        world = made.on(stack)
        entered = []

        def before(arn, state):
            entered.append((arn.split(":")[-2], state))
            return True

        stack.before_state = before
        world.begin()
        world.go_on()
        world.consume()
        world.settle()
        assert broken(world, moved=world.healthy) == []
        return tuple(entered)


def states_of(mix):
    return tuple(state for _, state in entries_of(mix))


def lane_numbers(mix):
    """Return the numbers of the states that are the lane's."""
    return [n for n, (machine, _) in enumerate(entries_of(mix)) if machine == "redrive_lane"]


# What is stopped before a state: the execution that is there, which is the lane or the run; with
# the lane its run, as who stops a run in the console wants it; or the run alone, and its lane goes
# on, for which nobody answers.


def the_one(world):
    return None


def both(world):
    def stop(lane):
        end_alone(world.stack.runs_a_lane(lane))
        return False

    return stop


def run_alone(world):
    def stop(lane):
        end_alone(world.stack.runs_a_lane(lane))
        return True

    return stop


def run_alone_and_swept(world):
    def stop(lane):
        end_alone(world.stack.runs_a_lane(lane))
        world.recover()
        return True

    return stop


def run_alone_and_followed(world):
    """Let another run do all its work while the lane stands still."""

    def stop(lane):
        end_alone(world.stack.runs_a_lane(lane))
        world.excuse()
        world.stack.elapse(LATER)
        world.recover()
        world.begin()
        world.consume()
        return True

    return stop


# What decides whether a message of a registered queue is lost or comes twice.
DECISIVE = ("GuardLoop", "RedriveMessages", "DeleteDeadLetters", "MoreToDo", "SettleLeg")
LANE_ONLY = {
    "both": both,
    "run": run_alone,
    "run, swept": run_alone_and_swept,
    "run, followed": run_alone_and_followed,
}


def definitions(seconds):
    text = (ROOT / "statemachines" / "redrive_lane.asl.json").read_text(encoding="utf-8")
    replaced = text.replace('VisibilityTimeout\\": 300', f'VisibilityTimeout\\": {SOON - 1}')
    assert replaced != text
    return {"redrive_lane": replaced} if seconds == SOON else {}


def all_broken(mix, numbers, seconds, *, consumed_first, ended=False, stopping=the_one):
    """Stop runs before the states of these numbers, resume each; return what is then broken."""
    made, states, found = given(MIXES[mix]), states_of(mix), {}
    with MotoStack(definitions=definitions(seconds)) as stack:
        for number in numbers:
            world = made.on(stack)
            entered = world.stop_before("redrive", number, ended=ended, instead=stopping(world))
            world.begin()
            assert entered[: number + 1] == list(states[: number + 1])
            after = entered[number:]
            resume(world, seconds, consumed_first=consumed_first)
            sentences = broken(world, moved=world.healthy)
            if stopping in (run_alone_and_swept, run_alone_and_followed):
                sentences += goes_on_for_nobody(after)
            if sentences:
                found[number, states[number]] = sentences
    return found


def goes_on_for_nobody(entered):
    """Yield what a lane did whose run is over: at its next guard it must notice."""
    after_its_guard = entered[entered.index("GuardLoop") + 1 :] if "GuardLoop" in entered else []
    if {"RedriveMessages", "ReceiveDeadLetters"} & set(after_its_guard):
        yield f"The lane went on: {after_its_guard}"


def resume(world, seconds, *, consumed_first):
    world.go_on()
    if consumed_first:
        world.consume()
    world.stack.elapse(seconds)
    world.recover()
    world.begin()
    world.settle()


def test_run_meets_every_kind_of_dead_letter():
    states = states_of("mixed")

    assert states.count("RedriveMessages") == 2  # the second one of a group waits for the first
    assert states[0] == "BeginRun"
    assert states[-1] == "FinishRun"
    assert len(states) >= 20
    assert len(lane_numbers("mixed")) == len(states) - 7


@pytest.mark.fault(1, 2, 3, 4, 5, 19)
@pytest.mark.parametrize(("share", "letters"), shared({"mixed": 3}, ["mixed"]))
def test_run_stopped_before_any_state_and_resumed_when_the_deduplication_ids_are_forgotten(
    share, letters
):
    numbers = part(range(len(states_of(letters))), share)

    assert all_broken(letters, numbers, LATER, consumed_first=False) == {}


@pytest.mark.fault(1, 2, 3, 4, 5, 19)
@pytest.mark.parametrize("queue", REGISTERED)
def test_run_of_a_registered_queue_stopped_where_it_decides_loses_and_repeats_nothing(queue):
    """But for what it had sent and not deleted: nobody could know that."""
    numbers = [states_of(queue).index(state) for state in DECISIVE]

    assert all_broken(queue, numbers, LATER, consumed_first=False) == {}


@pytest.mark.soak
@pytest.mark.fault(1, 2, 3, 4, 5, 19)
@pytest.mark.parametrize("queue", REGISTERED)
@pytest.mark.parametrize("how", LANE_ONLY)
def test_run_of_a_registered_queue_that_is_stopped_while_its_lane_is_before_any_state(queue, how):
    # A lane that stood still until others were done has outlived its machine's time by then.
    sends = [] if how != "run, followed" else ["AnyToRedrive", "RedriveMessages"]
    numbers = [n for n in lane_numbers(queue) if states_of(queue)[n] not in sends]

    found = all_broken(queue, numbers, LATER, consumed_first=False, stopping=LANE_ONLY[how])
    assert found == {}


@pytest.mark.fault(1, 2, 3, 4, 5, 19)
@pytest.mark.parametrize(("share", "how"), shared(dict.fromkeys(LANE_ONLY, 4), LANE_ONLY))
def test_run_that_is_stopped_while_its_lane_is_before_any_state(share, how):
    numbers, stopping = part(lane_numbers("mixed"), share), LANE_ONLY[how]

    assert all_broken("mixed", numbers, LATER, consumed_first=False, stopping=stopping) == {}


@pytest.mark.soak
@pytest.mark.fault(2, 5)
def test_run_stopped_once_it_sent_and_resumed_while_the_deduplication_ids_are_known():
    states = states_of("mixed")
    first = states.index("RedriveMessages") + 1
    last = len(states) - states[::-1].index("DeleteDeadLetters")

    assert all_broken("mixed", range(first, last + 1), SOON, consumed_first=True) == {}


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    "every", [6, pytest.param(1, marks=pytest.mark.soak)], ids=["some states", "every state"]
)
def test_run_that_times_out_before_a_state(every):
    numbers = range(0, len(states_of("mixed")), every)

    assert all_broken("mixed", numbers, LATER, consumed_first=False, ended=TIMED_OUT) == {}


@pytest.mark.soak
@pytest.mark.parametrize("consumed_first", [True, False], ids=["consumed", "waiting"])
@pytest.mark.parametrize("seconds", [SOON, LATER], ids=["soon", "later"])
@pytest.mark.parametrize("mix", MIXES)
def test_run_stopped_before_any_state(mix, seconds, consumed_first):
    every = range(len(states_of(mix)))

    assert all_broken(mix, every, seconds, consumed_first=consumed_first) == {}

"""A run of ten messages that is stopped before any of its states, and resumed as a person would.

Resumed: time passes, the sweep runs, another run starts, the consumer works. The checker then
knows whether a message was lost, repeated, reordered or counted too low.
"""

from functools import cache

import pytest

from local.stack import ROOT
from tests.engines.moto_engine.as_aws import TIMED_OUT
from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults import ten
from tests.proofs.faults.crashing_world import LATER, Given
from tests.support.invariants import broken

MIXES = {"mixed": ten.mixed, "healthy": ten.healthy}
# A run whose messages are visible again after 10 s can be resumed while SQS still remembers their
# deduplication ids.
SOON = 11
pytestmark = pytest.mark.timeout(300)


@cache
def given(mix):
    return Given.by(MIXES[mix])


@cache
def states_of(mix):
    """Return the states that a run of the mix enters when nothing stops it, in order."""
    made = given(mix)
    with MotoStack() as stack:
        world = made.on(stack)
        entered = world.stop_before("redrive", 10_000)
        world.begin()
        world.consume()
        world.settle()
        assert broken(world, moved=world.healthy) == []
        return tuple(entered)


def definitions(seconds):
    text = (ROOT / "statemachines" / "redrive.asl.json").read_text(encoding="utf-8")
    visible = f'"VisibilityTimeout": {SOON - 1}'
    return {"redrive": text.replace('"VisibilityTimeout": 300', visible)} if seconds == SOON else {}


def all_broken(mix, numbers, seconds, *, consumed_first, ended=False):
    """Stop runs before the states of these numbers, resume each; return what is then broken."""
    made, states, found = given(mix), states_of(mix), {}
    with MotoStack(definitions=definitions(seconds)) as stack:
        for number in numbers:
            world = made.on(stack)
            entered = world.stop_before("redrive", number, ended=ended)
            world.begin()
            assert entered == list(states[: number + 1])
            resume(world, seconds, consumed_first=consumed_first)
            if sentences := broken(world, moved=world.healthy):
                found[number, states[number]] = sentences
    return found


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
    assert states[-1] == "FinishRun"
    assert len(states) >= 20


@pytest.mark.fault(1, 2, 3, 4, 5, 19)
def test_run_stopped_before_any_state_and_resumed_when_the_deduplication_ids_are_forgotten():
    every = range(len(states_of("mixed")))

    assert all_broken("mixed", every, LATER, consumed_first=False) == {}


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

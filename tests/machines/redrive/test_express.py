"""Runs whose lanes are Express executions: nobody can be asked about a leg but by its answer.

What else a run does is the same with lanes of either kind: `machines/test_two_engines.py` plays the
scenarios with both. Here is each way in which a leg can end for its run.
"""

import pytest

from local.machines import EXPRESS_LANES
from tests.engines.moto_engine.as_aws import TIMED_OUT
from tests.engines.moto_engine.stack import MotoStack
from tests.machines.run_ends import differently_told
from tests.machines.scenarios import given
from tests.machines.scenarios.paths import BEGUN, FAILED, FINISH, GIVEN_BACK, JUDGED, START, WAVE
from tests.support.redrive_runs import LOCK, all_visible
from tests.support.stack_fixtures import leg_arn, row
from tests.support.world import World

DOWN = "Some.ServiceException"
WAITED = ["WaitForQueue", "DecideNext", "NextStep"]
# What a leg had in hand when it ended without a word is visible again by then.
LATER = 600


@pytest.fixture
def world():
    with MotoStack(substitutions=EXPRESS_LANES) as stack:
        yield World(stack)


def without_its_waits(states):
    """Return the states of a run without its rounds of waiting for a leg to be over."""
    found = []
    for state in states:
        found.append(state)
        if found[-3:] == WAITED:
            del found[-3:]
    return found


def failed_when_the_leg_was_over(world, run, *before):
    assert (run.status, run.error) == ("FAILED", "LaneStopped")
    assert run.states.count("WaitForQueue") > 5
    assert without_its_waits(run.states) == [*before, *FAILED[1:]]
    assert row(world.stack, "Runs", LOCK) == {}


def next_run_has_the_rest(world, size=0):
    world.stack.elapse(LATER)
    assert world.run().output["status"] == "SUCCEEDED"
    assert world.queued("DeadLetter") == []
    copies = [copy["Body"] for copy in world.queued("Work")]
    assert sorted(copies) == sorted(message.body().ljust(size) for message in world.messages)
    assert differently_told(world) == []


def test_leg_answers_with_a_text(world):
    for _ in range(12):
        world.dead_letter(world.message())

    run = world.run({"request": {"max_messages": 12}})

    assert run.states == [*START, *JUDGED, *WAVE, *JUDGED, *WAVE, *FINISH]
    assert run.output == run.output | {"status": "SUCCEEDED", "redriven": 12}
    assert len(world.queued("Work")) == 12


def test_leg_that_fails_says_so_in_its_answer(world):
    world.dead_letter(world.message())

    run = world.run(mocks={"ReceiveDeadLetters": given.throws(DOWN)})

    assert run.states == [*START, "ReceiveDeadLetters", *GIVEN_BACK]
    assert run.error == DOWN
    next_run_has_the_rest(world)


@pytest.mark.parametrize("error", [DOWN, "States.Timeout"])
def test_leg_that_gives_no_answer_is_over_in_five_minutes_and_fails_its_run(world, error):
    world.dead_letter(world.message())

    run = world.run(mocks={"RunLane": given.throws(error)})

    failed_when_the_leg_was_over(world, run, *BEGUN, "RunLanes")
    assert all_visible(world.stack)
    next_run_has_the_rest(world)


def test_leg_that_gives_no_answer_takes_nothing_from_those_before_it(world):
    short = world.variant("redrive", "$number('300')", "$number('2')", "short")
    request = {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 2}
    mocks = {"RunLane": [{}, *given.throws(DOWN)]}

    with given.one_a_turn(world) as size:
        for currency in ("CHF", "EUR", "EUR"):
            world.dead_letter(world.message(currency=currency), size)
        run = world.run({"request": request}, machine=short, mocks=mocks)

        assert run.error == "LaneStopped"
        assert run.states.count("RunLanes") == 2
        record = world.run_row(run.name)
        assert (record["redriven"], record["left"]) == (len(world.queued("Work")), 1) == (1, 1)
        next_run_has_the_rest(world, size)


@pytest.mark.parametrize("end", [TIMED_OUT, False])
def test_leg_that_is_ended_from_outside_leaves_what_it_had_in_flight(world, end):
    world.dead_letter(world.message())
    leg = leg_arn(world.stack, f":{world.next_run}")
    world.stack.before_state = lambda arn, state: (
        end if (arn, state) == (leg, "RedriveMessages") else True
    )

    run = world.run()

    assert run.error == "LaneStopped"
    assert world.run_row(run.name)["redriven"] == len(world.queued("Work")) == 0
    world.recover()
    next_run_has_the_rest(world)


def test_leg_that_cannot_give_back_what_it_received_leaves_it_in_flight(world):
    world.dead_letter(world.message())
    mocks = {"ValidateMessages": given.throws("Lambda.First")}

    run = world.run(mocks=mocks | {"GiveBackDeadLetters": given.throws(DOWN)})

    assert run.states == [*START, *JUDGED, *GIVEN_BACK]
    assert run.error == "Lambda.First"
    assert not all_visible(world.stack)  # where its history can be read, it is given back
    next_run_has_the_rest(world)

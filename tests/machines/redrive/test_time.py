"""How long a leg and a run live, and how much they have to tell, each at its worst.

An execution ends at its 25,000th event:
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

import json
from typing import Any

import pytest

from local.stack import ROOT
from tests.engines.moto_engine.stack import MotoStack
from tests.support import stack_fixtures
from tests.support.history import states_of
from tests.support.redrive_runs import JUDGED, WAVE
from tests.support.stack_fixtures import run_machine
from tests.support.template import template
from workflows.redrive import canary, course, lane
from workflows.redrive.requests import RedriveRequest

MOST_EVENTS = 25_000
# The most that a batch of one wave may go through; others have fewer states a wave.
BATCH = [*JUDGED, *WAVE, "HoldDeadLetters", "MoreToDo"]
PAUSE = ["WaitForRate", "MoreToDo"]
ONCE = ["StartLeg", "GiveBackDeadLetters", "SettleLeg", "LegOver"]
INSTEAD = ["ReceiveLargeDeadLetters"]  # of ReceiveDeadLetters
ROUND, LEG = ["RunLanes", "DecideNext", "NextStep"], ["RunLane"]
LOOK = ["WaitForOutcomes", "DecideNext", "NextStep"]


def machine(name):
    text = (ROOT / "statemachines" / f"{name}.asl.json").read_text(encoding="utf-8")
    return json.loads(text)


RUN, LANE = machine("redrive"), machine("redrive_lane")


def events(definition, states, failed_tries=0):
    """Return how many events these states leave, if each task fails so often before it succeeds.

    Entered and exited; a task is scheduled, started, and succeeds or fails each time. One that
    waits for another execution is submitted too. A Map begins and ends, and so does each item.
    """
    found = 0
    for name in states:
        state = states_of(json.dumps(definition))[name]
        found += 2
        if state["Type"] == "Task":
            is_nested = name == "RunLane"
            found += 3 * (1 + failed_tries) + is_nested + 2 * is_nested
        found += 2 * (state["Type"] == "Map")
    return found


def test_leg_has_room_for_a_failed_try_of_each_task():
    assert {*BATCH, *PAUSE, *ONCE, *INSTEAD} == LANE["States"].keys()  # or the worst is worse
    resource = template()["Resources"]["RedriveStateMachine"]["Properties"]
    waves = resource["DefinitionSubstitutions"]["WavesPerLeg"]
    # The last batch may have ten waves, and each pause takes a second at least.
    most = events(LANE, BATCH, 1) * (waves + 9) + events(LANE, PAUSE) * LANE["TimeoutSeconds"]

    assert 15_000 < most + events(LANE, ONCE, 1) < MOST_EVENTS


def test_last_batch_of_a_leg_has_three_seconds_for_each_of_its_tasks():
    left = LANE["TimeoutSeconds"] - lane._LEG_SECONDS
    wave = [name for name in WAVE if LANE["States"][name]["Type"] == "Task"]

    assert left > 3 * (len(JUDGED) + 10 * len(wave) + 1)
    # Of a leg that timed out its run hears, and the batch is in flight no longer than that.
    assert states_of(json.dumps(RUN))["RunLane"]["TimeoutSeconds"] > LANE["TimeoutSeconds"]


@pytest.mark.parametrize("lanes", [1, 3])
def test_run_counts_what_its_history_has(lanes):
    moto: Any = MotoStack()
    with moto as stack:
        run = run_machine(stack, "redrive", {"request": {"lanes": lanes}})
        written = stack_fixtures.events(stack, run.arn)

    ends = 2 + events(RUN, ["BeginRun", "NextStep", "FinishRun"])
    assert len(written) - ends == events(RUN, [*ROUND, *LEG * lanes])
    assert len(written) - ends == course._EVENTS_OF_A_ROUND + lanes * course._EVENTS_OF_A_LEG
    assert events(RUN, LOOK) == course._EVENTS_OF_A_WAIT


@pytest.mark.parametrize(
    "round_", [[*ROUND, *LEG], [*ROUND, *LEG * 40], LOOK], ids=["leg", "legs", "look"]
)
def test_run_has_room_for_a_failed_try_of_each_task(round_):
    rounds = course._MOST_EVENTS / events(RUN, round_) + 1  # the last may begin just before

    assert rounds * events(RUN, round_, 1) + 100 < MOST_EVENTS  # its beginning and its end


def test_run_ends_before_its_time_is_over():
    asked = RedriveRequest.model_json_schema()["$defs"]["Canary"]["properties"]
    longest_look = asked["watch_seconds"]["maximum"] / canary._LOOKS_A_WATCH
    legs, looks = (course._MOST_EVENTS / events(RUN, round_) for round_ in ([*ROUND, *LEG], LOOK))

    assert legs * LANE["TimeoutSeconds"] < RUN["TimeoutSeconds"]
    assert looks * longest_look < RUN["TimeoutSeconds"]

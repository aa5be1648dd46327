"""How long a leg and a run live, and how much they have to tell, each at its worst.

An execution ends at its 25,000th event:
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

import json

import pytest

from local.stack import ROOT
from tests.support.redrive_runs import JUDGED, WAVE
from tests.support.template import template
from workflows.redrive import course, lane
from workflows.redrive.requests import RedriveRequest

MOST_EVENTS = 25_000
# The most that a batch of one wave may go through; others have fewer states a wave.
BATCH = [*JUDGED, *WAVE, "HoldDeadLetters", "MoreToDo"]
PAUSE = ["WaitForRate", "MoreToDo"]
ONCE = ["StartLeg", "GiveBackDeadLetters", "LegOver"]
LEG = ["RunLane", "DecideNext", "NextStep"]
LOOK = ["WaitForOutcomes", "DecideNext", "NextStep"]


def machine(name):
    text = (ROOT / "statemachines" / f"{name}.asl.json").read_text(encoding="utf-8")
    return json.loads(text)


RUN, LANE = machine("redrive"), machine("redrive_lane")


def events(definition, states, failed_tries=0):
    """Return how many events these states leave, if each task fails so often before it succeeds.

    Entered and exited; a task is scheduled, started, and succeeds or fails each time. One that
    waits for another execution is submitted too.
    """
    found = 0
    for name in states:
        state = definition["States"][name]
        found += 2
        if state["Type"] == "Task":
            found += 3 * (1 + failed_tries) + (".sync" in state["Resource"])
    return found


def test_leg_has_room_for_a_failed_try_of_each_task():
    assert {*BATCH, *PAUSE, *ONCE} == LANE["States"].keys()  # or the worst is worse
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
    assert RUN["States"]["RunLane"]["TimeoutSeconds"] > LANE["TimeoutSeconds"]


def test_run_counts_what_its_history_has():
    assert (
        events(RUN, LEG),
        events(RUN, LOOK),
    ) == (course._EVENTS_OF_A_LEG, course._EVENTS_OF_A_WAIT)


@pytest.mark.parametrize("round_", [LEG, LOOK], ids=["leg", "look"])
def test_run_has_room_for_a_failed_try_of_each_task(round_):
    rounds = course._MOST_EVENTS / events(RUN, round_)

    assert rounds * events(RUN, round_, 1) + 100 < MOST_EVENTS  # its beginning and its end


def test_run_ends_before_its_time_is_over():
    canary = RedriveRequest.model_json_schema()["$defs"]["Canary"]["properties"]
    longest_look = canary["watch_seconds"]["maximum"] / course._LOOKS_A_WATCH
    legs, looks = (course._MOST_EVENTS / events(RUN, round_) for round_ in (LEG, LOOK))

    assert legs * LANE["TimeoutSeconds"] < RUN["TimeoutSeconds"]
    assert looks * longest_look < RUN["TimeoutSeconds"]

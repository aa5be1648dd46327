"""Every scenario on two engines: the same paths, outputs, queues and tables, or a known cause.

Those of runs with lanes of both kinds, too.
"""

from typing import Any

import pytest

from local.machines import EXPRESS_LANES, STANDARD_LANES
from local.stack import Stack
from tests.engines.moto_engine.stack import MotoStack
from tests.machines.engine_differences import DIFFERENCES, compare, expected
from tests.machines.reference_jsonata import Evaluation, differ, recording, reference
from tests.machines.run_ends import UNTOLD, differently_told
from tests.machines.scenario_coverage import Taken, possible, taken_on
from tests.machines.scenarios import SCENARIOS
from tests.support.redrive_runs import consume, quiet
from tests.support.stack_fixtures import WAIT_SCALE
from tests.support.tables import hold
from tests.support.world import World

pytestmark = pytest.mark.xdist_group("two engines")

_snapshots: dict[tuple[str, str], Any] = {}
_evaluations: dict[Evaluation, Any] = {}
_taken: Taken = set()


@pytest.fixture(scope="module")
def local(stack):
    """Give the local stack with its consumer off, and leave it on."""
    yield stack
    quiet(stack)
    consume(stack, True)


@pytest.fixture(scope="module")
def express():
    """Give a local stack whose lanes are Express executions, its consumer off."""
    with Stack(
        wait_scale=WAIT_SCALE, parameters={"RedriveLaneType": EXPRESS_LANES["RedriveLaneType"]}
    ) as running:
        yield running


def played(stack, name, look=lambda: None):
    """Play a scenario and return what it left behind; `look` is called before that is removed."""
    world = World(stack)
    try:
        SCENARIOS[name].play(world)
        assert differently_told(world) == UNTOLD.get(name, [])
        look()
        return world.snapshot()
    finally:
        world.close()


def played_on_moto(name, lanes=STANDARD_LANES):
    """Play a scenario in process, once for all tests, and keep what was evaluated."""
    of = name, lanes["RedriveLaneType"]
    if of not in _snapshots:
        with MotoStack(substitutions=lanes) as moto, recording(_evaluations):
            _snapshots[of] = played(moto, name, lambda: _taken.update(taken_on(moto)))
    return _snapshots[of]


# Of those whose services are mocked only the partial answers: the paths have the others as well.
_PARTIAL = {"send_fails_in_part", "delete_fails_in_part", "bodies_that_sqs_refuses"}
# Long, and shown on the whole stack by tests of their own.
_LONG = {
    "retried_by_an_operator",
    "edited_by_an_operator",
    "delivered_twice",
    "canary_that_nobody_consumes",
    "rate",
}
_IN_SOAK = _LONG | {name for name, one in SCENARIOS.items() if one.mocked} - _PARTIAL


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.soak if name in _IN_SOAK else ()) for name in SCENARIOS],
)
def test_engines_agree(local, name):
    in_process = played_on_moto(name)
    quiet(local)

    found = compare(in_process, played(local, name))

    assert found == expected(name)  # what no longer differs is to be taken off the list


# Of an Express leg that is over without an answer Step Functions tells nothing: these are in
# `machines/redrive/test_express.py`, for they take five minutes where time is real.
_STANDARD_ALONE = {
    "RunLane_fails_for_good",
    "leg_that_does_not_begin",
    "leg_whose_answer_was_lost",
    "lane_that_was_stopped",
}
_NOT_GIVEN_BACK = {"GiveBackDeadLetters_fails_for_good": {"/queues/DeadLetter/0/visible"}}
_OF_NO_RUN = {"retries", "fences", "consuming"}


@pytest.mark.soak  # one state tells a run of its legs, and the paths have all its ways
@pytest.mark.xdist_group("express lanes")  # its stack is another
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, one in SCENARIOS.items()
        if one.play.__module__.rpartition(".")[2] not in _OF_NO_RUN and name not in _STANDARD_ALONE
    ],
)
def test_lanes_of_both_kinds_come_to_the_same(express, name):
    in_process = played_on_moto(name, EXPRESS_LANES)
    assert compare(played_on_moto(name), in_process).keys() == _NOT_GIVEN_BACK.get(name, set())
    quiet(express)

    found = compare(in_process, played(express, name))

    assert found == expected(name)


@pytest.mark.tables
def test_differences_name_scenarios_and_stand_in_the_document():
    assert {name for one in DIFFERENCES for name, _ in one.where} <= SCENARIOS.keys()
    hold(
        "differences",
        ("difference", "AWS's documentation sides with", "fields", "scenarios"),
        (
            (one.cause, f"[{one.aws}]({one.link})", len(one.where), len({n for n, _ in one.where}))
            for one in DIFFERENCES
        ),
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, {}),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, {"/a/1/b": (2, 3)}),
        ({"a": [1]}, {"a": [1, 2]}, {"/a": ([1], [1, 2])}),
        ({"a": 1}, {}, {"/a": (1, None)}),
        ({"a": 1}, {"a": True}, {"/a": (1, True)}),
    ],
)
def test_fields_that_differ_are_named(one, other, expected):
    assert compare(one, other) == expected


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(SCENARIOS.keys() - _IN_SOAK, id="usual"),
        pytest.param(_IN_SOAK, id="others", marks=pytest.mark.soak),
    ],
)
def test_expressions_mean_the_same_to_the_reference_implementation(names):
    for name in sorted(names):
        played_on_moto(name)
    evaluations = list(_evaluations)

    answers = reference(evaluations)

    assert len(answers) == len(evaluations) > 1_000
    assert [
        (text, given[:2_000], _evaluations[text, given], theirs)
        for (text, given), theirs in zip(evaluations, answers, strict=True)
        if differ(_evaluations[text, given], theirs)
    ] == []


@pytest.mark.timeout(300)
def test_scenarios_take_all_that_the_machines_have():
    # Of the long ones only those that go where no other does.
    for name in SCENARIOS.keys() - _LONG | {"rate", "canary_that_nobody_consumes"}:
        played_on_moto(name)

    assert sorted(possible() - _taken) == []

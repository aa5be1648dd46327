"""Every scenario on two engines: the same paths, outputs, queues and tables, or a known cause."""

from typing import Any

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.machines.engine_differences import DIFFERENCES, compare, expected
from tests.machines.reference_jsonata import Evaluation, differ, recording, reference
from tests.machines.run_ends import UNTOLD, differently_told
from tests.machines.scenario_coverage import Taken, possible, taken_on
from tests.machines.scenarios import SCENARIOS
from tests.support.redrive_runs import consume, quiet
from tests.support.tables import hold
from tests.support.world import World

pytestmark = pytest.mark.xdist_group("two engines")

_snapshots: dict[str, Any] = {}
_evaluations: dict[Evaluation, Any] = {}
_taken: Taken = set()


@pytest.fixture(scope="module")
def local(stack):
    """Give the local stack with its consumer off, and leave it on."""
    yield stack
    quiet(stack)
    consume(stack, True)


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


def played_on_moto(name):
    """Play a scenario in process, once for all tests, and keep what was evaluated."""
    if name not in _snapshots:
        with MotoStack() as moto, recording(_evaluations):
            _snapshots[name] = played(moto, name, lambda: _taken.update(taken_on(moto)))
    return _snapshots[name]


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

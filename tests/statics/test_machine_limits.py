"""What is read in one go stays small in the machines too: states, choices, expressions.

Rules that need more are for `workflows/`, where they are read and tested as Python.
"""

import json

import pytest

from local.stack import ROOT
from tests.support.history import states_of

STATES = {"redrive": 16, "redrive_lane": 16, "retry": 22}
CHOICE_RULES = 5
EXPRESSION_LETTERS = 400
ALL_LETTERS = 15_000
MACHINES = {
    path.name.partition(".")[0]: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "statemachines").glob("*.asl.json"))
}


def expressions(value):
    """Return every JSONata expression in a definition, or a part of one."""
    if isinstance(value, dict):
        return [found for part in value.values() for found in expressions(part)]
    if isinstance(value, list):
        return [found for part in value for found in expressions(part)]
    return [value] if isinstance(value, str) and value.startswith("{%") else []


def test_every_machine_has_its_limit():
    assert MACHINES.keys() == STATES.keys()


@pytest.mark.parametrize("name", MACHINES)
def test_machine_has_few_states(name):
    assert len(states_of(json.dumps(MACHINES[name]))) <= STATES[name]


@pytest.mark.parametrize("name", MACHINES)
def test_no_choice_has_more_rules_than_can_be_kept_in_mind(name):
    choices = {n: s for n, s in MACHINES[name]["States"].items() if s["Type"] == "Choice"}

    assert [n for n, s in choices.items() if len(s["Choices"]) > CHOICE_RULES] == []
    assert [n for n, s in choices.items() if "Default" not in s] == []


@pytest.mark.parametrize("name", MACHINES)
def test_every_expression_is_short(name):
    found = expressions(MACHINES[name])

    assert [text for text in found if len(text) > EXPRESSION_LETTERS] == []


def test_all_expressions_together_are_few():
    assert 1_000 < sum(len(text) for text in expressions(MACHINES)) <= ALL_LETTERS

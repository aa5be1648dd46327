"""`statemachines/README.md` draws each machine as it is, and tells each of its variables once."""

import json
import re

import pytest

from local.stack import ROOT
from tests.support import tables
from tests.support.history import states_of

PAGE = ROOT / "statemachines" / "README.md"
MACHINES = {
    path.name.partition(".")[0]: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "statemachines").glob("*.asl.json"))
}
SHAPES = {
    "Task": '["{}"]',
    "Choice": '{{{{"{}"}}}}',
    "Wait": '(["{}"])',
    "Pass": '[/"{}"/]',
    "Succeed": '[["{}"]]',
    "Fail": '[["{}"]]',
}
# To a state that more of them lead to no error is drawn: there would be nothing else to see.
_ERRORS_DRAWN = 4


def leads_to(state):
    """Return where a state leads, and where its errors do."""
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    found = [*choices, *(state[key] for key in ("Default", "Next") if key in state)]
    caught = [catch["Next"] for catch in state.get("Catch", [])]
    return list(dict.fromkeys(found)), list(dict.fromkeys(n for n in caught if n not in found))


def often_caught(states):
    caught = [name for state in states.values() for name in leads_to(state)[1]]
    return sorted({name for name in caught if caught.count(name) > _ERRORS_DRAWN})


def called(state):
    """Return what a Task calls, in short."""
    if state["Type"] != "Task":
        return ""
    resource = state["Resource"].partition(":::")[2].removeprefix("aws-sdk:")
    function = re.search(r"\$\{(\w+)FunctionArn\}", json.dumps(state.get("Arguments", {})))
    return f"<br/>{f'Lambda {function[1]}' if function else resource}"


def boxes(states):
    """Return a line for each state; a Map is a frame around those of its items."""
    lines = []
    for name, state in states.items():
        if state["Type"] != "Map":
            lines.append(f"  {name}{SHAPES[state['Type']].format(name + called(state))}")
            continue
        lines.append(f'  subgraph {name}["{name}, for each"]')
        lines += [f"  {line}" for line in boxes(state["ItemProcessor"]["States"])]
        lines.append("  end")
    return lines


def picture(machine):
    states = states_of(json.dumps(machine))
    often = often_caught(states)
    lines = ["```mermaid", "flowchart TD", f"  Start(( )) --> {machine['StartAt']}"]
    lines += boxes(machine["States"])
    for name, state in states.items():
        found, caught = leads_to(state)
        lines += [f"  {name} --> {following}" for following in found]
        lines += [f"  {name} -.-> {following}" for following in caught if following not in often]
    told = ", ".join(f"`{name}`" for name in often)
    also = [f"Not drawn: the errors that lead to {told}.", ""] if often else []
    return "\n".join([*lines, "```", "", *also])


@pytest.mark.tables
@pytest.mark.parametrize("name", MACHINES)
def test_machine_is_drawn_as_it_is(name):
    tables.hold_text(name, picture(MACHINES[name]), PAGE)


def assigned(machine):
    """Return the variables of a machine, which it assigns in a state or on a way out of one."""
    return {
        name
        for state in states_of(json.dumps(machine)).values()
        for way in (state, *state.get("Choices", []), *state.get("Catch", []))
        for name in way.get("Assign", {})
    }


@pytest.mark.parametrize("name", MACHINES)
def test_each_variable_is_told_once_and_none_that_there_is_not(name):
    section = PAGE.read_text(encoding="utf-8").partition(f"<!-- /{name} -->")[2]
    table = section.partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \| \S.* \|$", table, re.MULTILINE)

    assert sorted(told) == sorted(assigned(MACHINES[name]))


@pytest.mark.parametrize("name", MACHINES)
def test_each_variable_that_is_read_is_assigned(name):
    text = json.dumps(MACHINES[name])
    own = set(re.findall(r"\$(\w+) := |function\(([^)]*)\)", text))
    local = {word for found in own for word in re.findall(r"\w+", " ".join(found))}
    functions = set(re.findall(r"\$(\w+)\(", text))
    read = set(re.findall(r"\$(\w+)\b", re.sub(r"\$\{\w+\}", "", text)))

    assert read - functions - local - {"states"} == assigned(MACHINES[name])

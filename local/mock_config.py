"""A mock configuration file of Step Functions Local, and what in it would mock nothing.

A misspelled name mocks nothing: the execution calls the services themselves. Each is an error.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file.

    Raises:
        ValueError: in one sentence, if it is not there or is none.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The mock configuration file {path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not {"StateMachines", "MockedResponses"} <= config.keys():
        raise ValueError(
            f"The mock configuration file {path} lacks StateMachines or MockedResponses."
        )
    return config


def cases(config: dict[str, Any], machine: str) -> dict[str, dict[str, str]]:
    """Return a machine's test cases: for each the response's name by state."""
    found: dict[str, dict[str, str]] = (
        config.get("StateMachines", {}).get(machine, {}).get("TestCases", {})
    )
    return found


def mistakes(config: dict[str, Any], machine: str, states: Iterable[str]) -> list[str]:
    """Return what is wrong with all test cases of a machine that has these states."""
    known = list(states)
    return [
        mistake
        for case in cases(config, machine)
        for mistake in case_mistakes(config, machine, known, case)
    ]


def case_mistakes(
    config: dict[str, Any], machine: str, states: Iterable[str], case: str
) -> list[str]:
    """Return what is wrong with one test case, that it is not there included."""
    known, mocks = cases(config, machine), config.get("MockedResponses", {})
    if case not in known:
        return [f"{machine} has no test case {case}{_like(case, known)}"]
    found = []
    for state, response in known[case].items():
        if state not in states:
            found.append(f"{machine}#{case}: there is no state {state}{_like(state, states)}")
        if response not in mocks:
            found.append(f"{machine}#{case}: no response {response}{_like(response, mocks)}")
        else:
            found += [f"{response}: {wrong}" for wrong in _wrong_invocations(mocks[response])]
    return found


def tasks(definition: str) -> list[str]:
    """Return the names of the Task states of a definition, at any depth."""
    return list(_tasks(json.loads(definition)))


def _tasks(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, state in (node.get("States") or {}).items():
            if state.get("Type") == "Task":
                yield name
            yield from _tasks(state)
        for key in ("Branches", "Iterator", "ItemProcessor"):
            yield from _tasks(node.get(key))
    elif isinstance(node, list):
        for child in node:
            yield from _tasks(child)


def _wrong_invocations(invocations: dict[str, Any]) -> list[str]:
    """Return the keys that no invocation, or no answer to one, has."""
    found = []
    for number, answer in invocations.items():
        if not re.fullmatch(r"\d+(-\d+)?", number):
            found.append(f'{number!r} is no invocation: "0", or "1-3".')
        unknown = answer.keys() - {"Return", "Throw"}
        found += [f"{key!r} is neither Return nor Throw." for key in sorted(unknown)]
    return found


def _like(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; is {near[0]} meant?" if near else "."

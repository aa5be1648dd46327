"""The expressions of the lane machine, evaluated without running it."""

import json
from functools import cache
from typing import Any

from jsonata import jsonata

from local.stack import ROOT

SUBSTITUTIONS = {"PollSeconds": "1"}


@cache
def states() -> dict[str, Any]:
    """Return the states of the shipped machine, its substitutions made."""
    text = (ROOT / "statemachines" / "redrive_lane.asl.json").read_text()
    for name, value in SUBSTITUTIONS.items():
        text = text.replace("${" + name + "}", value)
    return dict(json.loads(text)["States"])


def evaluate(expression: str, **variables: Any) -> Any:
    """Return the value of `{% expression %}`; `millis` is the time that `$millis()` gives."""
    compiled = _compiled(expression)
    frame = compiled.create_frame()
    for name, value in variables.items():
        frame.bind(name, value)
    return compiled.evaluate(None, frame)


def evaluate_all(value: Any, **variables: Any) -> Any:
    """Return a JSON value with every expression in it evaluated, as a state's `Arguments` are."""
    if isinstance(value, dict):
        return {name: evaluate_all(part, **variables) for name, part in value.items()}
    if isinstance(value, list):
        return [evaluate_all(part, **variables) for part in value]
    if isinstance(value, str) and value.startswith("{%"):
        return evaluate(value, **variables)
    return value


@cache
def _compiled(expression: str) -> Any:
    text = expression.removeprefix("{%").removesuffix("%}")
    return jsonata.Jsonata(text.replace("$millis()", "$millis"))


def next_of(state: str, **variables: Any) -> str:
    """Return the state that a Choice goes to."""
    choice = states()[state]
    for rule in choice["Choices"]:
        if evaluate(rule["Condition"], **variables):
            return str(rule["Next"])
    return str(choice["Default"])

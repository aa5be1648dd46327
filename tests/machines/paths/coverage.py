"""Which states, Choice rules, Catch and Retry entries of a machine its executions have taken."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonata import jsonata

from tests.support.history import Step, matching, states_of

KINDS = ("states", "choice rules", "catches", "retries")


class HistoryContradictsMachine(AssertionError):
    """The execution did what the machine does not say."""


@dataclass(frozen=True, order=True)
class Branch:
    """What a test can take: a state or one of its ways. `kind` is of `KINDS`."""

    kind: str
    state: str
    way: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.state} {self.way}".rstrip()


@dataclass(frozen=True)
class Execution:
    """What conditions may ask about an execution besides its steps."""

    arn: str
    machine_arn: str
    steps: list[Step]

    def context(self, step: Step) -> dict[str, Any]:
        """Return `$states.context` at a step."""
        return {
            "Execution": {"Id": self.arn, "Name": self.arn.rpartition(":")[2]},
            "StateMachine": {"Id": self.machine_arn, "Name": self.machine_arn.rpartition(":")[2]},
            "State": {"Name": step.state, "EnteredTime": step.entered.isoformat()},
        }


def branches(definition: str) -> set[Branch]:
    """Return all that a machine has, with the substitutions that its executions have."""
    found = set()
    for name, state in states_of(definition).items():
        found.add(Branch("states", name))
        found |= {Branch("choice rules", name, _rule(state, way)) for way in _ways(state)}
        found |= {Branch("catches", name, _catch(entry)) for entry in state.get("Catch", [])}
        found |= {Branch("retries", name, _retry(entry)) for entry in state.get("Retry", [])}
    return found


def taken(definition: str, execution: Execution) -> set[Branch]:
    """Return what an execution has taken of its machine, whose definition is as it was deployed.

    Raises:
        HistoryContradictsMachine: it went on as the definition does not say.
    """
    states = states_of(definition)
    found = set()
    for step in execution.steps:
        state = states[step.state]
        found.add(Branch("states", step.state))
        if state["Type"] == "Choice":
            found.add(
                Branch("choice rules", step.state, _rule(state, _chosen(state, step, execution)))
            )
        found |= _retried(state, step)
        if step.errors and len(step.errors) == step.tries and step.following:
            index = matching(state.get("Catch", []), step.errors[-1])
            catches = state.get("Catch", [])
            if index is None or catches[index]["Next"] != step.following:
                raise HistoryContradictsMachine(
                    f"{step.errors[-1]} led to {step.following}: {step}"
                )
            found.add(Branch("catches", step.state, _catch(catches[index])))
    return found


def rows(possible: dict[str, set[Branch]], done: dict[str, set[Branch]]) -> list[dict[str, Any]]:
    """Return the table: a row for each machine, `taken/total` under each of `KINDS`."""
    table = []
    for machine, every in possible.items():
        row: dict[str, Any] = {"machine": machine}
        for kind in KINDS:
            total = {branch for branch in every if branch.kind == kind}
            row[kind] = f"{len(total & done.get(machine, set()))}/{len(total)}"
        table.append(row)
    return table


def _ways(state: dict[str, Any]) -> Iterable[int | None]:
    """Return the index of each rule of a Choice, and None for its default if it has one."""
    if state["Type"] != "Choice":
        return []
    rules: list[int | None] = list(range(len(state["Choices"])))
    return [*rules, None] if "Default" in state else rules


def _rule(state: dict[str, Any], way: int | None) -> str:
    if way is None:
        return f"default -> {state['Default']}"
    return f"rule {way + 1} -> {state['Choices'][way]['Next']}"


def _catch(entry: dict[str, Any]) -> str:
    return f"{', '.join(entry['ErrorEquals'])} -> {entry['Next']}"


def _retry(entry: dict[str, Any]) -> str:
    return ", ".join(entry["ErrorEquals"])


def _retried(state: dict[str, Any], step: Step) -> set[Branch]:
    """Return the Retry entries that did what they are for: one more try, or none at all."""
    found = set()
    for number, error in enumerate(step.errors):
        index = matching(state.get("Retry", []), error)
        if index is None:
            continue
        entry = state["Retry"][index]
        again, allowed = number + 1 < step.tries, entry.get("MaxAttempts", 3) > 0
        if again and not allowed:
            raise HistoryContradictsMachine(f"{error} was retried: {step}")
        if again == allowed:
            found.add(Branch("retries", step.state, _retry(entry)))
    return found


def _chosen(state: dict[str, Any], step: Step, execution: Execution) -> int | None:
    """Return the rule by which a Choice was left, None for its default.

    Where it went and what it assigned tell most rules. Only if several remain are their conditions
    evaluated, in their order; the last of them needs no proof.
    """
    remaining = [
        way
        for way in _ways(state)
        if _next(state, way) == step.following and _assigns(state, way) == step.assigned.keys()
    ]
    if not remaining:
        raise HistoryContradictsMachine(f"no rule leads to {step.following}: {step}")
    for way in remaining[:-1]:
        if way is not None and _holds(state["Choices"][way]["Condition"], step, execution):
            return way
    return remaining[-1]


def _next(state: dict[str, Any], way: int | None) -> Any:
    return state["Default"] if way is None else state["Choices"][way]["Next"]


def _assigns(state: dict[str, Any], way: int | None) -> set[str]:
    chosen = state if way is None else state["Choices"][way]
    return set(chosen.get("Assign", {}))


def _holds(condition: str, step: Step, execution: Execution) -> bool:
    compiled = _compiled(condition)
    frame = compiled.create_frame()
    for name, value in step.variables.items():
        frame.bind(name, value)
    frame.bind("millis", round(step.entered.timestamp() * 1000))
    frame.bind("states", {"input": step.given, "context": execution.context(step)})
    return compiled.evaluate(None, frame) is True


@cache
def _compiled(condition: str) -> Any:
    text = condition.removeprefix("{%").removesuffix("%}")
    return jsonata.Jsonata(text.replace("$millis()", "$millis"))  # the time then, not now

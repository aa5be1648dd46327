"""The way of an execution through its machine, read from GetExecutionHistory of any engine."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# This is no one's to catch by another name:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_ONLY_BY_NAME = {"States.Runtime"}
_FAILURES = {
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
    "TaskStartFailed": "taskStartFailedEventDetails",
    "TaskSubmitFailed": "taskSubmitFailedEventDetails",
}


@dataclass
class Step:
    """One state that an execution entered.

    `given` is its input, `variables` those at its entry, `assigned` what it or the way it was left
    by changed, `errors` what each failed try ended with, `tries` their number with the last.
    `following` is the state after it, None when the execution or an item ended here; `is_left`
    tells that it did not end within it.
    """

    state: str
    entered: datetime
    given: Any
    variables: dict[str, Any]
    assigned: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    tries: int = 0
    following: str | None = None
    is_left: bool = False


def read(stepfunctions: Any, execution_arn: str) -> list[Step]:
    """Return the steps of an execution so far; `stepfunctions` is a boto3 client."""
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn, PaginationConfig={"PageSize": 1_000}
    )
    return steps_of(event for page in pages for event in page["events"])


def steps_of(events: Iterable[dict[str, Any]]) -> list[Step]:
    """Return the steps that a history tells; those of a Map's items follow the Map's own.

    An event is about the state of the one before it, which is not the last where items take turns.
    """
    steps: list[Step] = []
    at: dict[int, Step] = {}  # the state of each event
    for number, event in enumerate(events):
        kind, own = event["type"], event.get("id", number)
        step = at.get(event.get("previousEventId", own - 1))
        if kind.endswith("StateEntered"):
            step = _entered(event, step)
            steps.append(step)
        elif kind.endswith("StateExited"):
            told = event["stateExitedEventDetails"]
            if step is None or step.is_left or step.state != told["name"]:  # of the last item
                step = next(one for one in steps if one.state == told["name"] and not one.is_left)
            assigned = told.get("assignedVariables", {})
            step.assigned = {name: json.loads(text) for name, text in assigned.items()}
            step.is_left = True
        elif step is not None and kind == "TaskScheduled":
            step.tries += 1
        elif step is not None and kind in _FAILURES:
            step.errors.append(event[_FAILURES[kind]].get("error", "States.Timeout"))
        if step is not None:
            at[own] = step
    return steps


def _entered(event: dict[str, Any], before: Step | None) -> Step:
    details = event["stateEnteredEventDetails"]
    if before is not None and before.is_left:
        before.following = details["name"]
    variables = {} if before is None else before.variables | before.assigned
    given = json.loads(details["input"])
    return Step(details["name"], event["timestamp"], given, variables)


def states_of(definition: str) -> dict[str, Any]:
    """Return all states of a machine by their names, those of a Map's items included."""
    return dict(_states(json.loads(definition)))


def _states(machine: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from _states(state["ItemProcessor"])


def matching(handlers: list[dict[str, Any]], error: str) -> int | None:
    """Return which Retry or Catch entry takes an error; the first that names it does."""
    for index, handler in enumerate(handlers):
        names = handler["ErrorEquals"]
        if error in names:
            return index
        if "States.ALL" in names and error not in _ONLY_BY_NAME:
            return index
        if "States.TaskFailed" in names and error not in {*_ONLY_BY_NAME, "States.Timeout"}:
            return index
    return None

"""The way of an execution through its machine, read from GetExecutionHistory of any engine."""

import json
from collections.abc import Iterable
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
    `following` is the state after it, None when the execution ended here.
    """

    state: str
    entered: datetime
    given: Any
    variables: dict[str, Any]
    assigned: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    tries: int = 0
    following: str | None = None


def read(stepfunctions: Any, execution_arn: str) -> list[Step]:
    """Return the steps of an execution so far; `stepfunctions` is a boto3 client."""
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn, PaginationConfig={"PageSize": 1_000}
    )
    return steps_of(event for page in pages for event in page["events"])


def steps_of(events: Iterable[dict[str, Any]]) -> list[Step]:
    """Return the steps that a history tells."""
    steps: list[Step] = []
    variables: dict[str, Any] = {}
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            if steps:
                steps[-1].following = details["name"]
            given = json.loads(details["input"])
            steps.append(Step(details["name"], event["timestamp"], given, variables))
        elif kind.endswith("StateExited"):
            told = event["stateExitedEventDetails"].get("assignedVariables", {})
            steps[-1].assigned = {name: json.loads(text) for name, text in told.items()}
            variables = variables | steps[-1].assigned
        elif kind == "TaskScheduled":
            steps[-1].tries += 1
        elif kind in _FAILURES:
            steps[-1].errors.append(event[_FAILURES[kind]].get("error", "States.Timeout"))
    return steps


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

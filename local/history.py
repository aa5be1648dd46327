"""What an execution did, read from its history as the Step Functions console shows it.

A redrive run did what the legs of its lane did, too: each is an execution of its own.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# A turn of a lane begins with the first, and ends before the next one or with its leg.
_TURN, _OVER = "ReceiveDeadLetters", "SettleLeg"
_LEG, _SENT = "StartLeg", "RedriveMessages"


@dataclass
class Turn:
    """One turn of a lane: how many messages it received, what it cost."""

    messages: int = 0
    transitions: int = 0


@dataclass
class History:
    """One execution, and those that it ran and waited for.

    `states` are the states they entered, in order; `steps` the same with how long a wait took and
    which error a task ended with; `turns` those of a redrive run, the empty ones included; `sent`
    when that run sent how many messages; `legs` how many in each leg of its lane. `transitions` is
    what AWS bills: every state entered, and every retry of a task.
    """

    states: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    sent: list[tuple[datetime, int]] = field(default_factory=list)
    legs: list[int] = field(default_factory=list)
    transitions: int = 0
    _in_turn: bool = False
    _to_try: int = 0  # tasks that were entered and not begun: several where lanes take turns
    _entered: datetime | None = None

    def count(self, state: str) -> int:
        """Return how often a state was entered."""
        return self.states.count(state)

    def full_turns(self, size: int) -> list[Turn]:
        """Return the turns that received `size` messages."""
        return [turn for turn in self.turns if turn.messages == size]

    def most_sent_in_a_second(self) -> int:
        """Return how many messages were sent in the fullest second."""
        return max(
            (
                sum(count for when, count in self.sent if 0 <= (when - first).total_seconds() < 1)
                for first, _ in self.sent
            ),
            default=0,
        )

    def add(self, event: dict[str, Any]) -> None:
        """Take the next event of GetExecutionHistory."""
        kind = event["type"]
        if kind.endswith("StateEntered"):
            self._enter(event["stateEnteredEventDetails"]["name"], event["timestamp"])
            self._to_try += kind.startswith("Task")
        elif kind == "WaitStateExited":
            waited = event["timestamp"] - (self._entered or event["timestamp"])
            self.steps[-1] += f" ({waited.total_seconds():.1f} s)"
        elif kind in ("TaskScheduled", "LambdaFunctionScheduled"):
            if self._to_try:
                self._to_try -= 1
            else:
                self._transition()
        elif kind == "TaskFailed":
            self.steps[-1] += f" ({event['taskFailedEventDetails'].get('error', 'failed')})"
        elif kind == "TaskSucceeded" and self.states[-1] == _TURN:
            output = json.loads(event["taskSucceededEventDetails"]["output"])
            self.turns[-1].messages = len(output.get("Messages", []))
        elif kind == "TaskSucceeded" and self.states[-1] == _SENT:
            output = json.loads(event["taskSucceededEventDetails"]["output"])
            self.sent.append((event["timestamp"], len(output.get("Successful", []))))
            self.legs[-1] += self.sent[-1][1]

    def _enter(self, state: str, when: datetime) -> None:
        self.states.append(state)
        self.steps.append(state)
        if state == _TURN:
            self.turns.append(Turn())
        if state == _LEG:
            self.legs.append(0)
        self._in_turn = state == _TURN or (self._in_turn and state != _OVER)
        self._entered = when
        self._transition()

    def _transition(self) -> None:
        self.transitions += 1
        if self._in_turn:
            self.turns[-1].transitions += 1


def read(stepfunctions: Any, execution_arn: str) -> History:
    """Return the history of an execution so far; `stepfunctions` is a boto3 client."""
    history = History()
    _read_into(history, stepfunctions, execution_arn)
    return history


def _read_into(history: History, stepfunctions: Any, execution_arn: str) -> None:
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn, PaginationConfig={"PageSize": 1_000}
    )
    for page in pages:
        for event in page["events"]:
            history.add(event)
            nested = _waited_for(event)
            if nested:
                _read_into(history, stepfunctions, nested)


def _waited_for(event: dict[str, Any]) -> str:
    """Return the ARN of the execution that a task ran to its end; "" for any other event."""
    details = event.get("taskSucceededEventDetails", {})
    if "startExecution.sync" not in details.get("resource", ""):
        return ""
    return str(json.loads(details["output"])["ExecutionArn"])

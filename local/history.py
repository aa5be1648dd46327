"""What an execution did, read from its history as the Step Functions console shows it."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# A turn of the redrive machine's loop begins with the first; the others end the loop.
_TURN = "ReceiveDeadLetters"
_AFTER = ("FinishRun", "FailRun")
_SENT, _WATCHED = "RedriveMessages", "WaitForOutcomes"


@dataclass
class Turn:
    """One turn of a redrive's loop: how many messages it received, what it cost."""

    messages: int = 0
    transitions: int = 0


@dataclass
class History:
    """One execution.

    `states` are the states it entered, in order; `steps` the same with how long a wait took and
    which error a task ended with; `turns` those of a redrive run, the empty ones included; `sent`
    when that run sent how many messages; `canary_steps` how many between one watch and the next.
    `transitions` is what AWS bills: every state entered, and every retry of a task.
    """

    states: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    sent: list[tuple[datetime, int]] = field(default_factory=list)
    canary_steps: list[int] = field(default_factory=list)
    transitions: int = 0
    _in_turn: bool = False
    _tries: int = 0
    _entered: datetime | None = None
    _unwatched: int = 0

    def count(self, state: str) -> int:
        """Return how often the execution entered a state."""
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
        elif kind == "WaitStateExited":
            waited = event["timestamp"] - (self._entered or event["timestamp"])
            self.steps[-1] += f" ({waited.total_seconds():.1f} s)"
        elif kind in ("TaskScheduled", "LambdaFunctionScheduled"):
            self._tries += 1
            if self._tries > 1:
                self._transition()
        elif kind == "TaskFailed":
            self.steps[-1] += f" ({event['taskFailedEventDetails'].get('error', 'failed')})"
        elif kind == "TaskSucceeded" and self.states[-1] == _TURN:
            output = json.loads(event["taskSucceededEventDetails"]["output"])
            self.turns[-1].messages = len(output.get("Messages", []))
        elif kind == "TaskSucceeded" and self.states[-1] == _SENT:
            output = json.loads(event["taskSucceededEventDetails"]["output"])
            self.sent.append((event["timestamp"], len(output.get("Successful", []))))
            self._unwatched += self.sent[-1][1]

    def _enter(self, state: str, when: datetime) -> None:
        self.states.append(state)
        self.steps.append(state)
        if state == _TURN:
            self.turns.append(Turn())
        if state == _WATCHED and self._unwatched:
            self.canary_steps.append(self._unwatched)
            self._unwatched = 0
        self._in_turn = state == _TURN or (self._in_turn and state not in _AFTER)
        self._tries, self._entered = 0, when
        self._transition()

    def _transition(self) -> None:
        self.transitions += 1
        if self._in_turn:
            self.turns[-1].transitions += 1


def read(stepfunctions: Any, execution_arn: str) -> History:
    """Return the history of an execution so far; `stepfunctions` is a boto3 client."""
    history = History()
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn, PaginationConfig={"PageSize": 1_000}
    )
    for page in pages:
        for event in page["events"]:
            history.add(event)
    return history

"""How long one execution of the redrive machine lives, and how much it has to tell.

The machine is walked here state by state, with a clock of ours: its rules, waits and assignments
are evaluated, its tasks answered by the slowest world in which a run still goes well. Each task
takes all of its `TimeoutSeconds` once, a watched message ends at the last look that may still see
it, and the messages of a batch are of one group, so that each is a wave of its own.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.stack import ROOT
from tests.support.redrive_expressions import evaluate_all, states
from workflows.redrive.requests import RedriveRequest

TIMEOUT = json.loads((ROOT / "statemachines" / "redrive.asl.json").read_text())["TimeoutSeconds"]
HAND_OVER = 4 * 3_600  # of this the rule of MoreToDo
CONTEXT = {"Execution": {"Name": "run", "Id": "arn:execution:run"}, "StateMachine": {"Id": "arn"}}


GUARDED: dict[str, Any] = {
    "verdict": "redrive",
    "statement": {"Statement": "s", "Parameters": []},
}


@dataclass
class Walk:
    """One execution: `variables` are the machine's, `visits` counts its states.

    `adversity` lets each batch be of messages of many groups, of which the filter leaves out one
    and SQS refuses another, so that a turn goes through every state that it may.
    """

    request: dict[str, Any]
    letters: int = 1_000_000
    slowness: float = 1  # the part of its time limit that a task takes
    adversity: bool = False
    retries: int = 0  # of each task
    events: int = 2  # ExecutionStarted, and how it ended
    now: float = 0  # milliseconds
    variables: dict[str, Any] = field(default_factory=dict)
    visits: Counter[str] = field(default_factory=Counter)

    def evaluate(self, value: Any, **found: Any) -> Any:
        given = {"states": {"context": CONTEXT} | found, "millis": self.now}
        return evaluate_all(value, **self.variables, **given)

    def end(self) -> str:
        """Walk to the end and return its state's name, or of the state in which a day is over."""
        name = "InspectQueue"
        while self.now < 86_400_000:
            self.visits[name] += 1
            state = states()[name]
            # Entered and exited; a task is scheduled, started, and succeeds or fails each time.
            self.events += 2 + 3 * (1 + self.retries) * (state["Type"] == "Task")
            if state["Type"] == "Fail" or state.get("End"):
                self.now += 1_000 * state.get("TimeoutSeconds", 0) * self.slowness
                return name
            name = self.next_after(name, state)
        return name

    def next_after(self, name: str, state: dict[str, Any]) -> str:
        if state["Type"] == "Choice":
            way = next(
                (rule for rule in state["Choices"] if self.evaluate(rule["Condition"])),
                {"Next": state["Default"]},
            )
        elif state["Type"] == "Wait":
            self.now += 1_000 * self.evaluate(state["Seconds"])
            way = state
        else:
            self.now += 1_000 * state["TimeoutSeconds"] * self.slowness
            found = {"result": self.answer(name, state), "input": {"request": self.request}}
            # All at once, from the values before, as AWS does.
            self.variables |= self.evaluate(state.get("Assign", {}), **found)
            return str(state["Next"])
        self.variables |= self.evaluate(way.get("Assign", {}))
        return str(way["Next"])

    def answer(self, name: str, state: dict[str, Any]) -> dict[str, Any]:
        if name == "InspectQueue":
            asked = state["Arguments"]["AttributeNames"]
            return {"Attributes": dict.fromkeys(asked, "4096")}
        if name == "ValidateInput":
            return {"Payload": {"request": self.request}}
        if name == "InspectRest":
            return {"Attributes": dict.fromkeys(state["Arguments"]["AttributeNames"], "0")}
        if name == "ReceiveDeadLetters":
            count = min(self.letters, self.evaluate(state["Arguments"]["MaxNumberOfMessages"]))
            self.letters -= count
            return {"Messages": [{"MessageId": "m", "ReceiptHandle": "h"}] * count} if count else {}
        if name == "ValidateMessages":
            count = len(self.variables["batch"])
            verdicts = [self.verdict(index) for index in range(count)]
            return {"Payload": {"verdicts": verdicts, "mark": "m", "common": [], "confirmed": []}}
        if name == "GuardLoop":
            return {"Responses": [{}] * 25}
        if name == "RedriveMessages":
            sent = [v["index"] for v in self.variables["turn"] if v["outcome"] == "redrive"]
            refused = self.adversity and len(sent) > 1  # a run whose every message is refused ends
            return {"Successful": [{"Id": str(index)} for index in sent[refused:]]}
        if name == "CountOutcomes":
            watched = self.now - self.variables["watch_from"]
            over = watched >= 1_000 * self.request["canary"]["watch_seconds"]
            processed = self.variables["counts"]["redriven"] if over else 0
            outcome = {"active": True, "died_again": 0, "processed": processed}
            return {"Payload": outcome | {"lease_lost": False}}
        return {}

    def verdict(self, index: int) -> dict[str, Any]:
        found = {"index": index, "ledger_id": "i", "redrives": 0}
        if not self.adversity:
            return found | GUARDED | {"wave": index, "group": "g"}
        group = {"wave": 0, "group": f"g-{index}"}
        return found | group | (GUARDED if index else {"verdict": "left"})


def canary(watch_seconds, messages=9):
    return {"canary": {"messages": messages, "watch_seconds": watch_seconds}}


LONGEST_WATCH = RedriveRequest.model_json_schema()["$defs"]["Canary"]["properties"][
    "watch_seconds"
]["maximum"]  # fmt: skip
SLOWEST_RATE = {"max_per_second": 0.1}


@pytest.mark.parametrize("rate", [{}, SLOWEST_RATE], ids=["as fast as it can", "slowest"])
@pytest.mark.parametrize("watch", [300, 3_000, 6_500, LONGEST_WATCH])
def test_run_with_a_canary_is_handed_over_before_its_time_is_over(watch, rate):
    walk = Walk(RedriveRequest.model_validate(canary(watch) | rate).options())

    assert walk.end() == "ContinuedBySuccessor"
    assert walk.visits["HandOverRun"] == 1
    assert HAND_OVER < walk.now / 1_000 < TIMEOUT


@pytest.mark.parametrize(
    ("messages", "watches"), [(1, range(13_400, 14_401, 200)), (9, range(11_800, 13_001, 200))]
)
def test_watch_that_begins_just_before_four_hours_is_the_last_one(messages, watches):
    """The longest of all: a watch ends just in time for another step, which is watched as long."""
    found = []
    for watch in watches:
        walk = Walk(canary(watch, messages))
        assert walk.end() == "ContinuedBySuccessor"
        found.append(walk.now / 1_000)

    assert max(found) < TIMEOUT
    assert max(found) > 2 * watches[0]  # two watches, or this would prove nothing
    assert min(found) < 2 * watches[0]  # and one, when the first ended too late for another


def test_run_that_ends_with_a_watch_begun_just_before_four_hours_ends_in_time():
    walk = Walk(canary(11_700), letters=14)  # a step of 9, and not the whole of the next

    assert walk.end() == "FinishRun"
    assert walk.variables["watched"] == 14
    assert 2 * 11_700 < walk.now / 1_000 < TIMEOUT


def test_run_without_a_canary_is_handed_over_soon_after_four_hours():
    walk = Walk({})

    assert walk.end() == "ContinuedBySuccessor"
    assert HAND_OVER < walk.now / 1_000 < HAND_OVER + 1_200  # a batch of ten waves


def test_run_at_the_slowest_rate_is_handed_over_for_its_turns():
    walk = Walk(SLOWEST_RATE, slowness=0)

    assert walk.end() == "ContinuedBySuccessor"
    turns = walk.visits["GuardLoop"]
    assert (turns, walk.visits["WaitForRate"]) == (walk.variables["turns"], turns)
    assert walk.now / 1_000 == 10 * turns < TIMEOUT


def test_turns_through_every_state_that_they_may_enter_leave_room_for_a_failed_try_of_each_task():
    """An execution ends at its 25,000th event; it is handed over long before.

    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    walk = Walk({}, slowness=0, adversity=True, retries=1)

    assert walk.end() == "ContinuedBySuccessor"
    turn = ("ReceiveDeadLetters", "ValidateMessages", "GuardLoop", "RedriveMessages",
            "DeleteDeadLetters", "HoldDeadLetters", "LetGoMessages")  # fmt: skip
    assert {walk.visits[state] for state in turn} == {walk.variables["turns"]}
    assert 15_000 < walk.events < 25_000


def test_looks_at_a_canary_count_as_turns():
    walk = Walk(canary(300, messages=1), slowness=0, retries=1)

    assert walk.end() == "ContinuedBySuccessor"
    assert walk.visits["CountOutcomes"] > 200
    assert walk.events < 25_000

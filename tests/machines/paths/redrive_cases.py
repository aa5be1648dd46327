"""The test cases of `redrive.asl.json`, each with the path that it must take.

With lanes of either kind: all that differs is what `RunLane` calls, what that answers, and which
errors it does not meet again.
"""

import dataclasses
from typing import Any

from tests.machines.paths.case import Case

BEGIN = ["BeginRun", "NextStep"]
LEG = ["RunLanes", "RunLane", "DecideNext"]
UNANSWERED = ["RunLanes", "RunLane", "LegUnanswered", "DecideNext"]
ON = ["NextStep"]  # as DecideNext says
WAITED = ["WaitForQueue", "DecideNext"]
END = ["FinishRun"]
FAILED = ["FailRun", "RunFailed"]
SCHEDULED = {"trigger": "schedule"}
DOWN = "Some.ServiceException"
DID = {"status": "SUCCEEDED", "received": 1, "redriven": 1}


def _case(name: str, *parts: list[str], output: dict[str, Any] = DID, **given: Any) -> Case:
    return Case("redrive", name, [state for part in parts for state in part], given, output=output)


def _failed(name: str, *parts: list[str], error: str = DOWN, **given: Any) -> Case:
    path = [state for part in parts for state in part]
    return Case("redrive", name, path, given, status="FAILED", error=error)


_OF_BOTH = [
    _case("DeadLetterIsRedriven", BEGIN, LEG, ON, END),
    _case("ServicesThatFailOnceAreAskedAgain", BEGIN, LEG, ON, END),
    _case(
        "ScheduledRunOfAnEmptyQueueIsSkipped",
        BEGIN,
        ["RunSkipped"],
        output={"status": "SKIPPED", "reason": "The dead-letter queue is empty."},
        **SCHEDULED,
    ),
    _case("LongRunTakesAnotherLeg", BEGIN, LEG, ON, LEG, ON, END),
    _case("LettersInFlightElsewhereAreWaitedFor", BEGIN, LEG, ON, WAITED, ON, END),
    _case("CanaryIsWatched", BEGIN, LEG, ON, ["WaitForOutcomes", "DecideNext"], ON, END),
    _failed("InputThatIsNotUnderstoodFailsTheRun", BEGIN, FAILED, error="InvalidInput", Request={}),
    _failed("RunThatCannotBeginFails", ["BeginRun"], FAILED),
    _failed("DecisionThatFailsFailsTheRun", BEGIN, LEG, FAILED),
    _failed("RunThatCannotBeClosedFails", BEGIN, LEG, ON, END, FAILED),
    _failed("RunWhoseLockIsAnothersCannotBeClosed", BEGIN, LEG, ON, END, FAILED, error="LeaseLost"),
    _failed("FailureThatCannotBeRecordedIsStillLoud", ["BeginRun"], FAILED),
]
_STANDARD = [
    _case("LegThatRanAlreadyIsNotRunAgain", BEGIN, UNANSWERED, ON, END),
    _failed("RunWhoseLaneWasStoppedFails", BEGIN, UNANSWERED, ON, FAILED, error="LaneStopped"),
]
_EXPRESS = [
    _case("LegThatGaveNoAnswerIsNotRunAgain", BEGIN, UNANSWERED, ON, WAITED, ON, END),
    _case("LegThatWasTooSlowIsNotRunAgain", BEGIN, UNANSWERED, ON, WAITED, ON, END),
    # Its service answers, and that it failed is a part of the answer.
    _failed("RunWhoseLaneFailedFails", BEGIN, LEG, ON, FAILED, error="LaneStopped"),
]
CASES = [
    *_OF_BOTH,
    *_STANDARD,
    *(dataclasses.replace(case, machine="redrive-express") for case in _OF_BOTH + _EXPRESS),
]

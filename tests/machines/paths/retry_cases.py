"""The test cases of `retry.asl.json`, each with the path that it must take."""

from typing import Any

from tests.machines.paths.case import Case

LOOK = ["InspectMessage", "ValidateMessage"]
TRY = ["GuardLoop", "WaitBackoff", "ProcessMessage"]
ROUND = [*LOOK, *TRY]
NEXT = ["NextParked", "AnyParked"]
PROMOTED = [*NEXT, "PromoteParked", "ProcessMessage"]
RELEASED = [*NEXT, "ReleaseFence", "GroupReleased"]
ASK = ["InspectFence", "StillOurs"]
REFUSED = [*NEXT, "ReleaseFence", *ASK]
DEAD = ["DeadLetter", "MarkDead"]
HELD = [*DEAD, "HoldOrContinue", "GroupHeld"]
NOT_DROPPED = [*NEXT, "PromoteParked", "DropParked", *ASK]
GIVEN = {"group_id": "g-1", "message_id": "m-1", "generation": 1}


def _case(name: str, *parts: list[str], machine: str = "retry", **more: Any) -> Case:
    path = ["StartGroup", *(state for part in parts for state in part)]
    given = GIVEN | ({"attempt": 1, "trace_id": "t-1"} if path[1] == "GuardLoop" else {})
    return Case(machine, name, path, given, **more)


CASES = [
    _case("MessageIsProcessedAtItsFirstRetry", ROUND, RELEASED),
    _case("FailedAttemptGoesRoundTheLoop", ROUND, TRY, RELEASED),
    _case("LastAttemptThatFailsIsLookedAtAgain", TRY, TRY, LOOK, HELD),
    _case("ServicesThatFailOnceAreAskedAgain", ROUND, PROMOTED, RELEASED),
    _case("AttemptThatAnotherCountedIsReadAgain", LOOK, ["GuardLoop"], ASK, LOOK, RELEASED),
    _case("ExecutionThatWasReplacedWhileItWaitedEnds", ROUND, ASK, ["NothingToRetry"]),
    _case("SettledMessageLetsItsGroupGo", LOOK, RELEASED),
    _case("ForgottenMessageLetsItsGroupGo", LOOK, RELEASED),
    _case("QuarantinedMessageHoldsItsGroup", LOOK, ["NothingToRetry"]),
    _case("InvalidMessageIsDeadLettered", LOOK, HELD),
    _case("MessageOutOfAttemptsIsDeadLettered", LOOK, HELD),
    _case("DeadLetterIsWrittenAtTheSecondTry", LOOK, HELD),
    _case(
        "DeadMessageThatWasRedrivenMeanwhileIsLeftAlone", LOOK, DEAD, ASK, LOOK, ["NothingToRetry"]
    ),
    _case("ParkedMessageIsProcessedNext", LOOK, PROMOTED, RELEASED),
    _case(
        "ParkedMessageThatWasSettledIsDropped",
        LOOK,
        [*NEXT, "PromoteParked", "DropParked"],
        RELEASED,
    ),
    _case(
        "PromotionWhoseAnswerWasLostIsTakenUp",
        LOOK,
        NOT_DROPPED,
        LOOK,
        RELEASED,
        # The mocked fence names the execution that holds it.
        execution_name="PromotionWhoseAnswerWasLostIsTakenUp",
    ),
    _case("FenceThatIsGoneIsLeftAlone", LOOK, NOT_DROPPED, ["NothingToRetry"]),
    _case("FenceOfAnotherExecutionIsLeftAlone", LOOK, REFUSED, ["NothingToRetry"]),
    _case("MessageParkedAtTheLastMomentIsDrained", LOOK, REFUSED, LOOK, PROMOTED, RELEASED),
    _case(
        "FenceThatCountsTooManyFailsLoudly",
        [*LOOK, *REFUSED] * 5,
        ["FenceInconsistent"],
        status="FAILED",
        error="FenceInconsistent",
    ),
    _case(
        "LongBacklogIsGivenToOneSuccessor",
        LOOK,
        PROMOTED * 400,
        [*NEXT, "StartSuccessor", "ContinuedBySuccessor"],
    ),
    _case("DeadMessageLetsItsGroupGoOn", LOOK, RELEASED, machine="retry-continue"),
    _case(
        "GroupGoesOnWithoutAMessageThatDies",
        LOOK,
        [*DEAD, "HoldOrContinue"],
        RELEASED,
        machine="retry-continue",
    ),
]

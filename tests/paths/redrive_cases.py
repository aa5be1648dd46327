"""The test cases of `redrive.asl.json`, each with the path that it must take."""

from typing import Any

from tests.paths.case import Case

BEGIN = ["InspectQueue", "AnythingToDo", "AcquireRun"]
POLL = ["ReceiveDeadLetters", "AnyDeadLetters"]
EMPTY = POLL * 2
JUDGED = [*POLL, "ValidateMessages"]
GUARDED = [*JUDGED, "GuardLoop", "AnyToRedrive"]
SENT = ["RedriveMessages", "DeleteDeadLetters", "MoreToDo"]
TURN = [*GUARDED, *SENT]
HELD = ["HoldDeadLetters", "MoreToDo"]
LET_GO = ["LetGoMessages", "MoreToDo"]
TOO_LARGE = ["WaitForVisibility", "MoreToDo"]
DONE = ["AnyDeadLetters"]  # no more is to be taken
END = ["PublishMetrics", "FinishRun"]
LOOK = ["WaitForOutcomes", "CountOutcomes", "CanaryHealthy"]
FAILED = ["FailRun", "RunFailed"]
GIVE_UP = ["RunFailed"]
SCHEDULED = {"trigger": "schedule"}
ONE = {"request": {"max_messages": 1}}
DOWN = "Some.ServiceException"


def _case(name: str, *parts: list[str], given: dict[str, Any] | None = None, **more: Any) -> Case:
    path = [*BEGIN, *(state for part in parts for state in part)]
    return Case("redrive", name, path, given or {}, **more)


def _skipped(name: str, path: list[str], given: dict[str, Any], reason: str) -> Case:
    output = {"status": "SKIPPED", "reason": reason}
    return Case("redrive", name, path, given, output=output)


def _failed(name: str, path: list[str], error: str = DOWN, **given: Any) -> Case:
    return Case("redrive", name, path, given, status="FAILED", error=error)


def _canary(watch_seconds: int) -> dict[str, Any]:
    return {"request": {"canary": {"messages": 1, "watch_seconds": watch_seconds}}}


def _ended(status: str, redriven: int = 0, **counts: int) -> dict[str, Any]:
    none = dict.fromkeys(("quarantined", "already_processed", "discarded", "failed", "left"), 0)
    received = redriven + sum(count for name, count in counts.items() if name != "left")
    return {"status": status, "received": received, "redriven": redriven} | none | counts


ENDINGS = [
    _case("DeadLetterIsRedriven", TURN, EMPTY, END, output=_ended("SUCCEEDED", 1)),
    _case("EmptyQueueIsAskedTwice", EMPTY, END, output=_ended("SUCCEEDED")),
    _skipped(
        "ScheduledRunOfAnEmptyQueueIsSkipped",
        ["InspectQueue", "AnythingToDo", "SkipRun"],
        SCHEDULED,
        "The dead-letter queue is empty.",
    ),
    _skipped(
        "RunBesideAnotherIsSkipped",
        [*BEGIN, "SkipRun"],
        SCHEDULED,
        "Another run is active on this dead-letter queue.",
    ),
    _case("ServicesThatFailOnceAreAskedAgain", TURN, EMPTY, END, output=_ended("SUCCEEDED", 1)),
    _case(
        "RunEndsWithTheMessagesThatItWasToTake",
        TURN,
        DONE,
        END,
        given=ONE,
        output=_ended("SUCCEEDED", 1),
    ),
    _case(
        "GroupIsRedrivenInWaves",
        TURN,
        ["GuardLoop", "AnyToRedrive", *SENT],
        DONE,
        END,
        given={"request": {"max_messages": 2}},
        output=_ended("SUCCEEDED", 2),
    ),
    _case(
        "InvalidLetterIsStoredAndDeleted",
        GUARDED,
        ["DeleteDeadLetters", "MoreToDo"],
        EMPTY,
        END,
        output=_ended("SUCCEEDED", quarantined=1),
    ),
    _case(
        "LetterThatTheGuardRefusesIsHeld",
        GUARDED,
        ["MoreToDo"],
        HELD,
        LET_GO,
        EMPTY,
        END,
        output=_ended("SUCCEEDED", failed=1),
    ),
    _case(
        "LetterThatTheQueueRefusesIsNotDeleted",
        TURN,
        HELD,
        LET_GO,
        EMPTY,
        END,
        output=_ended("SUCCEEDED", failed=1),
    ),
    _case(
        "LetterThatTheFilterLeavesOutIsReturned",
        GUARDED,
        ["MoreToDo"],
        HELD,
        EMPTY,
        ["ReturnDeadLetters"],
        END,
        output=_ended("SUCCEEDED", left=1),
    ),
    _case(
        "LettersThatCannotBeReturnedDoNotFailTheRun",
        GUARDED,
        ["MoreToDo"],
        HELD,
        EMPTY,
        ["ReturnDeadLetters"],
        END,
        output=_ended("SUCCEEDED", left=1),
    ),
    _case("LostMetricDoesNotFailTheRun", TURN, EMPTY, END, output=_ended("SUCCEEDED", 1)),
    _case(
        "BatchThatIsTooLargeIsReceivedOneByOne",
        ["ReceiveDeadLetters"],
        TOO_LARGE,
        TURN,
        EMPTY,
        END,
        output=_ended("SUCCEEDED", 1),
    ),
    _case("CancelledRunEndsAfterItsBatch", TURN, DONE, END, output=_ended("CANCELLED", 1)),
    _case(
        "RateIsKept",
        TURN,
        ["WaitForRate", "MoreToDo"],
        EMPTY,
        END,
        # Ten seconds from one to the next: a busy machine must not take them for its work.
        given={"request": {"max_per_second": 0.1}},
        output=_ended("SUCCEEDED", 1),
        again=("WaitForRate", "MoreToDo"),
    ),
    _case(
        "LongRunIsHandedOver",
        TURN * 4,
        ["HandOverRun", "StartSuccessor", "ContinuedBySuccessor"],
        output={"status": "CONTINUED"},
    ),
    _case(
        "SuccessorThatIsThereIsNotStartedAgain",
        TURN * 4,
        ["HandOverRun", "StartSuccessor", "ContinuedBySuccessor"],
        output={"status": "CONTINUED"},
    ),
]

CANARIES = [
    _case(
        "HealthyCanaryDoublesItsStep",
        TURN,
        LOOK * 2,
        ["MoreToDo"],
        EMPTY,
        END,
        given=_canary(60),
        output=_ended("SUCCEEDED", 1),
    ),
    _case(
        "LastStepOfACanaryIsWatched",
        TURN,
        EMPTY,
        LOOK,
        ["MoreToDo"],
        DONE,
        END,
        given={"request": {"canary": {"messages": 2, "watch_seconds": 60}}},
        output=_ended("SUCCEEDED", 1),
    ),
    _case(
        "SickCanaryHaltsTheRun",
        TURN,
        LOOK,
        DONE,
        END,
        given=_canary(60),
        output=_ended("HALTED", 1)
        | {"reason": "1 of 1 redriven messages failed again; max_failures is 0."},
    ),
    _case(
        "CanaryThatDoesNotEndHaltsTheRun",
        TURN,
        LOOK,
        DONE,
        END,
        given=_canary(0),  # over at the first look, however engines may shorten waits
        output=_ended("HALTED", 1)
        | {
            "reason": "1 of 1 redriven messages failed again or had not ended after 0 seconds;"
            " max_failures is 0."
        },
    ),
    _case(
        "CanaryOfACancelledRunIsNotWatched",
        TURN,
        LOOK,
        DONE,
        END,
        given=_canary(60),
        output=_ended("CANCELLED", 1),
    ),
]

FAILURES = [
    _failed(
        "SkipThatCannotBeRecordedFailsTheRun",
        ["InspectQueue", "AnythingToDo", "SkipRun", *GIVE_UP],
        **SCHEDULED,
    ),
    _failed("QueueThatCannotBeInspectedFailsTheRun", ["InspectQueue", *FAILED]),
    _failed("LockThatCannotBeTakenFailsTheRun", [*BEGIN, *GIVE_UP]),
    _failed("QueueThatCannotBeReceivedFromFailsTheRun", [*BEGIN, "ReceiveDeadLetters", *FAILED]),
    _failed("ValidationThatFailsFailsTheRun", [*BEGIN, *JUDGED, *FAILED]),
    _failed("GuardThatFailsFailsTheRun", [*BEGIN, *JUDGED, "GuardLoop", *FAILED]),
    _failed("RunThatLostItsLeaseSendsNothing", [*BEGIN, *GUARDED, *FAILED], "LeaseLost"),
    _failed("QueueThatCannotBeSentToFailsTheRun", [*BEGIN, *GUARDED, "RedriveMessages", *FAILED]),
    _failed(
        "DeletionThatFailsFailsTheRun",
        [*BEGIN, *GUARDED, "RedriveMessages", "DeleteDeadLetters", *FAILED],
    ),
    _failed(
        "HoldThatFailsFailsTheRun",
        [*BEGIN, *GUARDED, "MoreToDo", "HoldDeadLetters", *FAILED],
    ),
    _failed(
        "WatchThatFailsFailsTheRun",
        [*BEGIN, *TURN, "WaitForOutcomes", "CountOutcomes", *FAILED],
        **_canary(60),
    ),
    _failed("RunThatCannotBeClosedFails", [*BEGIN, *TURN, *EMPTY, *END, *FAILED]),
    _failed("HandOverThatFailsFailsTheRun", [*BEGIN, *TURN * 4, "HandOverRun", *FAILED]),
    _failed(
        "SuccessorThatCannotBeStartedFailsTheRun",
        [*BEGIN, *TURN * 4, "HandOverRun", "StartSuccessor", *FAILED],
    ),
    _failed("FailureThatCannotBeRecordedIsStillLoud", [*BEGIN, "ReceiveDeadLetters", *FAILED]),
    _failed(
        "FailureOfARunWhoseLockIsAnothersIsRecordedWithoutIt",
        [*BEGIN, "ReceiveDeadLetters", "FailRun", *FAILED],
        "LeaseLost",
    ),
    _failed(
        "LettersThatAreTooLargeFailTheRunAtItsEnd",
        [
            *[*BEGIN, "ReceiveDeadLetters", *TOO_LARGE],
            *[*JUDGED, *TOO_LARGE],
            *[*JUDGED, "GuardLoop", *TOO_LARGE, *LET_GO],
            *[*GUARDED, "RedriveMessages", *TOO_LARGE, *LET_GO],
            *[*EMPTY, *FAILED],
        ],
        "DataLimitExceeded",
    ),
    _failed(
        "CanaryOfARunThatLostItsLeaseFailsTheRun",
        [*BEGIN, *TURN, *LOOK, *FAILED],
        "LeaseLost",
        **_canary(60),
    ),
    _failed(
        "MessageThatCannotBeLetGoFailsTheRun",
        [*BEGIN, *GUARDED, "MoreToDo", *HELD, "LetGoMessages", *FAILED],
    ),
    _failed(
        "MessageThatWasNotLetGoFailsTheRun",
        [*BEGIN, *GUARDED, "MoreToDo", *HELD, *LET_GO, *FAILED],
        "DynamoDb.ThrottlingError",
    ),
    _failed(
        "RunWhoseLockIsAnothersCannotBeClosed",
        [*BEGIN, *TURN, *EMPTY, *END, *FAILED],
        "LeaseLost",
    ),
    _failed(
        "RunWhoseLockIsAnothersIsNotHandedOver",
        [*BEGIN, *TURN * 4, "HandOverRun", *FAILED],
        "LeaseLost",
    ),
    _failed("FailureIsRecordedAtTheSecondTry", ["InspectQueue", *FAILED]),
]

CASES = [*ENDINGS, *CANARIES, *FAILURES]

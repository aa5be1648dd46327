"""The test cases of `redrive.asl.json`, each with the path that it must take."""

from typing import Any

from tests.machines.paths.case import Case

LOCKED = ["InspectQueue", "AnythingToDo", "AcquireRun"]
BEGIN = [*LOCKED, "ValidateInput"]
POLL = ["ReceiveDeadLetters", "AnyDeadLetters"]
NO_MORE = [*POLL, "InspectRest", *POLL]
WAITED = ["WaitForOthers", *NO_MORE]
JUDGED = [*POLL, "ValidateMessages"]
GUARDED = [*JUDGED, "GuardLoop", "AnyToRedrive"]
SENT = ["RedriveMessages", "DeleteDeadLetters", "MoreToDo"]
TURN = [*GUARDED, *SENT]
HELD = ["HoldDeadLetters", "MoreToDo"]
LET_GO = ["LetGoMessages", "MoreToDo"]
TOO_LARGE = ["WaitForVisibility", "MoreToDo"]
DONE = ["AnyDeadLetters"]  # no more is to be taken
END = ["FinishRun"]
LOOK = ["WaitForOutcomes", "CountOutcomes", "CanaryHealthy"]
FAILED = ["FailRun", "RunFailed"]
GIVEN_BACK = ["GiveBackDeadLetters", *FAILED]
LOCK_IS_ANOTHERS = ["GiveBackDeadLetters", "FailRun", "FailRunWithoutLock"]
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
    _case("DeadLetterIsRedriven", TURN, NO_MORE, END, output=_ended("SUCCEEDED", 1)),
    _case("EmptyQueueIsAskedTwice", NO_MORE, END, output=_ended("SUCCEEDED")),
    _skipped(
        "ScheduledRunOfAnEmptyQueueIsSkipped",
        ["InspectQueue", "AnythingToDo", "SkipRun"],
        SCHEDULED,
        "The dead-letter queue is empty.",
    ),
    _skipped(
        "RunBesideAnotherIsSkipped",
        [*LOCKED, "SkipRun"],
        SCHEDULED,
        "Another run is active on this dead-letter queue.",
    ),
    _case("ServicesThatFailOnceAreAskedAgain", TURN, NO_MORE, END, output=_ended("SUCCEEDED", 1)),
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
        NO_MORE,
        END,
        output=_ended("SUCCEEDED", quarantined=1),
    ),
    _case(
        "LetterThatTheGuardRefusesIsHeld",
        GUARDED,
        ["MoreToDo"],
        HELD,
        LET_GO,
        NO_MORE,
        END,
        output=_ended("SUCCEEDED", failed=1),
    ),
    _case(
        "LetterThatTheQueueRefusesIsNotDeleted",
        TURN,
        HELD,
        LET_GO,
        NO_MORE,
        END,
        output=_ended("SUCCEEDED", failed=1),
    ),
    _case(
        "LetterThatTheFilterLeavesOutIsReturned",
        GUARDED,
        ["MoreToDo"],
        HELD,
        NO_MORE,
        ["ReturnDeadLetters"],
        END,
        output=_ended("SUCCEEDED", left=1),
    ),
    _case(
        "LettersThatCannotBeReturnedDoNotFailTheRun",
        GUARDED,
        ["MoreToDo"],
        HELD,
        NO_MORE,
        ["ReturnDeadLetters"],
        END,
        output=_ended("SUCCEEDED", left=1),
    ),
    _case(
        "LettersInFlightElsewhereAreWaitedFor",
        NO_MORE,
        WAITED,
        END,
        output=_ended("SUCCEEDED"),
    ),
    _case(
        "LettersThatStayInFlightElsewhereHaltTheRun",
        GUARDED,
        ["MoreToDo"],
        HELD,
        NO_MORE,
        WAITED * 3,
        DONE,
        ["ReturnDeadLetters"],
        END,
        output=_ended("HALTED", left=1)
        | {
            "in_flight": 1,
            "reason": "1 are in flight elsewhere, and hide what is behind them in their groups:"
            " start another run when they are visible.",
        },
    ),
    _case(
        "RunThatMetFewerThanItsPlanIsHalted",
        NO_MORE,
        DONE,
        END,
        given={"planned": 2},
        output=_ended("HALTED")
        | {
            "missing": 2,
            "reason": "The run dealt with 0 of the 2 messages of its plan."
            " No more is on the queue.",
        },
    ),
    _case(
        "BatchThatIsTooLargeIsReceivedOneByOne",
        ["ReceiveDeadLetters"],
        TOO_LARGE,
        TURN,
        NO_MORE,
        END,
        output=_ended("SUCCEEDED", 1),
    ),
    _case("CancelledRunEndsAfterItsBatch", TURN, DONE, END, output=_ended("CANCELLED", 1)),
    _case(
        "RateIsKept",
        TURN,
        ["WaitForRate", "MoreToDo"],
        NO_MORE,
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
        NO_MORE,
        END,
        given=_canary(60),
        output=_ended("SUCCEEDED", 1),
    ),
    _case(
        "LastStepOfACanaryIsWatched",
        TURN,
        NO_MORE,
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
    _failed("LockThatCannotBeTakenFailsTheRun", [*LOCKED, *GIVE_UP]),
    _failed("InputThatIsNotUnderstoodFailsTheRun", [*BEGIN, *FAILED], "InvalidInput", Request={}),
    _failed("InputThatCannotBeReadFailsTheRun", [*BEGIN, *FAILED]),
    _failed(
        "QueueThatCannotBeReceivedFromFailsTheRun", [*BEGIN, "ReceiveDeadLetters", *GIVEN_BACK]
    ),
    _failed("ValidationThatFailsFailsTheRun", [*BEGIN, *JUDGED, *GIVEN_BACK]),
    _failed("GuardThatFailsFailsTheRun", [*BEGIN, *JUDGED, "GuardLoop", *GIVEN_BACK]),
    _failed("RunThatLostItsLeaseSendsNothing", [*BEGIN, *GUARDED, *GIVEN_BACK], "LeaseLost"),
    _failed(
        "QueueThatCannotBeSentToFailsTheRun", [*BEGIN, *GUARDED, "RedriveMessages", *GIVEN_BACK]
    ),
    _failed(
        "DeletionThatFailsFailsTheRun",
        [*BEGIN, *GUARDED, "RedriveMessages", "DeleteDeadLetters", *GIVEN_BACK],
    ),
    _failed(
        "HoldThatFailsFailsTheRun",
        [*BEGIN, *GUARDED, "MoreToDo", "HoldDeadLetters", *GIVEN_BACK],
    ),
    _failed(
        "WatchThatFailsFailsTheRun",
        [*BEGIN, *TURN, "WaitForOutcomes", "CountOutcomes", *GIVEN_BACK],
        **_canary(60),
    ),
    _failed("RunThatCannotBeClosedFails", [*BEGIN, *TURN, *NO_MORE, *END, *GIVEN_BACK]),
    _failed("RestThatCannotBeInspectedFailsTheRun", [*BEGIN, *POLL, "InspectRest", *GIVEN_BACK]),
    _failed("HandOverThatFailsFailsTheRun", [*BEGIN, *TURN * 4, "HandOverRun", *GIVEN_BACK]),
    _failed(
        "SuccessorThatCannotBeStartedFailsTheRun",
        [*BEGIN, *TURN * 4, "HandOverRun", "StartSuccessor", *GIVEN_BACK],
    ),
    _failed("FailureThatCannotBeRecordedIsStillLoud", [*BEGIN, "ReceiveDeadLetters", *GIVEN_BACK]),
    _failed(
        "FailureOfARunWhoseLockIsAnothersIsRecordedWithoutIt",
        [*BEGIN, "ReceiveDeadLetters", *LOCK_IS_ANOTHERS, "RunFailed"],
        "LeaseLost",
    ),
    _failed(
        "FailureThatCannotBeRecordedWithoutTheLockIsStillLoud",
        [*BEGIN, "ReceiveDeadLetters", *LOCK_IS_ANOTHERS, "RunFailed"],
    ),
    _failed(
        "FailureOfARunWithoutARecordIsAccountedFor",
        [*BEGIN, "ReceiveDeadLetters", *LOCK_IS_ANOTHERS, "AccountForFailure", "RunFailed"],
    ),
    _failed(
        "FailureThatCannotBeAccountedForIsStillLoud",
        [*BEGIN, "ReceiveDeadLetters", *LOCK_IS_ANOTHERS, "AccountForFailure", "RunFailed"],
    ),
    _failed(
        "LettersThatAreTooLargeFailTheRunAtItsEnd",
        [
            *[*BEGIN, "ReceiveDeadLetters", *TOO_LARGE],
            *[*JUDGED, *TOO_LARGE],
            *[*JUDGED, "GuardLoop", *TOO_LARGE, *LET_GO],
            *[*GUARDED, "RedriveMessages", *TOO_LARGE, *LET_GO],
            *[*NO_MORE, *GIVEN_BACK],
        ],
        "DataLimitExceeded",
    ),
    _failed(
        "CanaryOfARunThatLostItsLeaseFailsTheRun",
        [*BEGIN, *TURN, *LOOK, *GIVEN_BACK],
        "LeaseLost",
        **_canary(60),
    ),
    _failed(
        "MessageThatCannotBeLetGoFailsTheRun",
        [*BEGIN, *GUARDED, "MoreToDo", *HELD, "LetGoMessages", *GIVEN_BACK],
    ),
    _failed(
        "MessageThatWasNotLetGoFailsTheRun",
        [*BEGIN, *GUARDED, "MoreToDo", *HELD, *LET_GO, *GIVEN_BACK],
        "DynamoDb.ThrottlingError",
    ),
    _failed(
        "RunWhoseLockIsAnothersCannotBeClosed",
        [*BEGIN, *TURN, *NO_MORE, *END, *GIVEN_BACK],
        "LeaseLost",
    ),
    _failed(
        "RunWhoseLockIsAnothersIsNotHandedOver",
        [*BEGIN, *TURN * 4, "HandOverRun", *GIVEN_BACK],
        "LeaseLost",
    ),
    _failed("FailureIsRecordedAtTheSecondTry", ["InspectQueue", *FAILED]),
]

CASES = [*ENDINGS, *CANARIES, *FAILURES]

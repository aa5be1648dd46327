"""The test cases of `redrive_lane.asl.json`, each with the path that it must take.

However a leg ends, it has succeeded: what went wrong is a part of its output. Most cannot be
settled, so that they tell what there is to settle.
"""

from typing import Any

from tests.machines.paths.case import Case

POLL = ["ReceiveDeadLetters", "ValidateMessages"]
GUARDED = ["GuardLoop", "AnyToRedrive"]
SENT = ["RedriveMessages", "DeleteDeadLetters", "MoreToDo"]
HELD = ["HoldDeadLetters", "MoreToDo"]
SETTLED = ["SettleLeg"]
OVER = ["SettleLeg", "LegOver"]
GIVEN_BACK = ["GiveBackDeadLetters", *OVER]
DOWN = "Some.ServiceException"
TOO_LARGE = "States.DataLimitExceeded"
# As a run begins it.
LANE = {"poll": 10, "attempt_id": "run-1-0-1", "mark": "", "size": 10, "gap": 0, "sent_at": 0}
MEASURED = ["ReceiveLargeDeadLetters", "ValidateMessages"]
QUEUE = {"name": "default", "source_url": "work", "dead_letter_url": "dead-letter"}
GIVEN = {"run_id": "run-1", "trace_id": "t-1", "request": {}, "queue": QUEUE, "lane": LANE}


def _case(
    name: str,
    *parts: list[str],
    done: tuple[str, ...] = (),
    failure: str = "",
    again: tuple[str, ...] = (),
    measured: bool = False,
) -> Case:
    path = ["StartLeg", *(state for part in parts for state in part)]
    begun = GIVEN | {"lane": LANE | {"measured": measured}}
    output: dict[str, Any] = {"lane": {"number": 0, "failure": ""}}  # as mocked
    if path[-1] == "LegOver":
        output = {"done": list(done), "failure": failure}
    return Case("redrive-lane", name, path, begun, output=output, again=again)


CASES = [
    _case("DeadLetterIsRedriven", POLL, GUARDED, SENT, SETTLED),
    _case("ServicesThatFailOnceAreAskedAgain", POLL, GUARDED, SENT, HELD, SETTLED),
    _case("EmptyQueueIsAskedTwice", [*POLL, *GUARDED, "MoreToDo"] * 2, SETTLED),
    _case("GroupIsRedrivenInWaves", POLL, [*GUARDED, *SENT] * 2, OVER, done=("0", "1")),
    _case("InvalidLetterIsStoredAndDeleted", POLL, GUARDED, SENT[1:], OVER, done=("0",)),
    _case("LetterThatTheGuardRefusesIsHeld", POLL, GUARDED, ["MoreToDo"], HELD, OVER),
    _case("LetterThatTheQueueRefusesIsNotDeleted", POLL, GUARDED, SENT, HELD, OVER),
    _case(
        "RateIsKept",
        POLL,
        GUARDED,
        SENT,
        ["WaitForRate", "MoreToDo"],
        [*POLL, *GUARDED, "MoreToDo"],
        OVER,
        # Ten seconds from one to the next: a busy machine must not take them for its work.
        again=("WaitForRate", "MoreToDo"),
    ),
    _case("LaneWhoseRunLostItsLeaseSendsNothing", POLL, GUARDED, GIVEN_BACK, failure="LeaseLost"),
    _case("QueueThatCannotBeReceivedFromEndsTheLeg", POLL[:1], GIVEN_BACK, failure=DOWN),
    _case("ValidationThatFailsEndsTheLeg", POLL, GIVEN_BACK, failure=DOWN),
    _case("GuardThatFailsEndsTheLeg", POLL, GUARDED[:1], GIVEN_BACK, failure=DOWN),
    _case("QueueThatCannotBeSentToEndsTheLeg", POLL, GUARDED, SENT[:1], GIVEN_BACK, failure=DOWN),
    _case(
        "DeletionThatFailsEndsTheLeg",
        POLL,
        GUARDED,
        SENT[:2],
        GIVEN_BACK,
        done=("0",),
        failure=DOWN,
    ),
    _case(
        "HoldThatFailsEndsTheLeg", POLL, GUARDED, ["MoreToDo"], HELD[:1], GIVEN_BACK, failure=DOWN
    ),
    _case("LettersThatCannotBeGivenBackEndTheLegToo", POLL, GIVEN_BACK, failure=DOWN),
    _case(
        "LettersAreMeasured",
        [*MEASURED, *GUARDED, "MoreToDo"] * 2,
        SETTLED,
        measured=True,
    ),
    _case(
        "LettersThatCannotBeMeasuredEndTheLeg",
        MEASURED[:1],
        GIVEN_BACK,
        failure=DOWN,
        measured=True,
    ),
    _case(
        "LettersThatAreMeasuredWrongEndTheLeg",
        MEASURED[:1],
        GIVEN_BACK,
        failure=TOO_LARGE,
        measured=True,
    ),
    _case("LettersThatAreTooLargeEndTheLeg", POLL[:1], GIVEN_BACK, failure=TOO_LARGE),
    _case("VerdictsThatAreTooLargeEndTheLeg", POLL, GIVEN_BACK, failure=TOO_LARGE),
    _case("GuardThatIsTooLargeEndsTheLeg", POLL, GUARDED[:1], GIVEN_BACK, failure=TOO_LARGE),
    _case(
        "BatchThatIsTooLargeToSendEndsTheLeg",
        POLL,
        GUARDED,
        SENT[:1],
        GIVEN_BACK,
        failure=TOO_LARGE,
    ),
]

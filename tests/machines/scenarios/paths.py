"""Parts of the machines' paths, as scenarios expect them; a run's legs follow its `RunLanes`."""

from tests.support.redrive_runs import (
    BEGUN,
    EMPTY_POLL,
    FAILED,
    FINISH,
    GIVEN_BACK,
    JUDGED,
    LEG,
    LEG_OVER,
    MEASURED,
    NO_MORE,
    START,
    WAVE,
)

__all__ = [
    "BEGUN",
    "EMPTY_POLL",
    "FAILED",
    "FINISH",
    "GIVEN_BACK",
    "JUDGED",
    "LEG",
    "LEG_OVER",
    "MEASURED",
    "NO_MORE",
    "START",
    "WAVE",
]

STORED = ["GuardLoop", "AnyToRedrive", "DeleteDeadLetters", "MoreToDo"]
NOTHING_GOES = ["GuardLoop", "AnyToRedrive", "MoreToDo"]
STAYS = ["HoldDeadLetters", "MoreToDo"]
# Where a leg ends that could not go on with its batch.
LEG_FAILED = ["GiveBackDeadLetters", *LEG_OVER]
SKIPPED = [*BEGUN, "RunSkipped"]

LOOK = ["InspectMessage", "ValidateMessage"]
TRY = ["GuardLoop", "WaitBackoff", "ProcessMessage"]
ROUND = [*LOOK, *TRY]
PARKED = ["NextParked", "AnyParked"]
PROMOTED = [*PARKED, "PromoteParked", "ProcessMessage"]
DROPPED = [*PARKED, "PromoteParked", "DropParked"]
RELEASED = [*PARKED, "ReleaseFence", "GroupReleased"]
ASK = ["InspectFence", "StillOurs"]
REFUSED = [*PARKED, "ReleaseFence", *ASK]
DEAD = ["DeadLetter", "MarkDead", "HoldOrContinue"]
HELD = [*DEAD, "GroupHeld"]

"""Parts of the two machines' paths, as scenarios expect them."""

LOCKED = ["InspectQueue", "AnythingToDo", "AcquireRun"]
START = [*LOCKED, "ValidateInput"]
EMPTY_POLL = ["ReceiveDeadLetters", "AnyDeadLetters"]
JUDGED = [*EMPTY_POLL, "ValidateMessages"]
WAVE = ["GuardLoop", "AnyToRedrive", "RedriveMessages", "DeleteDeadLetters", "MoreToDo"]
STORED = ["GuardLoop", "AnyToRedrive", "DeleteDeadLetters", "MoreToDo"]
NOTHING_GOES = ["GuardLoop", "AnyToRedrive", "MoreToDo"]
STAYS = ["HoldDeadLetters", "MoreToDo"]
NO_MORE = [*EMPTY_POLL, "InspectRest", *EMPTY_POLL]
FINISH = ["FinishRun"]
DONE = ["AnyDeadLetters", *FINISH]
FAILED = ["FailRun", "RunFailed"]
NO_RECORD = ["FailRun", "FailRunWithoutLock", "AccountForFailure", "RunFailed"]
LOCK_IS_ANOTHERS = ["GiveBackDeadLetters", "FailRun", "FailRunWithoutLock", "RunFailed"]
GIVEN_BACK = ["GiveBackDeadLetters", *FAILED]  # what it had received
# Before its first poll a run has nothing to give back.
NOTHING_RECEIVED = ("InspectQueue", "ValidateInput")
# In these states a run has in flight what it received.
WITH_A_BATCH = (
    "ValidateMessages",
    "GuardLoop",
    "AnyToRedrive",
    "RedriveMessages",
    "DeleteDeadLetters",
    "HoldDeadLetters",
)

LOOK = ["InspectMessage", "ValidateMessage"]
ROUND = [*LOOK, "GuardLoop", "WaitBackoff", "ProcessMessage"]
PARKED = ["NextParked", "AnyParked"]
PROMOTED = [*PARKED, "PromoteParked", "ProcessMessage"]
DROPPED = [*PARKED, "PromoteParked", "DropParked"]
RELEASED = [*PARKED, "ReleaseFence", "GroupReleased"]
ASK = ["InspectFence", "StillOurs"]
REFUSED = [*PARKED, "ReleaseFence", *ASK]
DEAD = ["DeadLetter", "MarkDead", "HoldOrContinue"]
HELD = [*DEAD, "GroupHeld"]

"""Messages too large for a state: `States.DataLimitExceeded` is caught by its own name."""

from tests.machines.scenarios import given
from tests.machines.scenarios.failures import stale
from tests.machines.scenarios.paths import (
    FAILED,
    FINISH,
    JUDGED,
    LEG,
    LEG_FAILED,
    NO_MORE,
    START,
    WAVE,
)
from tests.machines.scenarios.registry import add
from tests.support.redrive_runs import all_visible
from tests.support.world import World

TOO_LARGE = given.throws("States.DataLimitExceeded")
UP_TO = {
    "ReceiveDeadLetters": ["ReceiveDeadLetters"],
    "ValidateMessages": JUDGED,
    "GuardLoop": [*JUDGED, "GuardLoop"],
    "RedriveMessages": [*JUDGED, "GuardLoop", "AnyToRedrive", "RedriveMessages"],
}
# What could not be told of is in flight until SQS shows it again; what could is given back.
PAUSE = {"ReceiveDeadLetters": ["WaitForQueue", "DecideNext", "NextStep"]}


def _together(world: World, state: str) -> None:
    mocks = {"ReceiveDeadLetters": stale(world, 2)} | {state: TOO_LARGE}
    run = world.run({"request": {"max_messages": 2}}, mocks=mocks)
    one_by_one = [*PAUSE.get(state, []), *LEG, *[*JUDGED, *WAVE] * 2]
    assert run.states == [*START, *UP_TO[state], *LEG_FAILED, *one_by_one, *FINISH]
    assert run.output["redriven"] == 2


def _guarded(world: World, state: str) -> None:
    mocks = {"ReceiveDeadLetters": stale(world, 2), state: TOO_LARGE}
    run = world.run({"request": {"max_messages": 2}}, mocks=mocks)
    over = [*START, *UP_TO[state], *LEG_FAILED, *LEG]
    assert run.states[: len(over)] == over
    assert run.status == "SUCCEEDED"
    # What this run counted waits for another; a guard that was never asked counted nothing.
    status = "DEAD" if state == "RedriveMessages" else "REDRIVEN"
    for row in map(world.row, world.messages):
        assert (row["status"], int(row["redrives"])) == (status, 1)
        let_go = ["let_go"] if state == "RedriveMessages" else []
        assert [event["event"] for event in row["journey"]] == ["redriven", *let_go]


def _alone(world: World, state: str) -> None:
    received = state != "ReceiveDeadLetters"
    if received:
        world.put_on_dlq("large", world.name("large"))
    other = world.message()
    world.dead_letter(other)
    with given.largest_message(world, "DeadLetter", 1_048_576):  # one message a turn
        run = world.run({}, mocks={state: TOO_LARGE})
    others = [*LEG, *JUDGED, *WAVE, *NO_MORE]
    assert run.states == [*START, *UP_TO[state], *LEG_FAILED, *others, *FAILED]
    assert (run.status, run.error) == ("FAILED", "DataLimitExceeded")
    assert world.row(other)["status"] == "REDRIVEN"
    name = f"Message {world.foreign_ids[0]}" if received else "A message"
    assert world.run_row(run.name)["reason"].startswith(f"{name} of the dead-letter queue is too")
    assert [letter["Body"] for letter in world.queued("DeadLetter")] == ["large"] * received
    assert all_visible(world.stack)
    # Where EventBridge tells of the end, the sweep did the same already.
    world.recover()


def _many(world: World, count: int) -> None:
    world.put_on_dlq("behind them", world.name("nobody"))
    mocks = {"ReceiveDeadLetters": TOO_LARGE * count}
    with given.largest_message(world, "DeadLetter", 1_048_576):  # one message a turn
        run = world.run({}, mocks=mocks)
    assert (run.status, run.error) == ("FAILED", "DataLimitExceeded")
    # So many legs a run begins before it gives up.
    assert world.run_row(run.name)["quarantined"] == (1 if count < 100 else 0)
    assert run.states.count("ReceiveDeadLetters") <= 100
    world.recover()


for _state in UP_TO:
    _is_guarded = _state in ("GuardLoop", "RedriveMessages")
    add(
        f"too_large_together_in_{_state}",
        "Messages too large together go one by one; what was counted and not sent is let go.",
        lambda world, state=_state, play=_guarded if _is_guarded else _together: play(world, state),  # type: ignore[misc]
        mocked=True,
    )
    if not _is_guarded:
        add(
            f"too_large_alone_in_{_state}",
            "A message that is too large alone fails the run, after the others have moved.",
            lambda world, state=_state: _alone(world, state),  # type: ignore[misc]
            mocked=True,
        )
for _count in (9, 120):
    add(
        f"too_large_{_count}_times",
        "A run looks past what is too large and moves the others, but not for ever.",
        lambda world, count=_count: _many(world, count),  # type: ignore[misc]
        mocked=True,
    )

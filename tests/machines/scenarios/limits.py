"""Messages too large for a state: `States.DataLimitExceeded` is caught by its own name."""

from tests.machines.scenarios import given
from tests.machines.scenarios.bodies import quarantined
from tests.machines.scenarios.failures import stale
from tests.machines.scenarios.paths import (
    FINISH,
    JUDGED,
    LEG,
    LEG_FAILED,
    MEASURED,
    NOTHING_GOES,
    START,
    WAVE,
)
from tests.machines.scenarios.registry import add, scenario
from tests.support.redrive_runs import all_visible
from tests.support.stack_fixtures import leg_arn
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
    measured = [*PAUSE.get(state, []), *LEG, *MEASURED, *WAVE]
    assert run.states == [*START, *UP_TO[state], *LEG_FAILED, *measured, *FINISH]
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


def _moved(world: World, size: int) -> None:
    """Redrive one of ours that fits no state, and what is behind it in its group."""
    first, behind = world.message(), None
    behind = world.message(group_id=first.group_id)
    with given.one_a_turn(world):
        world.dead_letter(first, size)
        world.dead_letter(behind)
        run = world.run({"request": {"max_messages": 2}})
    assert run.states == [*START, *MEASURED, *NOTHING_GOES, *MEASURED, *WAVE, *FINISH]
    assert (run.output["redriven"], run.output["failed"]) == (2, 0)
    sent = [letter["Body"] for letter in world.queued("Work")]
    assert sent == [first.body().ljust(size), behind.body()]
    assert world.queued("DeadLetter") == []
    for message, turn in ((first, 1), (behind, 2)):
        row = world.row(message)
        assert (row["status"], int(row["redrives"])) == ("REDRIVEN", 1)
        assert row["redrive_mark"] == f"{run.name}#0.{turn}"
        assert row["execution_arns"] == [leg_arn(world.stack, run.arn)]


@scenario()
def ours_that_fits_no_state(world: World) -> None:
    """A message of ours of 300 KiB is redriven under the guard, and in order."""
    _moved(world, 300 * 1_024)


@scenario()
def ours_of_1_mib(world: World) -> None:
    """So is one of all that SQS takes."""
    _moved(world, 1_048_576)


@scenario()
def stranger_that_fits_no_state(world: World) -> None:
    """A dead letter of 300 KiB that is not ours is quarantined byte for byte."""
    body = "é" * 153_600
    with given.one_a_turn(world):
        letter = world.put_on_dlq(body, world.name("large"))
        run = world.run({"request": {}})
    assert (run.output["quarantined"], run.output["redriven"]) == (1, 0)
    assert quarantined(world, letter) == ("InvalidEnvelope", body)
    assert world.queued("DeadLetter") == []


@scenario(mocked=True)
def too_large_although_it_was_measured(world: World) -> None:
    """A run whose lane measures and meets it all the same fails, and loses nothing."""
    world.dead_letter(world.message())
    with given.one_a_turn(world):
        run = world.run({}, mocks={"ReceiveLargeDeadLetters": TOO_LARGE})
    assert (run.status, run.error) == ("FAILED", "DataLimitExceeded")
    assert len(world.queued("DeadLetter")) == 1
    assert all_visible(world.stack)
    world.recover()


for _state in UP_TO:
    _is_guarded = _state in ("GuardLoop", "RedriveMessages")
    add(
        f"too_large_together_in_{_state}",
        "A lane for which a state was too small measures; what was counted and not sent is let go.",
        lambda world, state=_state, play=_guarded if _is_guarded else _together: play(world, state),  # type: ignore[misc]
        mocked=True,
    )

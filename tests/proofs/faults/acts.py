"""What the tests of calls act on and let happen: messages to be made, and machines to be run."""

from functools import cache
from typing import Any

from local.stack import ROOT
from tests.proofs.faults import ten
from tests.proofs.faults.crashing_world import LATER, CrashingWorld, Given
from tests.support.history import states_of
from tests.support.invariants import broken

VISIBILITY_SECONDS = 181
TWO_ATTEMPTS = {"MaxAttempts": "2"}
MACHINES = ("redrive", "redrive_lane", "retry")


@cache
def given(make: Any) -> Given:
    """Return what a function makes; it is made once."""
    return Given.by(make)


def text(machine: str) -> str:
    """Return the definition of a machine, one of `MACHINES`, as shipped."""
    return (ROOT / "statemachines" / f"{machine}.asl.json").read_text(encoding="utf-8")


@cache
def tasks(machine: str) -> dict[str, Any]:
    """Return the tasks of a machine by their names."""
    states = states_of(text(machine))
    return {name: state for name, state in states.items() if state["Type"] == "Task"}


# Messages


def nothing(world: CrashingWorld) -> None:
    """Make nothing."""


def redriven(world: CrashingWorld) -> None:
    """Redrive a holder and a message that will be refused for good; none is consumed yet."""
    ten.held(world)
    world.dead_letter(world.message(kind="debit"))  # more than the balance
    world.begin()


def redriven_batch(world: CrashingWorld) -> None:
    """Redrive ten messages of nine groups, one a holder, one never to succeed."""
    ten.held(world)
    world.dead_letter(world.message(kind="debit"))  # more than the balance
    for number in (1, 2):
        ten.dead(world, type="entry", group_id=world.name("pair"), number=number)
    for _ in range(6):
        ten.dead(world)
    world.begin()


def sent_batch(world: CrashingWorld) -> None:
    """Send ten messages: three healthy ones of a group, three of one that waits, and four more."""
    for group, fails in (("well", 0), ("ill", 1)):
        for number in (1, 2, 3):
            entry = {"number": number, "fails": fails if number == 1 else 0}
            message = world.message(type="entry", group_id=world.name(group), **entry)
            world.send(message)
            world.healthy.append(message)
    world.send(world.message(kind="debit"))
    for _ in range(3):
        message = world.message()
        world.send(message)
        world.healthy.append(message)


def parked(world: CrashingWorld) -> None:
    """Let a message fail for ever, with two parked behind it; its machine has not begun."""
    name = world.name("g")
    for number, fails in ((1, 99), (2, 0), (3, 0)):
        world.send(world.message(type="entry", group_id=name, number=number, fails=fails))
    world.stack.poll()


def waiting(world: CrashingWorld, behind: int = 2) -> None:
    """Let a message fail once, with others parked behind it; its machine has not begun."""
    name = world.name("g")
    for number in range(1, behind + 2):
        fails = 1 if number == 1 else 0
        message = world.message(type="entry", group_id=name, number=number, fails=fails)
        world.send(message)
        world.healthy.append(message)
    world.stack.poll()


def nine_waiting(world: CrashingWorld) -> None:
    """Let a message fail once, with nine parked behind it."""
    waiting(world, 9)


# Machines


def redrive(world: CrashingWorld, trigger: str = "console", **request: Any) -> None:
    """Let a run go to its end, the consumer working while it waits for outcomes."""
    world.stack.before_state = lambda arn, state: state != "WaitForOutcomes" or _poll(world)
    world.begin(trigger=trigger, request=request)
    world.go_on()


def by_a_schedule(world: CrashingWorld) -> None:
    """Let the schedule start a run."""
    redrive(world, trigger="schedule")


def stop_a_lane(world: CrashingWorld) -> None:
    """Redrive, and stop the run's lane alone before it sends."""
    world.stack.before_state = lambda arn, state: state != "RedriveMessages"
    world.begin()
    world.go_on()


def _poll(world: CrashingWorld) -> bool:
    world.poll()
    return True


def drain(world: CrashingWorld) -> None:
    """Let the sweep give a fence its execution, and that one run to its end."""
    world.stack.elapse(61)
    world.recover()
    world.stack.run_executions()


def broken_later(world: CrashingWorld) -> list[str]:
    """Let everything recover that does so by itself, and one more run; return what is broken."""
    world.settle()
    world.stack.elapse(LATER)
    world.begin()
    world.settle()
    return broken(world, moved=world.healthy)

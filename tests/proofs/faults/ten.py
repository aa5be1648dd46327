"""Ten dead letters for a run to meet, as mixed as they come, or all healthy."""

from tests.proofs.faults.crashing_world import CrashingWorld
from tests.proofs.faults.registered_world import RegisteredWorld
from tests.support.stack_fixtures import put_on_dlq
from tests.support.team_letters import BUDGET


def healthy(world: CrashingWorld) -> None:
    """Make ten dead letters of ten groups."""
    for _ in range(10):
        dead(world)


def mixed(world: CrashingWorld) -> None:
    """Make ten dead letters.

    Three of groups of their own, two of one group, one that holds its group while another is
    parked behind it, one that was processed, one that is out of redrives, one that cannot be
    processed, and one that is no message.
    """
    held(world)
    _processed(world)
    for _ in range(3):
        dead(world)
    for number in (1, 2):
        dead(world, type="entry", group_id=world.name("pair"), number=number)
    world.dead_letter(world.message(), redrives=3)
    world.dead_letter(world.message(kind="gift"))
    world.put_on_dlq('{"message_id":', world.name("strangers"))


def few(world: CrashingWorld) -> None:
    """Make three dead letters, two of them of one group, and one that holds one behind it."""
    held(world)
    dead(world)
    for number in (1, 2):
        dead(world, type="entry", group_id=world.name("pair"), number=number)


def dead(world: CrashingWorld, **fields: object) -> None:
    """Make a dead letter that a redrive can mend."""
    message = world.message(**fields)  # type: ignore[arg-type]
    world.dead_letter(message)
    world.healthy.append(message)


def held(world: CrashingWorld) -> None:
    """Make a dead letter by its last attempt, and one that is parked behind it; mend both."""
    door = world.name("door")
    group = [
        world.message(type="entry", group_id=world.name("held"), number=number, frozen_by=door)
        for number in (1, 2)
    ]
    world.freeze(door)
    for message in group:
        world.send(message)
    world.consume()  # the first dies of its last attempt, the second is parked
    world.unfreeze(door)
    world.healthy += group


def _processed(world: CrashingWorld) -> None:
    message = world.message()
    world.send(message)
    world.consume()
    put_on_dlq(world.stack, message.body(), message.group_id, f"{message.message_id}.r0")


def of_a_team(world: RegisteredWorld) -> None:
    """Make ten dead letters of a registered queue.

    Two that nobody has met, two of one group, two that hold the same, one that came back from all
    its redrives and one from the first, one that does not fit its schema, and one that somebody
    discarded.
    """
    for _ in range(2):
        dead(world)
    for number in (1, 2):
        dead(world, type="entry", group_id=world.name("pair"), number=number)
    for _ in range(2):
        world.put_on_dlq("no JSON at all", world.name("twins"))
    spent, back = world.message(), world.message()
    world.dead_letter(spent, redrives=BUDGET)
    world.dead_letter(back, redrives=1)
    world.healthy.append(back)
    world.dead_letter(world.message(kind="gift"))
    given_up = world.message()
    world.dead_letter(given_up, status="DISCARDED", redrives=1)

"""The fence: parked messages in their order, promotion, release, and fences of others."""

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import (
    ASK,
    DROPPED,
    HELD,
    LOOK,
    PROMOTED,
    REFUSED,
    RELEASED,
    ROUND,
)
from tests.machines.scenarios.registry import add, scenario
from tests.machines.scenarios.retries import retry
from tests.support.world import World

NONE_PARKED = given.returns({"Items": []})


@scenario()
def drained_in_order(world: World) -> None:
    """Parked messages follow their holder one by one; the last needs the money of the first."""
    message = given.retrying(world)
    given.parked(world, message, amount=5.0)
    given.parked(world, message, kind="debit", amount=15.0)
    run = retry(world, message)
    assert run.states == ["StartGroup", *ROUND, *PROMOTED, *PROMOTED, *RELEASED]
    assert world.effects(message.group_id) == [m.message_id for m in world.messages]


@scenario()
def promoted_message_that_dies(world: World) -> None:
    """A promoted message that is invalid holds the group in its turn."""
    message = given.settled(world)
    second = given.parked(world, message, kind="debit")
    third = given.parked(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *PROMOTED, *LOOK, *HELD]
    assert world.row(second)["status"] == "DEAD"
    assert world.row(third)["status"] == "PARKED"


@scenario()
def promoted_message_that_fails(world: World) -> None:
    """A promoted message that fails is tried as often as any."""
    message = given.settled(world)
    given.parked(world, message)
    world.freeze(message.group_id)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *PROMOTED, *ROUND * 3, *LOOK, *HELD]


def _settled_meanwhile(world: World, status: str) -> None:
    message = given.settled(world)
    given.parked(world, message, status)
    third = given.parked(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *DROPPED, *PROMOTED, *RELEASED]
    assert world.effects(message.group_id) == [third.message_id]


for _status in ("PROCESSED", "DISCARDED"):
    add(
        f"parked_message_is_{_status}",
        "A parked message that was settled meanwhile is dropped, and the next promoted.",
        lambda world, status=_status: _settled_meanwhile(world, status),  # type: ignore[misc]
    )


@scenario(mocked=True)
def conflict_at_promotion(world: World) -> None:
    """A mere conflict does not drop a parked message."""
    message = given.settled(world)
    later = given.parked(world, message)
    mocks = {"PromoteParked": given.throws("DynamoDb.TransactionCanceledException")}
    run = retry(world, message, mocks=mocks)
    kept = [*DROPPED, *ASK, *LOOK]
    assert run.states == ["StartGroup", *LOOK, *kept, *PROMOTED, *RELEASED]
    assert world.row(later)["status"] == "PROCESSED"


@scenario(mocked=True)
def parked_after_the_last_look(world: World) -> None:
    """A message that is parked after the last look makes the release fail, and is drained."""
    message = given.settled(world)
    given.parked(world, message)
    run = retry(world, message, mocks={"NextParked": NONE_PARKED})
    assert run.states == ["StartGroup", *LOOK, *REFUSED, *LOOK, *PROMOTED, *RELEASED]


@scenario(mocked=True)
def promotion_whose_answer_was_lost(world: World) -> None:
    """A promotion that was written and whose answer was lost goes on."""
    message = given.settled(world)
    second = world.message(group_id=message.group_id)
    given.record(world, second, "RETRYING")
    arn = world.machines["retry"].replace(":stateMachine:", ":execution:")
    given.fence(
        world,
        message,
        holder=second.message_id,
        parked=1,
        drained=1,
        execution_arn=f"{arn}:{world.next_run}",
    )
    item = {
        "group_id": second.group_id,
        "item": f"PARKED#{2:0>40}",
        "message_id": second.message_id,
        "trace_id": second.trace_id,
        "body": second.body(),
    }
    found = given.returns({"Items": [given.serialized(item)]})
    run = retry(world, message, mocks={"NextParked": found})
    lost = [*DROPPED, *ASK]
    assert run.states == ["StartGroup", *LOOK, *lost, *ROUND, *RELEASED]


def _of_another(world: World, **other: int | str) -> None:
    message = given.settled(world)
    given.fence(world, message, **other)
    given.parked(world, message)
    run = retry(world, message)
    left = [*DROPPED, *ASK, "NothingToRetry"]
    assert run.states == ["StartGroup", *LOOK, *left]
    assert world.effects(message.group_id) == []


add(
    "fence_taken_over",
    "An execution whose fence has a newer generation leaves what is parked alone.",
    lambda world: _of_another(world, generation=2),
)
add(
    "fence_of_another_holder",
    "An execution whose fence has another holder leaves what is parked alone.",
    lambda world: _of_another(world, holder="another"),
)


@scenario()
def release_of_a_fence_taken_over(world: World) -> None:
    """With nothing parked, a fence of a newer generation is not removed."""
    message = given.settled(world)
    given.fence(world, message, generation=2)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *REFUSED, "NothingToRetry"]


@scenario()
def fence_that_is_gone(world: World) -> None:
    """An execution that finds no fence any more ends."""
    message = world.message()
    given.record(world, message, "PROCESSED")
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *REFUSED, "NothingToRetry"]


@scenario()
def fence_that_counts_too_many(world: World) -> None:
    """A fence that counts more than there are fails loudly after some tries, and stays."""
    message = given.settled(world)
    given.fence(world, message, parked=1)
    run = retry(world, message)
    assert run.states == ["StartGroup", *[*LOOK, *REFUSED] * 5, "FenceInconsistent"]
    assert (run.status, run.error) == ("FAILED", "FenceInconsistent")

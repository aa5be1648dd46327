"""The fence: parked messages in their order, promotion, release, and fences of others."""

from tests.machines.scenarios import given
from tests.machines.scenarios.ends import dead, free, group, processed
from tests.machines.scenarios.paths import (
    ASK,
    DROPPED,
    HELD,
    LOOK,
    PROMOTED,
    REFUSED,
    RELEASED,
    ROUND,
    TRY,
)
from tests.machines.scenarios.registry import add, scenario
from tests.machines.scenarios.retries import MAX_ATTEMPTS, NONE_PARKED, retry
from tests.support.world import World
from workflows.runtime import clock


@scenario()
def drained_in_order(world: World) -> None:
    """Parked messages follow their holder one by one; the last needs the money of the first."""
    message = given.retrying(world)
    given.parked(world, message, amount=5.0)
    given.parked(world, message, kind="debit", amount=15.0)
    run = retry(world, message)
    assert run.states == ["StartGroup", *ROUND, *PROMOTED, *PROMOTED, *RELEASED]
    processed(world, *world.messages[1:])
    assert [world.row(m)["execution_arns"] for m in world.messages[1:]] == [[run.arn]] * 2


@scenario()
def promoted_message_that_dies(world: World) -> None:
    """A promoted message that is invalid holds the group in its turn."""
    message = given.settled(world)
    second = given.parked(world, message, tries=3, kind="debit")
    earlier = {"attempts_total": 3, "execution_arns": ["arn:earlier"]}
    given.record(world, second, "PARKED", attempts=0, **earlier)
    third = given.parked(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *PROMOTED, *LOOK, *HELD]
    dead(world, second, 1)
    row = world.row(second)
    assert row["execution_arns"] == ["arn:earlier", run.arn]
    assert row["attempts_total"] == row["journey"][0]["number"] == 4
    held, waiting = group(world, message)
    assert (held["generation"], held["parked"], held["drained"]) == (1, 2, 1)
    assert held["execution_arn"] == run.arn
    assert held["owned_at"] <= clock.epoch()
    assert waiting["message_id"] == third.message_id
    assert world.row(third)["status"] == "PARKED"


@scenario()
def promoted_message_that_fails(world: World) -> None:
    """A promoted message that fails is tried as often as any."""
    message = given.settled(world)
    later = given.parked(world, message)
    world.freeze(message.group_id)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *PROMOTED, *TRY * 3, *LOOK, *HELD]
    dead(world, later, MAX_ATTEMPTS)


def _settled_meanwhile(world: World, status: str) -> None:
    message = given.settled(world)
    second = given.parked(world, message, status)
    before = world.row(second)
    third = given.parked(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *DROPPED, *PROMOTED, *RELEASED]
    assert world.row(second) == before
    assert world.effects(message.group_id) == [third.message_id]
    processed(world, third)


for _status in ("PROCESSED", "DISCARDED", "GONE"):
    add(
        f"parked_message_is_{_status}",
        "A parked message that was settled or forgotten is dropped, and the next promoted.",
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
    processed(world, later)


@scenario(mocked=True)
def parked_after_the_last_look(world: World) -> None:
    """A message that is parked after the last look makes the release fail, and is drained."""
    message = given.settled(world)
    later = given.parked(world, message)
    run = retry(world, message, mocks={"NextParked": NONE_PARKED})
    assert run.states == ["StartGroup", *LOOK, *REFUSED, *LOOK, *PROMOTED, *RELEASED]
    processed(world, later)


@scenario(mocked=True)
def promotion_whose_answer_was_lost(world: World) -> None:
    """A promotion that was written and whose answer was lost goes on."""
    message = given.settled(world)
    second = world.message(group_id=message.group_id)
    given.record(world, second, "RETRYING")
    arn = world.machines["retry"].replace(":stateMachine:", ":execution:")
    ours = {"holder": second.message_id, "execution_arn": f"{arn}:{world.next_run}"}
    given.fence(world, message, parked=1, drained=1, **ours)
    third = given.parked(world, message)
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
    assert run.states == ["StartGroup", *LOOK, *lost, *ROUND, *PROMOTED, *RELEASED]
    processed(world, second, attempts=2)
    processed(world, third)


OTHERS: dict[str, dict[str, int | str]] = {
    "taken_over": {"generation": 2},
    "of_another_holder": {"holder": "another"},
}


def _of_another(world: World, **other: int | str) -> None:
    for status in ("PARKED", "PROCESSED"):
        message = given.settled(world)
        given.fence(world, message, **other)
        later = given.parked(world, message, status)
        before = group(world, message), world.row(later)
        run = retry(world, message)
        assert run.states == ["StartGroup", *LOOK, *DROPPED, *ASK, "NothingToRetry"]
        assert (group(world, message), world.row(later)) == before
        assert world.effects(message.group_id) == []


def _release_of_another(world: World, **other: int | str) -> None:
    message = given.settled(world)
    given.fence(world, message, **other)
    before = group(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *REFUSED, "NothingToRetry"]
    assert group(world, message) == before


for _how, _other in OTHERS.items():
    add(
        f"fence_{_how}",
        "An execution whose fence is another's by now leaves what is parked alone.",
        lambda world, other=_other: _of_another(world, **other),  # type: ignore[misc]
    )
    add(
        f"release_of_a_fence_{_how}",
        "With nothing parked, a fence that is another's by now is not removed.",
        lambda world, other=_other: _release_of_another(world, **other),  # type: ignore[misc]
    )


@scenario()
def fence_that_is_gone(world: World) -> None:
    """An execution that finds no fence any more ends."""
    message = world.message()
    given.record(world, message, "PROCESSED")
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *REFUSED, "NothingToRetry"]
    free(world, message)


@scenario()
def fence_that_counts_too_many(world: World) -> None:
    """A fence that counts more than there are fails loudly after some tries, and stays."""
    message = given.settled(world)
    given.fence(world, message, parked=1)
    before = group(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *[*LOOK, *REFUSED] * 5, "FenceInconsistent"]
    assert (run.status, run.error) == ("FAILED", "FenceInconsistent")
    assert group(world, message) == before


@scenario(mocked=True)
def refusals_are_counted_anew(world: World) -> None:
    """How often a release was refused is counted anew for the next holder."""
    message = given.settled(world)
    behind = [given.parked(world, message) for _ in range(2)]
    first = given.serialized(group(world, message)[1])
    found = [*NONE_PARKED * 4, *given.returns({"Items": [first]}), *NONE_PARKED * 4]
    run = retry(world, message, mocks={"NextParked": found})
    each = [*[*REFUSED, *LOOK] * 4, *PROMOTED]
    assert run.states == ["StartGroup", *LOOK, *each, *each, *RELEASED]
    processed(world, *behind)

"""The retry machine: attempts, deaths, and what becomes of a message meanwhile."""

from typing import Any

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import ASK, DEAD, HELD, LOOK, PARKED, PROMOTED, RELEASED, ROUND
from tests.machines.scenarios.registry import add, scenario
from tests.support import stack_fixtures
from tests.support.stack_fixtures import Execution
from tests.support.world import World
from workflows.messages.envelope import Message

BROKEN = "Some.ServiceException"
MAX_ATTEMPTS = 4  # of samconfig.toml's local parameters


def retry(world: World, message: Message, **options: Any) -> Execution:
    """Run the retry machine for a message that holds its group's fence."""
    payload = {
        "group_id": message.group_id,
        "message_id": message.message_id,
        "generation": 1,
    }
    return world.run(payload, **{"machine": "retry"} | options)


def inspected(message: Message, **columns: Any) -> list[dict[str, Any]]:
    """Return what InspectMessage would have found, for a row that changed right after."""
    item = {
        "message_id": {"S": message.message_id},
        "group_id": {"S": message.group_id},
        "trace_id": {"S": message.trace_id},
        "status": {"S": "RETRYING"},
        "body": {"S": message.body()},
        "attempts": {"N": "1"},
        "attempts_total": {"N": "1"},
        "redrives": {"N": "0"},
        "reason": {"M": {"type": {"S": "AccountFrozen"}, "message": {"S": "It is frozen."}}},
    }
    return given.returns({"Item": item | columns})


@scenario()
def processed_at_the_first_retry(world: World) -> None:
    """A message that can be processed by now is, and its group goes on."""
    message = given.retrying(world)
    assert retry(world, message).states == ["StartGroup", *ROUND, *RELEASED]
    assert world.effects(message.group_id) == [message.message_id]


@scenario()
def attempts_until_dead(world: World) -> None:
    """A message that fails each time is tried as often as it may, dies, and holds its group."""
    message = given.retrying(world)
    world.freeze(message.group_id)
    run = retry(world, message)
    assert run.states == ["StartGroup", *ROUND * (MAX_ATTEMPTS - 1), *LOOK, *HELD]


@scenario()
def invalid_at_once(world: World) -> None:
    """A message that turns out to be invalid is dead-lettered at once."""
    message = given.retrying(world, kind="debit")
    assert retry(world, message).states == ["StartGroup", *ROUND, *LOOK, *HELD]


@scenario(mocked=True)
def function_that_dies(world: World) -> None:
    """A try whose function dies is an attempt, and its death the reason."""
    message = given.retrying(world)
    mocks = {"ProcessMessage": given.throws("Runtime.ExitError", MAX_ATTEMPTS)}
    run = retry(world, message, mocks=mocks)
    assert run.states == ["StartGroup", *ROUND * (MAX_ATTEMPTS - 1), *LOOK, *HELD]
    assert world.row(message)["reason"]["type"] == "Runtime.ExitError"


@scenario(mocked=True)
def function_that_is_throttled(world: World) -> None:
    """Lambda's own troubles are retried inside one attempt."""
    message = given.retrying(world)
    mocks = {"ProcessMessage": given.throws("Lambda.TooManyRequestsException")}
    assert retry(world, message, mocks=mocks).states == ["StartGroup", *ROUND * 2, *RELEASED]


@scenario()
def no_attempt_left(world: World) -> None:
    """A message without attempts and without a reason is dead-lettered all the same."""
    message = given.retrying(world, row={"attempts": MAX_ATTEMPTS})
    row = stack_fixtures.row(world.stack, "Messages", message.message_id)
    del row["reason"]
    stack_fixtures.put(world.stack, "Messages", row)
    assert retry(world, message).states == ["StartGroup", *LOOK, *HELD]


@scenario(mocked=True)
def guard_has_the_last_word(world: World) -> None:
    """The condition refuses an attempt beyond the limit, whatever was read before."""
    message = given.retrying(world, row={"attempts": MAX_ATTEMPTS})
    run = retry(world, message, mocks={"InspectMessage": inspected(message)})
    assert run.states == ["StartGroup", *ROUND[:3], *ASK, *LOOK, *HELD]


@scenario(mocked=True)
def superseded_attempt(world: World) -> None:
    """An attempt that is overtaken has no effect; the owner of the fence counts another."""
    message = given.retrying(world)
    run = retry(world, message, mocks={"ProcessMessage": given.throws("Superseded")})
    assert run.states == ["StartGroup", *ROUND, *ASK, *ROUND, *RELEASED]


def _in_status(world: World, status: str) -> None:
    message = given.settled(world, status)
    run = retry(world, message)
    goes_on = status in ("PROCESSED", "DISCARDED")
    assert run.states == ["StartGroup", *LOOK, *(RELEASED if goes_on else ["NothingToRetry"])]
    assert world.row(message)["status"] == status


for _status in ("PROCESSED", "DISCARDED", "DEAD", "QUARANTINED", "REDRIVEN", "PROCESSING"):
    add(
        f"holder_is_{_status}",
        "A holder that was settled meanwhile lets its group go; one in other hands holds it.",
        lambda world, status=_status: _in_status(world, status),  # type: ignore[misc]
    )


@scenario()
def holder_that_is_forgotten(world: World) -> None:
    """A holder that the ledger does not know any more lets its group go."""
    message = world.message()
    given.fence(world, message)
    assert retry(world, message).states == ["StartGroup", *LOOK, *RELEASED]


@scenario(mocked=True)
def settled_after_it_was_read(world: World) -> None:
    """A message that was processed between inspection and guard is not tried again."""
    message = given.settled(world)
    run = retry(world, message, mocks={"InspectMessage": inspected(message)})
    assert run.states == ["StartGroup", *ROUND[:3], *ASK, *LOOK, *RELEASED]


@scenario(mocked=True)
def redriven_before_it_is_marked_dead(world: World) -> None:
    """A message that a redrive took before it was marked dead stays redriven."""
    message = given.settled(world, "REDRIVEN")
    final = {"M": {"type": {"S": "A"}, "message": {"S": "b"}, "final": {"BOOL": True}}}
    run = retry(world, message, mocks={"InspectMessage": inspected(message, reason=final)})
    dead = ["DeadLetter", "MarkDead"]
    assert run.states == ["StartGroup", *LOOK, *dead, *ASK, *LOOK, "NothingToRetry"]


@scenario()
def dead_and_the_group_goes_on(world: World) -> None:
    """With `OnDeadLetter=continue` a dead message lets its group go on."""
    continuing = world.variant("retry", "'hold' =", "'continue' =", "continuing")
    message = given.retrying(world, kind="debit")
    later = given.parked(world, message)
    run = retry(world, message, machine=continuing)
    assert run.states == ["StartGroup", *ROUND, *LOOK, *DEAD, *PROMOTED, *RELEASED]
    assert world.row(later)["status"] == "PROCESSED"


@scenario()
def holder_in_trouble_and_the_group_goes_on(world: World) -> None:
    """With `OnDeadLetter=continue` a holder that died before lets its group go on."""
    continuing = world.variant("retry", "'hold' =", "'continue' =", "continuing")
    message = given.settled(world, "DEAD")
    run = retry(world, message, machine=continuing)
    assert run.states == ["StartGroup", *LOOK, *RELEASED]


@scenario()
def successor_of_a_retry(world: World) -> None:
    """An execution that took its steps hands the group over to another."""
    short = world.variant("retry", "$steps >= 400", "$steps >= 1", "short")
    message = given.retrying(world)
    later = given.parked(world, message)
    run = retry(world, message, machine=short)
    world.follow(f"{run.name}-s1", machine=short)
    handed_over = [*PARKED, "StartSuccessor", "ContinuedBySuccessor"]
    assert run.states == ["StartGroup", *ROUND, *handed_over]
    assert world.executions[-1].states == ["StartGroup", *LOOK, *PROMOTED, *RELEASED]
    assert world.row(later)["status"] == "PROCESSED"


@scenario(mocked=True)
def successor_of_a_retry_that_runs_already(world: World) -> None:
    """A successor that an earlier try started is enough, and has the group."""
    short = world.variant("retry", "$steps >= 400", "$steps >= 1", "short")
    message = given.retrying(world)
    given.parked(world, message)
    exists = given.throws("StepFunctions.ExecutionAlreadyExistsException")
    run = retry(world, message, machine=short, mocks={"StartSuccessor": exists})
    assert run.states[-2:] == ["StartSuccessor", "ContinuedBySuccessor"]


def _in_a_round(world: World) -> tuple[Message, str]:
    return given.retrying(world), "retry"


def _at_a_promotion(world: World) -> tuple[Message, str]:
    message = given.settled(world)
    given.parked(world, message)
    return message, "retry"


def _at_a_drop(world: World) -> tuple[Message, str]:
    message = given.settled(world)
    given.parked(world, message, "PROCESSED")
    return message, "retry"


def _at_a_refusal(world: World) -> tuple[Message, str]:
    message = given.settled(world)
    given.fence(world, message, parked=1)
    return message, "retry"


def _at_a_death(world: World) -> tuple[Message, str]:
    return given.retrying(world, kind="debit"), "retry"


def _at_a_handover(world: World) -> tuple[Message, str]:
    message = given.retrying(world)
    given.parked(world, message)
    return message, world.variant("retry", "$steps >= 400", "$steps >= 1", "short")


def _fails_for_good(world: World, state: str) -> None:
    message, machine = _WHERE[state](world)
    run = retry(world, message, machine=machine, mocks={state: given.throws(BROKEN)})
    assert (run.states[-1], run.status, run.error) == (state, "FAILED", BROKEN)
    fence = world.fence(message.group_id)
    assert (fence["holder"], fence["generation"]) == (message.message_id, 1)


_WHERE = {
    "InspectMessage": _in_a_round,
    "GuardLoop": _in_a_round,
    "NextParked": _in_a_round,
    "ReleaseFence": _in_a_round,
    "PromoteParked": _at_a_promotion,
    "DropParked": _at_a_drop,
    "InspectFence": _at_a_refusal,
    "DeadLetter": _at_a_death,
    "MarkDead": _at_a_death,
    "StartSuccessor": _at_a_handover,
}
for _state in _WHERE:
    add(
        f"{_state}_of_a_retry_fails_for_good",
        "A retry whose service fails for good fails loudly, and its group stays fenced.",
        lambda world, state=_state: _fails_for_good(world, state),  # type: ignore[misc]
        mocked=True,
    )

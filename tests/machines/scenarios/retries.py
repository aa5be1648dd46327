"""The retry machine: attempts, deaths, and what becomes of a message meanwhile."""

from typing import Any

from tests.machines.scenarios import given
from tests.machines.scenarios.ends import dead, failures, free, group, processed
from tests.machines.scenarios.paths import (
    ASK,
    DEAD,
    HELD,
    LOOK,
    PARKED,
    PROMOTED,
    RELEASED,
    ROUND,
    TRY,
)
from tests.machines.scenarios.registry import add, scenario
from tests.support import stack_fixtures
from tests.support.stack_fixtures import Execution
from tests.support.world import World
from workflows.messages.envelope import Message
from workflows.messages.limits import ATTRIBUTE_RESERVE_BYTES

BROKEN = "Some.ServiceException"
MAX_ATTEMPTS = 4  # of samconfig.toml's local parameters
MAX_MESSAGE_BYTES = 12_000  # the template's default
NO_ANSWER = "The function ended without an answer."
NONE_PARKED = given.returns({"Items": []})


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
    processed(world, message, attempts=2)


@scenario()
def no_generation_in_the_input(world: World) -> None:
    """An input without a generation is of a fence that had no execution yet."""
    message = given.retrying(world)
    given.fence(world, message, generation=0)
    world.run({"group_id": message.group_id, "message_id": message.message_id}, machine="retry")
    processed(world, message, attempts=2)


@scenario()
def attempts_until_dead(world: World) -> None:
    """A message that fails each time is tried as often as it may, dies, and holds its group."""
    message = given.retrying(world, row={"redrives": 2, "attempts_total": 9})
    world.freeze(message.group_id)
    before = group(world, message)
    run = retry(world, message)
    assert run.states == ["StartGroup", *LOOK, *TRY * (MAX_ATTEMPTS - 1), *LOOK, *HELD]
    assert dead(world, message, MAX_ATTEMPTS) == {
        "type": "AccountFrozen",
        "message": f"Account {message.group_id} is frozen.",
        "template": "Account {account_id} is frozen.",
    }
    assert group(world, message) == before
    tried = world.row(message)["journey"][:-1]
    assert [(one["event"], one["reason_type"], one["number"]) for one in tried] == [
        ("attempt", "AccountFrozen", number)
        for number in range(10, 10 + MAX_ATTEMPTS - 1)  # the consumer's was the ninth
    ]


@scenario()
def invalid_at_once(world: World) -> None:
    """A message that turns out to be invalid is dead at once, and keeps those behind it waiting."""
    message = given.retrying(world, kind="debit")
    later = given.parked(world, message)
    before = group(world, message)
    assert retry(world, message).states == ["StartGroup", *ROUND, *LOOK, *HELD]
    reason = dead(world, message, 2)
    assert reason["type"] == "TransactionRejected"
    assert "does not cover the debit" in reason["message"]
    assert (group(world, message), world.row(later)["status"]) == (before, "PARKED")


@scenario(mocked=True)
def function_that_dies(world: World) -> None:
    """A try whose function dies, in whatever way, is an attempt, and its death the reason."""
    message = given.retrying(world)  # its row says AccountFrozen
    deaths = ("Runtime.ExitError", "Lambda.Unknown", "States.Timeout")
    mocks = {"ProcessMessage": [entry for error in deaths for entry in given.throws(error)]}
    run = retry(world, message, mocks=mocks)
    assert run.states == ["StartGroup", *LOOK, *TRY * len(deaths), "GuardLoop", *ASK, *LOOK, *HELD]
    assert dead(world, message, MAX_ATTEMPTS) == {"type": deaths[-1], "message": NO_ANSWER}


@scenario(mocked=True)
def function_that_dies_once(world: World) -> None:
    """A function's death does not hide the reason that the next attempt gives."""
    message = given.retrying(world)
    world.freeze(message.group_id)
    retry(world, message, mocks={"ProcessMessage": given.throws("Runtime.ExitError")})
    assert dead(world, message, MAX_ATTEMPTS)["type"] == "AccountFrozen"


@scenario(mocked=True)
def function_that_is_throttled(world: World) -> None:
    """Lambda's own troubles are retried inside one attempt; the message's are one each."""
    message = given.retrying(world)
    busy, frozen = given.throws("Lambda.TooManyRequestsException"), given.throws("AccountFrozen")
    run = retry(world, message, mocks={"ProcessMessage": [*busy, *frozen]})
    assert run.states == ["StartGroup", *LOOK, *TRY * 3, *RELEASED]
    assert failures(world, run) == 7 + 1  # six retries, all of them one attempt
    processed(world, message, attempts=4)


@scenario()
def no_attempt_left(world: World) -> None:
    """A message without attempts and without a reason is dead-lettered all the same."""
    message = given.retrying(world, row={"attempts": MAX_ATTEMPTS})
    row = stack_fixtures.row(world.stack, "Messages", message.message_id)
    del row["reason"]
    stack_fixtures.put(world.stack, "Messages", row)
    assert retry(world, message).states == ["StartGroup", *LOOK, *HELD]
    assert dead(world, message, MAX_ATTEMPTS)["type"] == "Unknown"


@scenario()
def body_that_leaves_no_room(world: World) -> None:
    """A body that leaves no room for its reason is dead-lettered without.

    SQS counts attributes as size. A character that may have more bytes is taken for four.
    """
    for filler, size in ((" ", 1), ("é", 4)):
        for over in (0, 1):
            message = given.retrying(world, row={"attempts": MAX_ATTEMPTS})
            room = MAX_MESSAGE_BYTES - ATTRIBUTE_RESERVE_BYTES - len(message.body())
            body = message.body() + " " * (room % size) + filler * (room // size + over)
            stack_fixtures.put(world.stack, "Messages", world.row(message) | {"body": body})
            retry(world, message)
            (letter,) = stack_fixtures.queued(world.stack, "DeadLetter", message.group_id)
            assert letter["Body"] == body
            assert bool(letter.get("MessageAttributes")) is (over == 0)
            assert world.row(message)["status"] == "DEAD"


@scenario(mocked=True)
def guard_has_the_last_word(world: World) -> None:
    """The condition refuses an attempt beyond the limit, whatever was read before."""
    message = given.retrying(world, row={"attempts": MAX_ATTEMPTS})
    read = inspected(message, attempts_total={"N": str(MAX_ATTEMPTS)})
    run = retry(world, message, mocks={"InspectMessage": read})
    assert run.states == ["StartGroup", *ROUND[:3], *ASK, *LOOK, *HELD]
    assert dead(world, message, MAX_ATTEMPTS)["type"] == "AccountFrozen"  # not the refusal


@scenario(mocked=True)
def superseded_attempt(world: World) -> None:
    """An attempt that is overtaken has no effect; the owner of the fence counts another."""
    message = given.retrying(world)
    run = retry(world, message, mocks={"ProcessMessage": given.throws("Superseded")})
    assert run.states == ["StartGroup", *ROUND, *ASK, *ROUND, *RELEASED]


_SETTLED = ("PROCESSED", "DISCARDED", "GONE")


def _in_status(world: World, status: str) -> None:
    message = given.settled(world, status)
    goes_on = status in _SETTLED
    if not goes_on:
        given.parked(world, message)
    before = world.row(message), group(world, message)
    run = retry(world, message)
    assert run.status == "SUCCEEDED"
    assert run.states == ["StartGroup", *LOOK, *(RELEASED if goes_on else ["NothingToRetry"])]
    assert (world.row(message), group(world, message)) == (before[0], [] if goes_on else before[1])
    assert world.queued("DeadLetter") == []


for _status in (
    *("PROCESSED", "DISCARDED", "GONE"),
    "DEAD",
    "QUARANTINED",
    "REDRIVEN",
    "PROCESSING",
):
    add(
        f"holder_is_{_status}",
        "A holder that was settled or forgotten lets its group go; one in other hands holds it.",
        lambda world, status=_status: _in_status(world, status),  # type: ignore[misc]
    )


@scenario(mocked=True)
def settled_after_it_was_read(world: World) -> None:
    """A message that was processed between inspection and guard is not tried again."""
    message = given.settled(world)
    before = world.row(message)
    run = retry(world, message, mocks={"InspectMessage": inspected(message)})
    assert run.states == ["StartGroup", *ROUND[:3], *ASK, *LOOK, *RELEASED]
    assert world.row(message) == before
    free(world, message)


@scenario(mocked=True)
def redriven_before_it_is_marked_dead(world: World) -> None:
    """A message that a redrive took before it was marked dead stays redriven."""
    message = given.settled(world, "REDRIVEN")
    before = world.row(message), group(world, message)
    final = {"M": {"type": {"S": "A"}, "message": {"S": "b"}, "final": {"BOOL": True}}}
    run = retry(world, message, mocks={"InspectMessage": inspected(message, reason=final)})
    assert run.states == ["StartGroup", *LOOK, *DEAD[:2], *ASK, *LOOK, "NothingToRetry"]
    assert (world.row(message), group(world, message)) == before


@scenario()
def dead_and_the_group_goes_on(world: World) -> None:
    """With `OnDeadLetter=continue` a dead message lets its group go on."""
    continuing = world.variant("retry", "'hold' =", "'continue' =", "continuing")
    message = given.retrying(world, kind="debit")
    later = given.parked(world, message)
    run = retry(world, message, machine=continuing)
    assert run.states == ["StartGroup", *ROUND, *LOOK, *DEAD, *PROMOTED, *RELEASED]
    assert [world.row(m)["status"] for m in (message, later)] == ["DEAD", "PROCESSED"]
    assert [letter["Body"] for letter in world.queued("DeadLetter")] == [message.body()]
    assert group(world, message) == []


@scenario()
def holder_in_trouble_and_the_group_goes_on(world: World) -> None:
    """With `OnDeadLetter=continue` a holder that died before lets its group go on."""
    continuing = world.variant("retry", "'hold' =", "'continue' =", "continuing")
    for status in ("DEAD", "QUARANTINED"):
        message = given.settled(world, status)
        run = retry(world, message, machine=continuing)
        assert run.states == ["StartGroup", *LOOK, *RELEASED]
        assert world.row(message)["status"] == status
        free(world, message)


@scenario()
def successor_of_a_retry(world: World) -> None:
    """An execution that took its steps hands the group over to another, which does so again."""
    short = world.variant("retry", "$steps >= 400", "$steps >= 1", "short")
    message = given.retrying(world)
    behind = [given.parked(world, message) for _ in range(2)]
    run = retry(world, message, machine=short)
    second, third = (world.follow(f"{run.name}-s{n}", machine=short) for n in (1, 2))
    handed_over = [*PARKED, "StartSuccessor", "ContinuedBySuccessor"]
    assert run.states == ["StartGroup", *ROUND, *handed_over]
    assert second.states == ["StartGroup", *LOOK, *PROMOTED, *handed_over]
    assert third.states == ["StartGroup", *LOOK, *PROMOTED, *RELEASED]
    processed(world, *behind)


@scenario()
def no_successor_for_nothing(world: World) -> None:
    """An execution that took its steps and has nothing parked behind it needs no successor."""
    short = world.variant("retry", "$steps >= 400", "$steps >= 1", "short")
    message = given.retrying(world)
    assert retry(world, message, machine=short).states == ["StartGroup", *ROUND, *RELEASED]


@scenario(mocked=True)
def successor_of_a_retry_that_runs_already(world: World) -> None:
    """A successor that an earlier try started is enough, and has the group."""
    short = world.variant("retry", "$steps >= 400", "$steps >= 1", "short")
    message = given.retrying(world)
    later = given.parked(world, message)
    exists = given.throws("StepFunctions.ExecutionAlreadyExistsException")
    run = retry(world, message, machine=short, mocks={"StartSuccessor": exists})
    assert run.states[-2:] == ["StartSuccessor", "ContinuedBySuccessor"]
    assert failures(world, run) == 1  # it is not asked again
    assert world.row(later)["status"] == "PARKED"  # for the successor


Start = tuple[Message, dict[str, Any]]  # of which message, and what else `retry` is given


def _in_a_round(world: World) -> Start:
    return given.retrying(world), {}


def _at_a_promotion(world: World) -> Start:
    message = given.settled(world)
    given.parked(world, message)
    return message, {}


def _at_a_drop(world: World) -> Start:
    message = given.settled(world)
    given.parked(world, message, "PROCESSED")
    return message, {}


def _at_a_refusal(world: World) -> Start:
    message, _ = _at_a_promotion(world)
    return message, {"mocks": {"NextParked": NONE_PARKED}}


def _at_a_death(world: World) -> Start:
    return given.retrying(world, kind="debit"), {}


def _at_a_handover(world: World) -> Start:
    message = given.retrying(world)
    given.parked(world, message)
    return message, {"machine": world.variant("retry", "$steps >= 400", "$steps >= 1", "short")}


def _fails_for_good(world: World, state: str) -> None:
    message, how = _WHERE[state](world)
    before = group(world, message)
    mocks = how.pop("mocks", {}) | {state: given.throws(BROKEN)}
    run = retry(world, message, mocks=mocks, **how)
    assert (run.states[-1], run.status, run.error) == (state, "FAILED", BROKEN)
    assert group(world, message) == before
    row = world.row(message)
    if state in ("InspectMessage", "GuardLoop", "DeadLetter", "MarkDead"):
        assert (row["status"], row["body"]) == ("RETRYING", message.body())
    # A second copy at worst, and only after the dead-letter queue has one.
    assert len(world.queued("DeadLetter")) == (state == "MarkDead")

    again = retry(world, message)
    if _WHERE[state] is _at_a_death:
        assert again.states[-1] == "GroupHeld"
        # Never the same deduplication id: the first copy may be gone from the queue by then.
        assert len(world.queued("DeadLetter")) == (2 if state == "MarkDead" else 1)
        assert world.row(message)["status"] == "DEAD"
    else:
        assert again.states[-1] == "GroupReleased"
        assert {world.row(m)["status"] for m in world.messages} == {"PROCESSED"}
        free(world, message)


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
        "A retry whose service fails for good fails loudly, keeps its fence, and can be repeated.",
        lambda world, state=_state: _fails_for_good(world, state),  # type: ignore[misc]
        mocked=True,
    )

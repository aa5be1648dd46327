"""What comes beside the body: on every way the sender's attributes, byte for byte, and its trace.

Every death adds the reason, where SQS's ten attributes leave room, and every way back drops it.
"""

from typing import Any

from tests.machines.scenarios import given
from tests.machines.scenarios.consuming import operator, statuses
from tests.machines.scenarios.registry import scenario
from tests.support.stack_fixtures import row
from tests.support.world import World
from workflows.messages.carried import Carried
from workflows.messages.envelope import Message
from workflows.operator import edit, retry_by_hand

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
SENDERS = {
    "tenant": {"DataType": "String", "StringValue": 'é😀 "quoted" {% $x %}'},
    "priority": {"DataType": "Number.int", "StringValue": "007"},
    "traceparent": {"DataType": "String.w3c", "StringValue": "00-4bf92f35-00f067aa-01"},
    "checksum.md5": {"DataType": "Binary", "BinaryValue": "AP/+gIBB"},  # no UTF-8
}
ALL = Carried(SENDERS, TRACE)
REASONS = {"ReasonType", "ReasonMessage"}


def beside(letters: list[dict[str, Any]]) -> tuple[dict[str, Any], str | None]:
    """Return the attributes and the trace header of the one message on a queue."""
    (letter,) = letters
    return letter["MessageAttributes"], letter["Attributes"].get("AWSTraceHeader")


def dead(world: World, carried: Carried = ALL) -> None:
    """Hold that the one dead letter has all that its sender gave it, and why it died."""
    attributes, trace = beside(world.queued("DeadLetter"))
    assert attributes.keys() - carried.attributes.keys() == REASONS
    assert {name: attributes[name] for name in carried.attributes} == carried.attributes
    assert trace == TRACE


def comes(world: World, carried: Carried = ALL, **fields: Any) -> Message:
    """Let a message come to the work queue from a sender that puts something beside the body."""
    message = world.message(**fields)
    world.put_copy("Work", message, carried)
    return message


def redriven(world: World) -> None:
    """Let a run redrive the one dead letter, and hold that it is as its sender sent it."""
    world.run({"request": {"max_messages": 1}})
    assert beside(world.queued("Work")) == (SENDERS, TRACE)


@scenario()
def carried_through_retries_and_back(world: World) -> None:
    """A message out of attempts is dead-lettered with what it carried, and redriven with it."""
    message = comes(world)
    world.freeze(message.group_id)
    world.consume()
    dead(world)
    world.unfreeze(message.group_id)
    redriven(world)
    world.consume()
    assert statuses(world) == ["PROCESSED"]
    assert "carried" not in world.row(message)


@scenario()
def carried_by_an_invalid_message(world: World) -> None:
    """A message that dies at its first try is dead-lettered with what it carried."""
    comes(world, kind="debit")
    world.consume()
    dead(world)
    redriven(world)


@scenario()
def carried_by_what_is_parked(world: World) -> None:
    """A message that was parked, promoted and then died has what it carried."""
    holder = world.message()
    world.freeze(holder.group_id)
    world.send(holder)
    comes(world, group_id=holder.group_id, account_id=holder.group_id, kind="debit", amount=99.0)
    world.consume()
    assert statuses(world) == ["DEAD", "PARKED"]
    world.unfreeze(holder.group_id)
    world.run({"request": {"max_messages": 1}})
    world.consume()
    assert statuses(world) == ["PROCESSED", "DEAD"]
    dead(world)


@scenario()
def parked_before_anything_was_carried(world: World) -> None:
    """What was parked without a word of what it carried is promoted, and dies, all the same."""
    holder = given.settled(world)
    later = given.parked(world, holder, kind="debit")
    payload = {"group_id": holder.group_id, "message_id": holder.message_id, "generation": 1}
    world.run(payload, machine="retry")
    assert world.row(later)["status"] == "DEAD"
    assert beside(world.queued("DeadLetter"))[0].keys() == REASONS


@scenario()
def carried_through_quarantine(world: World) -> None:
    """What a run quarantines keeps what it carried, and goes with it when a person retries it."""
    message = world.message()
    given.record(world, message, "DEAD", redrives=3)
    world.put_copy("DeadLetter", message, ALL, ReasonType="A", ReasonMessage="b")
    assert world.run({"request": {"max_messages": 1}}).output["quarantined"] == 1
    with world.application():
        again = retry_by_hand.RetryRequest(reset_redrives=True)
        retry_by_hand.retry(message.message_id, again, operator(world))
    assert beside(world.queued("Work")) == (SENDERS, TRACE)


@scenario()
def carried_through_an_edit(world: World) -> None:
    """An edited message that a person retries has what the first body came with."""
    debit = comes(world, kind="debit")
    world.consume()
    with world.application():
        credit = world.version(debit, kind="credit")
        edit.edit(debit.message_id, credit.payload, operator(world))
        retry_by_hand.retry(debit.message_id, retry_by_hand.RetryRequest(), operator(world))
    (copy,) = world.queued("Work")
    assert copy["Body"] == credit.body()
    assert beside([copy]) == (SENDERS, TRACE)


@scenario()
def carried_by_what_the_ledger_learns_of(world: World) -> None:
    """What a run meets first, ours or not, stored or left out, is noted with what it carried."""
    unknown, left = world.message(), world.message()
    world.put_copy("DeadLetter", unknown, ALL)
    run = world.run({"request": {"max_messages": 1}})
    assert run.output["quarantined"] == 1
    given.record(world, left, "QUEUED")
    world.put_copy("DeadLetter", left, ALL)
    world.run({"request": {"filter": {"message_ids": ["another"]}}})
    assert [world.row(m)["status"] for m in (unknown, left)] == ["QUARANTINED", "DEAD"]
    assert [world.row(m)["carried"] for m in (unknown, left)] == [ALL.column] * 2
    bare = world.put_on_dlq("hello", world.name("nobody"))
    world.run({"request": {"filter": {"group_id": world.name("nobody")}}})
    assert row(world.stack, "Messages", f"sqs:{bare}")["carried"] == {}


@scenario()
def no_room_for_a_reason(world: World) -> None:
    """Of a message with ten attributes its own ten are kept, and the reason is the ledger's."""
    full = {f"a{n}": {"DataType": "Number", "StringValue": str(n)} for n in range(10)}
    retried, invalid = comes(world, Carried(full)), comes(world, Carried(full), kind="debit")
    world.freeze(retried.group_id)
    world.consume()
    assert [letter["MessageAttributes"] for letter in world.queued("DeadLetter")] == [full] * 2
    reasons = [world.row(m)["reason"]["type"] for m in (retried, invalid)]
    assert reasons == ["AccountFrozen", "TransactionRejected"]

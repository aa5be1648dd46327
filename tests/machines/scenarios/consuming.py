"""From the work queue on: the consumer, the retry machine, operators, and the way back."""

from tests.machines.scenarios import given
from tests.machines.scenarios.ends import dead
from tests.machines.scenarios.registry import scenario
from tests.support import stack_fixtures
from tests.support.world import World
from workflows.ledger import audit
from workflows.operator import discard, edit, retry_by_hand


def statuses(world: World) -> list[str]:
    """Return the statuses of all messages, in the order given."""
    return [world.row(message)["status"] for message in world.messages]


def operator(world: World) -> audit.Actor:
    """Return who acts, as the API tells the rules."""
    return audit.Actor(
        email="o@example.com", role="operator", source_ip="192.0.2.1", trace_id=world.name("trace")
    )


@scenario()
def healthy_messages(world: World) -> None:
    """Messages of two groups are processed without any execution."""
    group = world.name("group")
    for message in (world.message(group_id=group), world.message(), world.message(group_id=group)):
        world.send(message)
    world.consume()
    assert statuses(world) == ["PROCESSED"] * 3


@scenario()
def delivered_twice(world: World) -> None:
    """A second copy of a processed message is acknowledged without an effect."""
    message = world.message()
    world.send(message)
    world.consume()
    world.put_copy("Work", message)
    world.consume()
    assert world.effects(message.group_id) == [message.message_id]


@scenario()
def sent_twice(world: World) -> None:
    """The same message sent twice is one message."""
    message = world.message()
    world.send(message)
    world.send(message)
    assert len(world.queued("Work")) == 1


@scenario()
def invalid_message_on_the_work_queue(world: World) -> None:
    """A debit beyond the balance goes straight to the dead-letter queue and holds its group."""
    debit = world.message(kind="debit")
    credit = world.message(group_id=debit.group_id)
    world.send(debit)
    world.send(credit)
    world.consume()
    assert statuses(world) == ["DEAD", "PARKED"]
    assert dead(world, debit, 1)["type"] == "TransactionRejected"
    (letter,) = world.queued("DeadLetter")
    assert letter["MessageDeduplicationId"] == f"{debit.message_id}.r0"
    assert world.fence(debit.group_id)["execution_arn"] == ""  # there is nothing to retry
    assert world.row(debit)["execution_arns"] == []


@scenario()
def foreign_message_on_the_work_queue(world: World) -> None:
    """What is no envelope goes to the dead-letter queue with its reason, and then to quarantine."""
    world.put_on("Work", "hello", world.name("nobody"))
    world.consume()
    assert [m["Body"] for m in world.queued("DeadLetter")] == ["hello"]
    run = world.run({"request": {"max_messages": 1}})
    assert run.output["quarantined"] == 1


@scenario()
def conflict_on_the_work_queue(world: World) -> None:
    """Another payload under a processed message's id goes to the dead-letter queue."""
    message = world.message()
    world.send(message)
    world.consume()
    before = world.row(message)
    twin = world.version(message, amount=99.0)
    sqs_id = world.put_on("Work", twin.body(), twin.group_id)
    world.consume()
    (letter,) = world.queued("DeadLetter")
    assert (letter["Body"], letter["MessageDeduplicationId"]) == (twin.body(), sqs_id)
    assert letter["MessageAttributes"]["ReasonType"]["StringValue"] == "MessageConflict"
    assert world.row(message) == before
    assert stack_fixtures.balance(world.stack, message) == 10


@scenario()
def group_waits_and_follows(world: World) -> None:
    """A group waits behind its dead message, and follows when a redrive brings it back."""
    group = world.name("group")
    world.freeze(group)
    for _ in range(3):
        world.send(world.message(group_id=group))
    world.consume()
    assert statuses(world) == ["DEAD", "PARKED", "PARKED"]
    world.unfreeze(group)
    world.run({"request": {"max_messages": 1}})
    world.consume()
    assert statuses(world) == ["PROCESSED"] * 3


@scenario()
def discarded_by_an_operator(world: World) -> None:
    """A dead message that is given up lets its group go on, and its dead letter is deleted."""
    debit = world.message(kind="debit")
    later = world.message(group_id=debit.group_id)
    world.send(debit)
    world.send(later)
    world.consume()
    with world.application():
        request = discard.DiscardRequest(reason="Paid in cash.")
        discard.discard(debit.message_id, request, operator(world))
    world.consume()
    assert statuses(world) == ["DISCARDED", "PROCESSED"]
    assert world.effects(debit.group_id) == [later.message_id]
    run = world.run({"request": {"max_messages": 1}})
    assert (run.output["discarded"], run.output["redriven"]) == (1, 0)
    assert world.queued("DeadLetter") == []


@scenario()
def edited_by_an_operator(world: World) -> None:
    """A dead message that is edited goes back with its other payload and has that effect."""
    debit = world.message(kind="debit")
    world.send(debit)
    world.consume()
    with world.application():
        credit = world.version(debit, kind="credit")
        edit.edit(debit.message_id, credit.payload, operator(world))
    world.run({"request": {"max_messages": 1}})
    world.consume()
    assert statuses(world) == ["PROCESSED"]
    assert world.effects(debit.group_id) == [debit.message_id]


@scenario()
def retried_by_an_operator(world: World) -> None:
    """A dead message that is sent again by hand is processed, and its dead letter deleted."""
    message = world.message()
    world.freeze(message.group_id)
    world.send(message)
    world.consume()
    world.unfreeze(message.group_id)
    with world.application():
        retry_by_hand.retry(message.message_id, retry_by_hand.RetryRequest(), operator(world))
    world.consume()
    assert statuses(world) == ["PROCESSED"]
    assert world.run({"request": {"max_messages": 1}}).output["already_processed"] == 1


@scenario()
def redriven_by_sqs(world: World) -> None:
    """A dead letter that SQS's own redrive moved back is counted, and its group follows it."""
    message = world.message()
    later = world.message(group_id=message.group_id)
    world.freeze(message.group_id)
    world.send(message)
    world.send(later)
    world.consume()
    assert statuses(world) == ["DEAD", "PARKED"]
    world.unfreeze(message.group_id)
    world.put_copy("Work", message)
    world.consume()
    assert statuses(world) == ["PROCESSED"] * 2
    assert [world.row(m)["redrives"] for m in (message, later)] == [1, 0]
    assert world.run({"request": {"max_messages": 1}}).output["already_processed"] == 1


@scenario()
def fence_without_an_execution(world: World) -> None:
    """A fence whose execution is nowhere gets another from the sweep, and its group goes on."""
    message = world.message()
    given.record(world, message, "RETRYING")
    given.fence(world, message, owned_at=1)
    world.recover()
    world.consume()
    assert statuses(world) == ["PROCESSED"]


@scenario()
def mixed_traffic(world: World) -> None:
    """Good, failing and foreign messages of many groups end where they should after one run."""
    frozen = world.name("frozen")
    world.freeze(frozen)
    for _ in range(2):
        world.send(world.message(group_id=frozen))
        world.send(world.message())
    world.put_on("Work", "[]", world.name("nobody"))
    world.consume()
    world.unfreeze(frozen)
    world.run({"request": {"max_messages": 2}})
    world.consume()
    assert statuses(world) == ["PROCESSED"] * 4
    assert world.queued("DeadLetter") == world.queued("Work") == []

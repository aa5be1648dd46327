"""States in which a scenario begins, as the application would have left them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from tests.support import stack_fixtures
from tests.support.world import World
from workflows.messages.envelope import Message
from workflows.redrive import shares
from workflows.redrive.lane import Lane
from workflows.redrive.run import Run, new
from workflows.runtime import clock, shards

FAR = 4_102_444_800  # the year 2100, for leases that do not end and fences that no sweep takes
LOCK = "LOCK#"
_MIB = 1_048_576


def settled(world: World, status: str = "PROCESSED") -> Message:
    """Give a message that holds its group's fence and needs no retry any more."""
    message = world.message()
    if status != "GONE":  # of which the ledger has no row any more
        record(world, message, status)
    fence(world, message)
    return message


def retrying(world: World, *, row: dict[str, Any] | None = None, **fields: Any) -> Message:
    """Give a message whose first try failed: its row says so, and its group is fenced."""
    message = world.message(**fields)
    record(world, message, "RETRYING", **(row or {}))
    fence(world, message)
    return message


def parked(
    world: World, holder: Message, status: str = "PARKED", tries: int = 0, **fields: Any
) -> Message:
    """Park one more message behind a fence; `status` is what became of it since."""
    message = world.message(group_id=holder.group_id, **fields)
    if status != "GONE":
        record(world, message, status, attempts=0, attempts_total=tries)
    number = len(world.messages)
    group_item(
        world,
        {
            "group_id": message.group_id,
            "item": f"PARKED#{number:0>40}",
            "message_id": message.message_id,
            "body": message.body(),
            "trace_id": message.trace_id,
            "parked_at": clock.now(),
            "tries": tries,
        },
    )
    world.stack.client("dynamodb").update_item(
        TableName=world.stack.outputs["GroupsTableName"],
        Key={"group_id": {"S": message.group_id}, "item": {"S": "FENCE"}},
        UpdateExpression="SET parked = parked + :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    return message


def record(world: World, message: Message, status: str, **columns: Any) -> None:
    """Put a message's row into the ledger, in any status."""
    stack_fixtures.record(world.stack, message, status, **columns)


def fence(world: World, message: Message, **columns: Any) -> None:
    """Fence the group of a message behind it, with nothing parked."""
    item = {
        "group_id": message.group_id,
        "item": "FENCE",
        "holder": message.message_id,
        "generation": 1,
        "parked": 0,
        "drained": 0,
        "execution_arn": "",
        "owned_at": FAR,
        "since": clock.now(),
        "fenced": shards.key("FENCED", message.group_id),
    }
    group_item(world, item | columns)


def group_item(world: World, item: dict[str, Any]) -> None:
    """Write an item of a group: its fence, or what is parked."""
    world.stack.client("dynamodb").put_item(
        TableName=world.stack.outputs["GroupsTableName"], Item=serialized(item)
    )


def serialized(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as DynamoDB's API writes it."""
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as Python has it."""
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def run_row(world: World, run_id: str, **columns: Any) -> None:
    """Write the record of a run, or of a lock."""
    row = {"run_id": run_id, "dead_letter_queue": dead_letter_queue(world)}
    stack_fixtures.put(world.stack, "Runs", row | columns)


def lock(world: World, holder: str, lease_until: int = FAR, **columns: Any) -> None:
    """Let a run hold the dead-letter queue."""
    row = {"run_id": LOCK + dead_letter_queue(world), "holder": holder, "lease_until": lease_until}
    stack_fixtures.put(world.stack, "Runs", row | {"acquired_at": lease_until} | columns)


def begun(world: World, **request: Any) -> Run:
    """Return the next run as `BeginRun` would let it begin, but for its lock and its record."""
    machine = world.machines["redrive"].replace(":stateMachine:", ":execution:")
    with world.application():
        run = new(world.next_run, f"{machine}:{world.next_run}", {"request": request})
        run.waves, run.request = 300, request
        run.lanes = [Lane(size=10)]
        shares.begin_round(run)
        run.next = "lanes"
    return run


def begins(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Return the answer with which a run begins so, for `mocks`."""
    return {"BeginRun": returns({"StatusCode": 200, "Payload": run.model_dump()})}


def dead_letter_queue(world: World) -> str:
    """Return the name of the dead-letter queue."""
    return str(world.stack.outputs["DeadLetterQueueUrl"]).rpartition("/")[2]


def receive(world: World, queue: str, seconds: int = 43_200) -> None:
    """Let somebody else have a message of the queue `Work` or `DeadLetter` in flight."""
    world.stack.client("sqs").receive_message(
        QueueUrl=world.stack.outputs[f"{queue}QueueUrl"],
        MaxNumberOfMessages=1,
        VisibilityTimeout=seconds,
    )


@contextmanager
def largest_message(world: World, queue: str, size: int) -> Iterator[None]:
    """Let the queue `Work` or `DeadLetter` take messages of another size for a while."""
    sqs, url = world.stack.client("sqs"), world.stack.outputs[f"{queue}QueueUrl"]
    names = ["MaximumMessageSize"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": str(size)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


@contextmanager
def one_a_turn(world: World) -> Iterator[int]:
    """Let queues take messages of which no two fit a state, and give the size of such a one."""
    with largest_message(world, "DeadLetter", _MIB), largest_message(world, "Work", _MIB):
        yield 130_000


def throws(error: str, times: int = 1) -> list[dict[str, Any]]:
    """Return entries of a state that fail, for `mocks`."""
    return [{"Throw": {"Error": error, "Cause": "made up by a test"}}] * times


def returns(value: Any) -> list[dict[str, Any]]:
    """Return the first entry of a state that answers so, for `mocks`."""
    return [{"Return": value}]

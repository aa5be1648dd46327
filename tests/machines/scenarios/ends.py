"""How a group ends: what a scenario of the retry machine finds in ledger, queue and fence."""

from typing import Any

from tests.machines.scenarios import given
from tests.support import stack_fixtures
from tests.support.stack_fixtures import Execution
from tests.support.world import World
from workflows.messages.envelope import Message


def group(world: World, message: Message) -> list[dict[str, Any]]:
    """Return the items of a message's group: its fence, and what is parked, in its order."""
    answer = world.stack.client("dynamodb").query(
        TableName=world.stack.outputs["GroupsTableName"],
        KeyConditionExpression="group_id = :group_id",
        ExpressionAttributeValues={":group_id": {"S": message.group_id}},
        ConsistentRead=True,
    )
    return [given.plain(item) for item in answer["Items"]]


def failures(world: World, run: Execution) -> int:
    """Return how many calls of an execution's tasks have failed, retries included."""
    types = [event["type"] for event in stack_fixtures.events(world.stack, run.arn)]
    return types.count("TaskFailed")


def processed(world: World, *messages: Message, attempts: int = 1) -> None:
    """Hold that messages of a group were processed, each once, and that nothing is left of it."""
    for message in messages:
        row = world.row(message)
        assert (row["status"], row["attempts"]) == ("PROCESSED", attempts)
        assert not row.keys() & {"trouble", "body", "reason"}
        assert message.message_id in world.effects(message.group_id)
    free(world, messages[0])


def free(world: World, message: Message) -> None:
    """Hold that a group has no fence, nothing parked, and no dead letter."""
    assert group(world, message) == []
    assert world.queued("DeadLetter") == []


def dead(world: World, message: Message, attempts: int) -> dict[str, Any]:
    """Hold that a message is dead after so many attempts and holds its group; return its reason.

    Its dead letter, the only one, is what was sent, and has the same reason.
    """
    row = world.row(message)
    assert (row["status"], row["trouble"], row["attempts"]) == ("DEAD", "DEAD", attempts)
    assert row["body"] == message.body()
    assert row["dead_at"] == row["updated_at"]
    end = row["journey"][-1]
    assert (end["event"], end["reason_type"]) == ("dead", row["reason"]["type"])
    (letter,) = world.queued("DeadLetter")
    assert letter["Body"] == message.body()
    said = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    reason = dict(row["reason"])
    assert said == {"ReasonType": reason["type"], "ReasonMessage": reason["message"]}
    assert world.fence(message.group_id)["holder"] == message.message_id
    assert world.effects(message.group_id) == []
    return reason

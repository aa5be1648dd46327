"""The scene of `make bench`: a stack whose consumer is off, and what its queues and tables have."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.client import Client
from local.deadline import wait_until
from local.stack import Stack
from workflows.messages.envelope import Message
from workflows.runtime import clock, shards

_SECONDS = 60.0
_CONCERNED = ("MessagesTableName", "GroupsTableName")


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter: what lies on the queue, and the items that the tables have of it."""

    message: Message
    body: str
    attributes: dict[str, Any]
    items: dict[str, list[dict[str, Any]]]

    def copy(self) -> "DeadLetter":
        """Return another message's that died of the same."""
        old = self.message
        new = {old.message_id: str(uuid.uuid4()), old.group_id: str(uuid.uuid4())}
        message = Message.model_validate_json(_replaced(self.body, new))
        new[old.payload_hash] = message.payload_hash
        items = json.loads(_replaced(json.dumps(self.items), new))
        for item in (one for found in items.values() for one in found):
            _shard(item)
        return DeadLetter(message, _replaced(self.body, new), self.attributes, items)


class Scene:
    """A stack whose consumer is off until it is wanted."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.work = stack.outputs["WorkQueueUrl"]
        self.dead = stack.outputs["DeadLetterQueueUrl"]
        self.sqs = stack.client("sqs")
        self.operator = Client(stack.api_url).signed_in(**stack.users["operator"])
        self.pattern = self._die()

    def consume(self, enabled: bool) -> None:
        """Turn the consumer on or off."""
        lambdas = self.stack.client("lambda")
        for mapping in lambdas.list_event_source_mappings()["EventSourceMappings"]:
            lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)

    def empty(self) -> None:
        """Take everything off both queues."""
        for queue in (self.work, self.dead):
            self.sqs.purge_queue(QueueUrl=queue)

    def depth(self, queue: str) -> int:
        """Return how many messages a queue has, in flight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        return sum(int(attributes["Attributes"][name]) for name in names)

    @contextmanager
    def taking(self, largest_bytes: int | None) -> Iterator[None]:
        """Let the dead-letter queue take messages of that size meanwhile."""
        name = "MaximumMessageSize"
        before = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=[name])
        if largest_bytes:
            other = {name: str(largest_bytes)}
            self.sqs.set_queue_attributes(QueueUrl=self.dead, Attributes=other)
        yield
        self.sqs.set_queue_attributes(QueueUrl=self.dead, Attributes=before["Attributes"])

    def fill(self, count: int, body_bytes: int = 0) -> None:
        """Make dead letters, on the queue and in the tables, each alone in its group.

        Args:
            count: how many.
            body_bytes: so long each body is at least.
        """
        letters = [self.pattern.copy() for _ in range(count)]
        for table in _CONCERNED:
            items = [item for letter in letters for item in letter.items[table]]
            self._write(table, [{"PutRequest": {"Item": item}} for item in items])
        sent = [(one.message, one.body.ljust(body_bytes), one.attributes) for one in letters]
        self._send(self.dead, sent)  # an envelope means the same with spaces after it

    def send_healthy(self, count: int) -> None:
        """Put messages that succeed on the work queue, each in a group of its own."""
        messages = [_message(str(uuid.uuid4())) for _ in range(count)]
        self._send(self.work, [(message, message.body(), {}) for message in messages])

    @contextmanager
    def fenced_groups(self, count: int) -> Iterator[None]:
        """Have that many other groups fenced meanwhile."""
        items = [_fence(f"fenced-{number}") for number in range(count)]
        self._write("GroupsTableName", [{"PutRequest": {"Item": item}} for item in items])
        yield
        keys = [{name: item[name] for name in ("group_id", "item")} for item in items]
        self._write("GroupsTableName", [{"DeleteRequest": {"Key": key}} for key in keys])

    def _die(self) -> DeadLetter:
        """Let a message fail until it is a dead letter, and return what there is of it."""
        account, message_id = str(uuid.uuid4()), str(uuid.uuid4())
        frozen = {"account_id": {"S": account}, "status": {"S": "FROZEN"}}
        self._write("AccountsTableName", [{"PutRequest": {"Item": frozen}}])
        payload = {"account_id": account, "kind": "credit", "amount": 19.99, "currency": "EUR"}
        self.operator.send(payload, message_id=message_id).expect(202)

        def is_dead() -> bool:
            found = self.operator.message(message_id).expect(200)
            return bool(found["status"] == "DEAD") and self.depth(self.dead) == 1

        wait_until(is_dead, _SECONDS, "a message is dead")
        self.consume(False)
        (letter,) = self.sqs.receive_message(QueueUrl=self.dead, MessageAttributeNames=["All"])[
            "Messages"
        ]
        items = {table: self._items_of(table, message_id) for table in _CONCERNED}
        message = Message.model_validate_json(letter["Body"])
        return DeadLetter(message, letter["Body"], letter.get("MessageAttributes", {}), items)

    def _items_of(self, table: str, message_id: str) -> list[dict[str, Any]]:
        found = self.stack.client("dynamodb").scan(TableName=self.stack.outputs[table])["Items"]
        return [item for item in found if message_id in json.dumps(item)]

    def _send(self, queue: str, messages: list[tuple[Message, str, dict[str, Any]]]) -> None:
        for start in range(0, len(messages), 10):
            self.sqs.send_message_batch(
                QueueUrl=queue,
                Entries=[
                    {
                        "Id": str(index),
                        "MessageBody": body,
                        "MessageGroupId": message.group_id,
                        "MessageDeduplicationId": f"{message.message_id}.r0",
                        "MessageAttributes": attributes,
                    }
                    for index, (message, body, attributes) in enumerate(
                        messages[start : start + 10]
                    )
                ],
            )

    def _write(self, table_name: str, requests: list[Any]) -> None:
        for start in range(0, len(requests), 25):
            self.stack.client("dynamodb").batch_write_item(
                RequestItems={self.stack.outputs[table_name]: requests[start : start + 25]}
            )


def _replaced(text: str, new: dict[str, str]) -> str:
    for old, other in new.items():
        text = text.replace(old, other)
    return text


def _message(message_id: str) -> Message:
    payload = {"account_id": message_id, "kind": "credit", "amount": "19.99", "currency": "EUR"}
    return Message(
        message_id=message_id,
        type="transaction",
        group_id=message_id,
        payload=payload,
        first_sent_at=datetime.now(UTC),
        trace_id=message_id,
        submitted_by="bench@example.com",
    )


def _shard(item: dict[str, Any]) -> None:
    """Give an item the keys of indexes that its id decides."""
    for column, key in (("listed", "message_id"), ("fenced", "group_id")):
        if column in item:
            of = shards.common(item[column]["S"])
            item[column] = {"S": shards.key(of, item[key]["S"])}


def _fence(group_id: str) -> dict[str, Any]:
    texts = {"group_id": group_id, "item": "FENCE", "holder": "none", "execution_arn": ""}
    texts |= {"fenced": shards.key("FENCED", group_id), "since": clock.now()}
    numbers = dict.fromkeys(["generation", "parked", "drained", "owned_at"], "0")
    return {k: {"S": v} for k, v in texts.items()} | {k: {"N": v} for k, v in numbers.items()}

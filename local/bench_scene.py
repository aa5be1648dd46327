"""The scene of `make bench`: a stack whose consumer is off, and what its queues and tables have."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from local.stack import Stack
from workflows.messages.envelope import Message
from workflows.runtime import clock


class Scene:
    """A stack whose consumer is off until it is wanted."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.work = stack.outputs["WorkQueueUrl"]
        self.dead = stack.outputs["DeadLetterQueueUrl"]
        self.sqs = stack.client("sqs")
        self.consume(False)

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

    def fill(self, count: int) -> None:
        """Make dead letters: on the queue, and in the ledger, as the retry machine leaves them."""
        messages = [_message(str(uuid.uuid4())) for _ in range(count)]
        self._send(self.dead, messages)
        rows = [{"PutRequest": {"Item": _ledger_row(message)}} for message in messages]
        self._write("MessagesTableName", rows)

    def send_healthy(self, count: int) -> None:
        """Put messages that succeed on the work queue, each in a group of its own."""
        self._send(self.work, [_message(str(uuid.uuid4())) for _ in range(count)])

    @contextmanager
    def fenced_groups(self, count: int) -> Iterator[None]:
        """Have that many other groups fenced meanwhile."""
        items = [_fence(f"fenced-{number}") for number in range(count)]
        self._write("GroupsTableName", [{"PutRequest": {"Item": item}} for item in items])
        yield
        keys = [{name: item[name] for name in ("group_id", "item")} for item in items]
        self._write("GroupsTableName", [{"DeleteRequest": {"Key": key}} for key in keys])

    def _send(self, queue: str, messages: list[Message]) -> None:
        for start in range(0, len(messages), 10):
            self.sqs.send_message_batch(
                QueueUrl=queue,
                Entries=[
                    {
                        "Id": str(index),
                        "MessageBody": message.body(),
                        "MessageGroupId": message.group_id,
                        "MessageDeduplicationId": f"{message.message_id}.r0",
                    }
                    for index, message in enumerate(messages[start : start + 10])
                ],
            )

    def _write(self, table_name: str, requests: list[Any]) -> None:
        for start in range(0, len(requests), 25):
            self.stack.client("dynamodb").batch_write_item(
                RequestItems={self.stack.outputs[table_name]: requests[start : start + 25]}
            )


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


def _ledger_row(message: Message) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: {"S": getattr(message, name)}
        for name in ("message_id", "type", "group_id", "payload_hash")
    }
    row |= {"status": {"S": "DEAD"}, "trouble": {"S": "DEAD"}, "updated_at": {"S": clock.now()}}
    row |= {"attempts": {"N": "4"}, "attempts_total": {"N": "4"}, "redrives": {"N": "0"}}
    return row | {"execution_arns": {"L": []}, "journey": {"L": []}}


def _fence(group_id: str) -> dict[str, Any]:
    texts = {"group_id": group_id, "item": "FENCE", "holder": "none", "execution_arn": ""}
    texts |= {"fenced": "FENCED", "since": clock.now()}
    numbers = dict.fromkeys(["generation", "parked", "drained", "owned_at"], "0")
    return {k: {"S": v} for k, v in texts.items()} | {k: {"N": v} for k, v in numbers.items()}

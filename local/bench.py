"""`make bench`: the redrive machine beside other ways to empty a dead-letter queue.

Measured on the emulator, on this computer: good for comparing one way, or one version of this
project, with another. It says nothing about AWS, whose latencies and limits are others.
"""

import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local import history
from local.client import Client, UnexpectedAnswer
from local.deadline import DeadlineMissed, wait_until
from local.deployment import DeploymentFailed
from local.emulator import EmulatorFailed
from local.ministack_quirks import MINISTACK_VERSION
from local.narration import say, table
from local.stack import Stack
from workflows.messages.message import Message
from workflows.runtime import clock

MESSAGES = 200
ROUNDS = 3
FENCES = 1_000
_SECONDS = 120.0
_SQS_STATES = ("InspectQueue", "ReceiveDeadLetters", "RedriveMessages", "DeleteDeadLetters")
_UNKNOWN_OPERATION = ("InvalidAction", "UnknownOperationException", "NotImplemented")


class NotMoved(Exception):
    """A way did not leave every message on the work queue, and none on the dead-letter queue."""


class NotOffered(Exception):
    """The emulator does not have this way."""


@dataclass(frozen=True)
class Cost:
    """What one round took; calls, transitions and invocations are a message's."""

    seconds: float
    sqs_calls: float
    transitions: float = 0.0
    invocations: float = 0.0


def main() -> int:
    """Measure every way in turn, several rounds, and print a table; return the exit status."""
    try:
        with Stack() as stack:
            bench = Bench(stack)
            say(
                f"{MESSAGES} dead letters, each in a message group of its own; {ROUNDS} rounds, the"
                " ways in turn, the median shown. The consumer is off: only the move is measured."
            )
            print()
            header = ["way", "messages/s", "SQS calls", "transitions", "invocations"]
            table(header, bench.rows())
            print()
            say(f"{MESSAGES} healthy messages of as many groups, while other groups are fenced:")
            print()
            table(["fenced groups", "messages/s"], bench.fence_rows())
    except KeyboardInterrupt:
        print("\nStopped; nothing is left.", file=sys.stderr)
        return 130
    except (EmulatorFailed, DeploymentFailed, DeadlineMissed, UnexpectedAnswer, NotMoved) as error:
        print(error, file=sys.stderr)
        return 1
    print()
    say(
        "SQS calls, state transitions and Lambda invocations are a message's. The machine's time"
        " is its execution's, from start to end, with max_messages, so without the two empty long"
        " polls that end an open run. The naive loop receives ten, then sends and deletes one by"
        " one; it validates nothing, counts nothing, and redrives a poison message for ever."
        f" This measured MiniStack {MINISTACK_VERSION} on this computer with {os.cpu_count()}"
        " processors, not AWS."
    )
    return 0


class Bench:
    """A stack whose consumer is off."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.work = stack.outputs["WorkQueueUrl"]
        self.dead = stack.outputs["DeadLetterQueueUrl"]
        self.sqs = stack.client("sqs")
        self.operator = Client(stack.api_url).signed_in(**stack.users["operator"])
        self._consume(False)

    def _consume(self, enabled: bool) -> None:
        lambdas = self.stack.client("lambda")
        for mapping in lambdas.list_event_source_mappings()["EventSourceMappings"]:
            lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)

    def fence_rows(self) -> list[tuple[object, ...]]:
        """Measure the consumer with and without fenced groups, in turn; a row for each."""
        self._healthy(0)  # for the cold starts
        seconds: dict[int, list[float]] = {0: [], FENCES: []}
        for _ in range(ROUNDS):
            for fences, measured in seconds.items():
                measured.append(self._healthy(fences))
        return [
            (f"{fences:,}", f"{MESSAGES / statistics.median(measured):.0f}")
            for fences, measured in seconds.items()
        ]

    def _healthy(self, fences: int) -> float:
        """Return how long the consumer takes for messages of groups that are not fenced."""
        for queue in (self.work, self.dead):
            self.sqs.purge_queue(QueueUrl=queue)
        items = [_fence(f"fenced-{number}") for number in range(fences)]
        self._write("GroupsTableName", [{"PutRequest": {"Item": item}} for item in items])
        self._send(self.work, [_message(str(uuid.uuid4())) for _ in range(MESSAGES)])
        began = time.perf_counter()
        self._consume(True)
        wait_until(lambda: not self._depth(self.work), _SECONDS, "the work queue is empty")
        took = time.perf_counter() - began
        self._consume(False)
        keys = [{name: item[name] for name in ("group_id", "item")} for item in items]
        self._write("GroupsTableName", [{"DeleteRequest": {"Key": key}} for key in keys])
        return took

    def rows(self) -> list[tuple[object, ...]]:
        """Measure the ways in turn and return a row of the table for each."""
        ways = {
            "redrive machine": self.machine,
            "naive loop": self.naive_loop,
            "StartMessageMoveTask": self.move_task,
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        missing: dict[str, str] = {}
        self._move(self.machine)  # for the cold starts
        for name, way in list(ways.items()) * ROUNDS:
            try:
                costs[name].append(self._move(way))
            except NotOffered as error:
                missing[name] = str(error)
        return [
            (name, missing[name], "-", "-", "-") if name in missing else _row(name, costs[name])
            for name in ways
        ]

    def _move(self, way: Callable[[], Cost]) -> Cost:
        for queue in (self.work, self.dead):
            self.sqs.purge_queue(QueueUrl=queue)
        self._fill()
        cost = way()
        depths = [self._depth(queue) for queue in (self.work, self.dead)]
        if depths != [MESSAGES, 0]:
            raise NotMoved(f"{way.__name__}: {depths} on the work and the dead-letter queue.")
        return cost

    def machine(self) -> Cost:
        """Let the redrive machine do it."""
        arn = self.operator.reprocess(MESSAGES).expect(202)["execution_arn"]
        states = self.stack.client("stepfunctions")

        def ended() -> Any:
            found = states.describe_execution(executionArn=arn)
            return None if found["status"] == "RUNNING" else found

        end = wait_until(ended, _SECONDS, "the run has ended")
        done = history.read(states, arn)
        return Cost(
            seconds=(end["stopDate"] - end["startDate"]).total_seconds(),
            sqs_calls=sum(map(done.count, _SQS_STATES)) / MESSAGES,
            transitions=done.transitions / MESSAGES,
            invocations=done.count("ValidateMessages") / MESSAGES,
        )

    def naive_loop(self) -> Cost:
        """Receive, send, delete, as a script of ten lines does."""
        began, calls, moved = time.perf_counter(), 0, 0
        while moved < MESSAGES:
            received = self.sqs.receive_message(
                QueueUrl=self.dead, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages", [])
            calls += 1
            if not received:
                break
            for message in received:
                self.sqs.send_message(
                    QueueUrl=self.work,
                    MessageBody=message["Body"],
                    MessageGroupId=message["Attributes"]["MessageGroupId"],
                    MessageDeduplicationId=str(uuid.uuid4()),
                )
                self.sqs.delete_message(QueueUrl=self.dead, ReceiptHandle=message["ReceiptHandle"])
                calls, moved = calls + 2, moved + 1
        return Cost(time.perf_counter() - began, calls / MESSAGES)

    def move_task(self) -> Cost:
        """Let SQS do it by itself.

        Raises:
            NotOffered: the emulator cannot.
        """
        queue = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])
        began = time.perf_counter()
        try:
            self.sqs.start_message_move_task(SourceArn=queue["Attributes"]["QueueArn"])
        except ClientError as error:
            if not error.response["Error"]["Code"].endswith(_UNKNOWN_OPERATION):
                raise
            raise NotOffered(f"not in MiniStack {MINISTACK_VERSION}") from error
        wait_until(lambda: self._depth(self.work) == MESSAGES, _SECONDS, "SQS has moved them")
        return Cost(time.perf_counter() - began, 1 / MESSAGES)

    def _fill(self) -> None:
        """Make dead letters: on the queue, and in the ledger, as the retry machine leaves them."""
        messages = [_message(str(uuid.uuid4())) for _ in range(MESSAGES)]
        self._send(self.dead, messages)
        rows = [{"PutRequest": {"Item": _ledger_row(message)}} for message in messages]
        self._write("MessagesTableName", rows)

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

    def _depth(self, queue: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        return sum(int(attributes["Attributes"][name]) for name in names)


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


def _row(name: str, costs: list[Cost]) -> tuple[object, ...]:
    seconds = statistics.median(cost.seconds for cost in costs)
    last = costs[-1]
    return (
        name,
        f"{MESSAGES / seconds:.0f}",
        f"{last.sqs_calls:.2f}",
        f"{last.transitions:.2f}",
        f"{last.invocations:.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())

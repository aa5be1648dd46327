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
from typing import Any

from botocore.exceptions import ClientError

from local import history
from local.bench_scene import Scene
from local.client import Client, UnexpectedAnswer
from local.deadline import DeadlineMissed, wait_until
from local.deployment import DeploymentFailed
from local.emulator import EmulatorFailed
from local.ministack_quirks import MINISTACK_VERSION
from local.narration import say, table
from local.stack import Stack

MESSAGES = 200
ROUNDS = 3
FENCES = 1_000
_SECONDS = 120.0
_SQS_STATES = ("BeginRun", "ReceiveDeadLetters", "RedriveMessages", "DeleteDeadLetters")
_FUNCTION_STATES = ("BeginRun", "ValidateMessages", "DecideNext", "FinishRun")
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
        "SQS calls, state transitions and Lambda invocations are a message's, the lane's included."
        " The machine's time is the run's, from start to end, with max_messages, so without the two"
        " empty long polls that end an open run. The naive loop receives ten, then sends and"
        " deletes one by one; it validates nothing, counts nothing, and redrives a poison message"
        f" for ever. This measured MiniStack {MINISTACK_VERSION} on this computer with"
        f" {os.cpu_count()} processors, not AWS."
    )
    return 0


class Bench:
    """The ways, each measured on the same scene."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.scene = Scene(stack)
        self.operator = Client(stack.api_url).signed_in(**stack.users["operator"])

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
        scene = self.scene
        scene.empty()
        with scene.fenced_groups(fences):
            scene.send_healthy(MESSAGES)
            began = time.perf_counter()
            scene.consume(True)
            wait_until(lambda: not scene.depth(scene.work), _SECONDS, "the work queue is empty")
            took = time.perf_counter() - began
            scene.consume(False)
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
        self.scene.empty()
        self.scene.fill(MESSAGES)
        cost = way()
        depths = [self.scene.depth(queue) for queue in (self.scene.work, self.scene.dead)]
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
            invocations=sum(map(done.count, _FUNCTION_STATES)) / MESSAGES,
        )

    def naive_loop(self) -> Cost:
        """Receive, send, delete, as a script of ten lines does."""
        sqs, work, dead = self.scene.sqs, self.scene.work, self.scene.dead
        began, calls, moved = time.perf_counter(), 0, 0
        while moved < MESSAGES:
            received = sqs.receive_message(
                QueueUrl=dead, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages", [])
            calls += 1
            if not received:
                break
            for message in received:
                sqs.send_message(
                    QueueUrl=work,
                    MessageBody=message["Body"],
                    MessageGroupId=message["Attributes"]["MessageGroupId"],
                    MessageDeduplicationId=str(uuid.uuid4()),
                )
                sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
                calls, moved = calls + 2, moved + 1
        return Cost(time.perf_counter() - began, calls / MESSAGES)

    def move_task(self) -> Cost:
        """Let SQS do it by itself.

        Raises:
            NotOffered: the emulator cannot.
        """
        sqs, work, dead = self.scene.sqs, self.scene.work, self.scene.dead
        queue = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        began = time.perf_counter()
        try:
            sqs.start_message_move_task(SourceArn=queue["Attributes"]["QueueArn"])
        except ClientError as error:
            if not error.response["Error"]["Code"].endswith(_UNKNOWN_OPERATION):
                raise
            raise NotOffered(f"not in MiniStack {MINISTACK_VERSION}") from error
        wait_until(lambda: self.scene.depth(work) == MESSAGES, _SECONDS, "SQS has moved them")
        return Cost(time.perf_counter() - began, 1 / MESSAGES)


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

"""The ways to empty a dead-letter queue that `make bench` compares, and what each of them takes."""

import json
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local import ministack_counts
from local.bench_scene import Scene
from local.deadline import wait_until
from workflows.redrive.prices import Item, Usage

_SECONDS = 300.0
_NOTES = "NoteRunEnds"
_DURATIONS = (Item.LAMBDA_SECONDS, Item.EXPRESS_SECONDS)
_UNKNOWN_OPERATION = ("InvalidAction", "UnknownOperationException", "NotImplemented")


class NotMoved(Exception):
    """A way did not leave every message on the work queue, and none on the dead-letter queue."""


class NotOffered(Exception):
    """The emulator does not have this way."""


@dataclass(frozen=True)
class Way:
    """A way: `run` are the options of the run that does it; None for one that is no run of ours.

    `parameters` are of the template, for the stack that it needs; `body_bytes` is how long the
    messages' bodies are at least, and `largest_bytes` what the dead-letter queue takes at most, if
    not what the template says.
    """

    name: str
    run: dict[str, Any] | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    body_bytes: int = 0
    largest_bytes: int | None = None


NAIVE, OWN = Way("naive loop"), Way("SQS's own redrive")
WAYS = (
    NAIVE,
    OWN,
    Way("one lane", {"lanes": 1}),
    Way("four lanes", {"lanes": 4}),
    Way("one lane, 2 KB", {"lanes": 1}, body_bytes=2_048),
    # Ten of the largest fit no state, so that a function measures what it receives.
    Way("one lane, 2 KB of 1 MiB", {"lanes": 1}, body_bytes=2_048, largest_bytes=1_048_576),
    Way("four Express lanes", {"lanes": 4}, {"RedriveLaneType": "EXPRESS"}),
)


@dataclass(frozen=True)
class Measured:
    """What a way took: messages a second, and what AWS would bill, by message and once a run."""

    rate: float
    message: Usage
    once: Usage


class Bench:
    """Measures ways on one stack, with so many messages."""

    def __init__(self, scene: Scene, messages: int, rounds: int) -> None:
        self.scene = scene
        self.messages = messages
        self.rounds = rounds
        self._used: Counter[Item] = Counter()

    def measure(self, way: Way) -> Measured:
        """Move a quarter of the messages twice, the first time for the cold starts, then all.

        What a message takes is what the larger move took more, divided by its more messages; but
        for durations, which grow with nothing but the work.

        Raises:
            NotOffered: the emulator cannot.
            NotMoved: it did something else.
        """
        few = self.messages // 4
        with self.scene.taking(way.largest_bytes):
            return self._measure(way, few)

    def _measure(self, way: Way, few: int) -> Measured:
        self._move(way, few)
        _, small = self._move(way, few)
        seconds, used = zip(
            *(self._move(way, self.messages) for _ in range(self.rounds)), strict=True
        )
        large = used[-1]
        message = {item: (large[item] - small[item]) / (self.messages - few) for item in Item}
        message |= {item: large[item] / self.messages for item in _DURATIONS}
        once = {item: max(0.0, small[item] - few * message[item]) for item in Item}
        return Measured(self.messages / statistics.median(seconds), message, once)

    def _move(self, way: Way, count: int) -> tuple[float, Counter[Item]]:
        self.scene.empty()
        self.scene.fill(count, way.body_bytes)
        self._count()
        self._used.clear()
        seconds = self._how(way)(count)
        self._count()
        used = +self._used
        depths = [self.scene.depth(queue) for queue in (self.scene.work, self.scene.dead)]
        if depths != [count, 0]:
            raise NotMoved(f"{way.name}: {depths} on the work and the dead-letter queue.")
        return seconds, used

    def _count(self) -> list[str]:
        """Add what was used since the last time; return which functions were invoked."""
        found = json.loads(self.scene.stack.emulator.get(ministack_counts.PATH))
        self._used.update({Item(name): count for name, count in found["used"].items()})
        return list(found["functions"])

    def _how(self, way: Way) -> Callable[[int], float]:
        if way.run is not None:
            options = way.run
            return lambda count: self._run(count, options)
        return {NAIVE.name: self._loop, OWN.name: self._move_task}[way.name]

    def _run(self, count: int, options: dict[str, Any]) -> float:
        """Let a run do it, and return its seconds from start to end."""
        arn = self.scene.operator.reprocess(count, **options).expect(202)["execution_arn"]
        states = self.scene.stack.client("stepfunctions")

        def ended() -> Any:
            found = states.describe_execution(executionArn=arn)
            return None if found["status"] == "RUNNING" else found

        end = wait_until(ended, _SECONDS, "the run has ended")
        # A function that an event starts comes after it, and is a part of what a run takes.
        noted = f"{_NOTES} was invoked"
        wait_until(lambda: any(_NOTES in name for name in self._count()), _SECONDS, noted)
        return float((end["stopDate"] - end["startDate"]).total_seconds())

    def _loop(self, count: int) -> float:
        """Receive, send, delete, as a script of ten lines does."""
        sqs, work, dead = self.scene.sqs, self.scene.work, self.scene.dead
        began, moved = time.perf_counter(), 0
        while moved < count:
            received = sqs.receive_message(
                QueueUrl=dead, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages", [])
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
            moved += len(received)
        return time.perf_counter() - began

    def _move_task(self, count: int) -> float:
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
            raise NotOffered from error
        wait_until(lambda: self.scene.depth(work) == count, _SECONDS, "SQS has moved them")
        return time.perf_counter() - began

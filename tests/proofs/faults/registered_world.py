"""A world whose dead letters are a team's: a registered queue, and a consumer that tells nothing.

It has the words of `CrashingWorld`, so that a test of the built-in pair is one of a registered
queue too. The team's messages look like envelopes of ours, which nobody may take them for: what
they are the registration says. Each letter has a number of its own among its attributes, by which
its copies are told from those of others that hold the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults import registered_broken
from tests.proofs.faults.crashing_world import CrashingWorld
from tests.support.cloud import ACCOUNT, ENVIRONMENT, REGION
from tests.support.stack_fixtures import Execution, put, row
from tests.support.team_letters import (
    BUDGET,
    QUEUE,
    SERIAL,
    TRACE,
    Letter,
    ledger_id,
    number_of,
)
from workflows.messages.envelope import Message
from workflows.queues import registry
from workflows.queues.queue import Queue
from workflows.runtime import clock

_NAMES = {"Work": "team-orders", "DeadLetter": "team-orders-dead"}
_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
_ATTRIBUTES: dict[str, Any] = {
    "team": {"DataType": "String", "StringValue": "blue"},
    "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x01"},
    "ReasonType": {"DataType": "String", "StringValue": "Theirs"},
}
# Of a body, not of all text: what is no object has nothing that could be wrong.
_SCHEMA = {"properties": {"payload": {"properties": {"kind": {"not": {"const": "gift"}}}}}}


class RegisteredWorld(CrashingWorld):
    """A world on moto, of one registered queue.

    `poison` are the ids of messages at which the consumer fails each time; `letters` is all that
    was ever put on the dead-letter queue, `arrived` the numbers of what the consumer received, each
    once a copy, and `processed` those at which it did not fail. `excused` says how many more copies
    of a letter were sent by somebody who could not know better, `retried` how many of these without
    being counted anew.
    """

    is_built_in = False
    made = (*CrashingWorld.made, "letters", "arrived", "processed", "seen", "poison")

    def __init__(self, stack: MotoStack, *, fifo: bool) -> None:
        super().__init__(stack)
        self.fifo = fifo
        self.letters: list[Letter] = []
        self.arrived: list[int] = []
        self.processed: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.poison: set[str] = set()
        self.excused: Counter[int] = Counter()
        self.retried: Counter[int] = Counter()
        self.urls = dict(self._create())

    def _create(self) -> Iterator[tuple[str, str]]:
        """Make the queues, if the stack has them not yet, and register them."""
        suffix, kind = (".fifo", {"FifoQueue": "true"}) if self.fifo else ("", {})
        kind |= {"MaximumMessageSize": ENVIRONMENT["MAX_MESSAGE_BYTES"]}
        target = f"{_ARN}:{_NAMES['DeadLetter']}{suffix}"
        policy = f'{{"deadLetterTargetArn": "{target}", "maxReceiveCount": 1}}'
        sqs = self.stack.client("sqs")
        for name, attributes in (("DeadLetter", {}), ("Work", {"RedrivePolicy": policy})):
            name_there = _NAMES[name] + suffix
            created = sqs.create_queue(QueueName=name_there, Attributes=kind | attributes)
            yield name, created["QueueUrl"]

    @classmethod
    def registered(cls, stack: MotoStack, *, fifo: bool) -> Self:
        """Return a world whose queue is registered."""
        world = cls(stack, fifo=fifo)
        world.register()
        return world

    def register(self) -> None:
        """Register the pair; its messages are known by their ids, or else by what they hold."""
        said: Any = {"identity": "body.message_id", "max_redrives": BUDGET, "schema": _SCHEMA}
        arns: Any = {
            what: f"{_ARN}:{self.urls[name].rpartition('/')[2]}"
            for what, name in (("source_arn", "Work"), ("dead_letter_arn", "DeadLetter"))
        }
        urls: Any = {"source_url": self.urls["Work"], "dead_letter_url": self.urls["DeadLetter"]}
        registry.register(Queue(QUEUE, **urls, **arns, fifo=self.fifo, **said), None)

    # Giving messages

    def send(self, message: Message) -> None:
        """Send a message as the team's producer does."""
        self._put("Work", message.body(), message.group_id, message.message_id, {})

    def dead_letter(self, message: Message, size: int = 0, **columns: Any) -> None:
        """Make a message a dead letter; with `redrives`, one that came back from so many.

        Or one of which its row has the `status`. Its body has so many bytes at least.
        """
        body = message.body().ljust(size)
        self._put("DeadLetter", body, message.group_id, message.message_id, {})
        if columns:
            put(self.stack, "Messages", self.met(message, **columns))

    def met(self, message: Message, **columns: Any) -> dict[str, Any]:
        """Return the row of a message that a run has met before."""
        met = {
            "message_id": ledger_id(message), "status": "REDRIVEN", "type": QUEUE,
            "group_id": message.group_id, "first_sent_at": clock.now(), "trace_id": "t",
            "payload_hash": "of another time", "redrive_limit": BUDGET, "attempts": 0,
            "attempts_total": 0, "redrive_mark": "before#0.1", "letter_id": self._of_which(columns),
            "execution_arns": [], "journey": [],
        }  # fmt: skip
        return met | columns

    def _of_which(self, columns: dict[str, Any]) -> str:
        """Return of which letter a row speaks: one that is settled of this, else of one before."""
        return self.letters[-1].sqs_id if "status" in columns else "of another time"

    def _put(
        self, queue: str, body: str, group: str, deduplication_id: str, attributes: Any, *_: Any
    ) -> str:
        number = len(self.letters) + 1
        serial = {SERIAL: {"DataType": "Number", "StringValue": str(number)}}
        beside = _ATTRIBUTES | _texts(attributes) | serial
        fifo = {
            "MessageGroupId": group,
            "MessageDeduplicationId": self.name(f"{deduplication_id}-{number}"),
        }
        answer = self.stack.client("sqs").send_message(
            QueueUrl=self.urls[queue],
            MessageBody=body,
            MessageAttributes=beside,
            MessageSystemAttributes={
                "AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}
            },
            **(fifo if self.fifo else {}),
        )
        self.letters.append(
            Letter(number, body, group if self.fifo else "", str(answer["MessageId"]), beside)
        )
        return str(answer["MessageId"])

    # Letting things happen

    def begin(self, machine: str = "redrive", **payload: Any) -> str:
        """Run a machine; a run is one of this queue."""
        return super().begin(machine, **(payload | self._of_queue(payload)))

    def run(self, payload: dict[str, Any] | None = None, **options: Any) -> Execution:
        """Run a machine to its end; a run is one of this queue."""
        return super().run((payload or {}) | self._of_queue(payload or {}), **options)

    def consume(self) -> None:
        """Let the team's consumer work until its queue is empty; SQS moves what it fails at."""
        self.poll()

    def poll(self) -> None:
        """Let the team's consumer work until its queue is empty."""
        sqs, url = self.stack.client("sqs"), self.urls["Work"]
        asked = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        before = -1
        while (there := len(self.queued("Work"))) != before:  # else it is in flight for good
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **asked)
            before = -1 if "Messages" in got else there
            for message in got.get("Messages", []):
                if message["MessageId"] not in self.seen:
                    self.seen.add(message["MessageId"])
                    self.arrived.append(number_of(message))
                handle = message["ReceiptHandle"]
                if any(f'"{one}"' in message["Body"] for one in self.poison):
                    sqs.change_message_visibility(
                        QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
                    )
                    continue
                self.processed.append(message)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)

    def excuse(self) -> None:
        """Note what was sent and is not deleted: whoever stops here makes the next run send it."""
        self.excused.update(self._sent_and_there())

    def unheard(self, *, is_given_up: bool) -> None:
        """Note that nobody heard what a call had done.

        A machine tries again: on a standard queue, which knows no deduplication id, that is another
        copy. On a FIFO queue it is one only if the machine gives up, and another run comes.
        """
        sent = self._sent_and_there()
        if not self.fifo:
            self.excused.update(sent)
            self.retried.update(sent)
        elif is_given_up:
            self.excused |= Counter(sent)

    def _sent_and_there(self) -> set[int]:
        sent = {*self.arrived, *map(number_of, self.queued("Work"))}
        return {*map(number_of, self.queued("DeadLetter"))} & sent

    @staticmethod
    def _of_queue(payload: dict[str, Any]) -> dict[str, Any]:
        return {"request": {"queue": QUEUE} | payload.get("request", {})}

    # Looking

    def row(self, message: Message) -> dict[str, Any]:
        """Return a message's row in the ledger; {} for none."""
        return row(self.stack, "Messages", ledger_id(message))

    def queued(self, queue: str) -> list[dict[str, Any]]:
        """Return what lies on the queue `Work` or `DeadLetter`, oldest first."""
        found: list[dict[str, Any]] = self.stack.emulator.messages(self.urls[queue])
        return found

    def url(self, queue: str) -> str:
        """Return the URL of the queue `Work` or `DeadLetter`."""
        return self.urls[queue]

    def broken(self, moved: Any) -> list[str]:
        """Return a sentence for each invariant of a registered queue that does not hold."""
        return registered_broken.of(self, moved)


def _texts(attributes: dict[str, str]) -> dict[str, Any]:
    return {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}


@dataclass(frozen=True)
class Registered:
    """Messages of a registered queue of a kind: what makes them, and what world they are in."""

    make: Callable[[RegisteredWorld], None]
    fifo: bool

    def __call__(self, world: CrashingWorld) -> None:
        """Register the queue, and make the messages."""
        assert isinstance(world, RegisteredWorld)
        world.register()
        self.make(world)

    @property
    def kind(self) -> Callable[[MotoStack], RegisteredWorld]:
        """What makes the world."""
        return partial(RegisteredWorld, fifo=self.fifo)

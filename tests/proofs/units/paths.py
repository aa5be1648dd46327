"""The paths of a message's life, driven through the application in this process and metered."""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest import mock

from local.meter import Bill, Meter
from tests.engines.moto_engine.stack import MotoStack
from tests.support.metered import metered
from tests.support.world import World
from workflows.messages import message_types, transaction
from workflows.messages.envelope import Message
from workflows.redrive import counters

BODY_BYTES = 500
MESSAGES = 40
RUN = "redriven: the run"


@dataclass(frozen=True)
class Part:
    """What a part of a path took; `messages` is by how many it is divided."""

    name: str
    bill: Bill
    messages: int

    @property
    def write_units(self) -> float:
        """Write units a message."""
        return self.bill.write_units / self.messages

    @property
    def read_units(self) -> float:
        """Read units a message."""
        return self.bill.read_units / self.messages

    def at(self, place: str) -> float:
        """Write units a message at a table (`Messages`) or an index (`Messages/RunIndex`)."""
        return self.bill.by_place().get(place, 0) / self.messages


class Payload(transaction.Payload):
    """A transaction with a note, which makes its body as long as is wanted."""

    note: str


_PADDED = SimpleNamespace(
    Payload=Payload,
    MAX_AGE_SECONDS=transaction.MAX_AGE_SECONDS,
    group_id=transaction.group_id,
    process=transaction.process,
)


def measure(body_bytes: int = BODY_BYTES, count: int = MESSAGES) -> list[Part]:
    """Return what each part of each path takes. What is printed meanwhile is lost.

    Args:
        body_bytes: of every message.
        count: of messages, each alone in its group, but for the parked ones, which are nine. A run
            of few messages divides what it writes once among them.
    """
    found: list[Part] = []
    with _quiet(), mock.patch.dict(message_types.TYPES, {"transaction": _PADDED}):
        for path in (_healthy, _failing, _parked):
            with MotoStack() as stack, metered(stack) as meter:
                found += path(Scene(stack, meter, body_bytes), count)
    return found


def side_by_side(lanes: int, body_bytes: int = BODY_BYTES) -> Part:
    """Return what a run takes whose lanes have a full batch each; each message is its own group.

    Raises:
        AssertionError: a lane had none.
    """
    with (
        _quiet(),
        mock.patch.dict(message_types.TYPES, {"transaction": _PADDED}),
        MotoStack() as stack,
        metered(stack) as meter,
    ):
        scene = Scene(stack, meter, body_bytes)
        messages = scene.messages(10 * lanes)
        for message in messages:
            scene.world.dead_letter(message)
        run_id = scene.world.next_run
        bill = scene.bill(lambda: scene.world.redrive(lanes=lanes), messages, "REDRIVEN")
        found = counters.of_lanes(scene.world.run_row(run_id))
    if [lane["redriven"] for lane in found.values()] != [10] * lanes:
        raise AssertionError(f"not ten each: {found}")
    return Part(f"{RUN}, {lanes} lanes", bill, len(messages))


class Scene:
    """A stack with a meter, and messages of one size."""

    def __init__(self, stack: MotoStack, meter: Meter, body_bytes: int) -> None:
        self.world = World(stack)
        self.meter = meter
        self._body_bytes = body_bytes

    def messages(self, count: int, **fields: Any) -> list[Message]:
        """Make messages with ids as long as those that the API makes up."""
        return [self._message(**fields) for _ in range(count)]

    def freeze(self, messages: list[Message], status: str = "FROZEN") -> None:
        """Set the status of the accounts of messages."""
        for account in {message.group_id for message in messages}:
            self.world.freeze(account, status)

    def send_and_consume(self, messages: list[Message]) -> None:
        """Send them all, and let the consumer and the retries work."""
        for message in messages:
            self.world.send(message)
        self.world.consume()

    def bill(self, do: Callable[[], Any], messages: list[Message], status: str) -> Bill:
        """Do something, and return what it took.

        Raises:
            AssertionError: it did not leave the messages at that status.
        """
        self.meter.take()
        do()
        bill = self.meter.take()
        found = {str(self.world.row(message)["status"]) for message in messages}
        if found != {status}:
            raise AssertionError(f"{found}, not {status}")
        return bill

    def _message(self, **fields: Any) -> Message:
        ids = {"message_id": str(uuid.uuid4()), "trace_id": str(uuid.uuid4())}
        bare = len(self.world.message(note="", **ids, **fields).body())
        self.world.messages.pop()
        note = "x" * (self._body_bytes - bare)
        return self.world.message(note=note, **ids, **fields)


def _healthy(scene: Scene, count: int) -> Iterator[Part]:
    messages = scene.messages(count)
    bill = scene.bill(lambda: scene.send_and_consume(messages), messages, "PROCESSED")
    yield Part("healthy: sent, processed", bill, count)


def _failing(scene: Scene, count: int) -> Iterator[Part]:
    messages = scene.messages(count)
    scene.freeze(messages)
    bill = scene.bill(lambda: scene.send_and_consume(messages), messages, "DEAD")
    yield Part("failing: sent, failed four times, dead", bill, count)
    scene.freeze(messages, "ACTIVE")
    bill = scene.bill(scene.world.redrive, messages, "REDRIVEN")
    yield Part(RUN, bill, count)
    bill = scene.bill(scene.world.consume, messages, "PROCESSED")
    yield Part("redriven: the consumer", bill, count)


def _parked(scene: Scene, _count: int) -> Iterator[Part]:
    """Yield what nine take that wait behind a failing one, less what that one takes by itself."""
    alone, ten = _held_up(scene, 1), _held_up(scene, 10)
    yield Part("parked: consumed behind a failing one, processed", ten - alone, 9)


def _held_up(scene: Scene, count: int) -> Bill:
    messages = scene.messages(count, group_id=scene.world.name("held-up"))
    scene.freeze(messages)
    for message in messages:
        scene.world.send(message)
    parked = scene.bill(lambda: _poll(scene.world.stack), messages[:1], "RETRYING")
    scene.freeze(messages, "ACTIVE")
    return parked + scene.bill(scene.world.consume, messages, "PROCESSED")


def _poll(stack: MotoStack) -> None:
    while stack.poll() is not None:
        pass  # executions begin later, when the account is active


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)

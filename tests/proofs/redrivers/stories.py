"""Faults that any redriver can meet, told through SQS, the consumer and the ledger alone.

A story acts on a world that is new, lets it come to rest, and yields what no invariant says; the
rest is for `tests/support/invariants.py`. It judges a redriver by what it sent, deleted and
brought about, never by the records of its own runs. Its numbers are those of
`tests/proofs/faults/rows.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tests.proofs.redrivers.redriven import Redriven
from tests.proofs.redrivers.weather import (
    before_call,
    failing,
    instead,
    refusing,
    stop_after,
    stop_before,
    throttling,
)
from tests.support import engines, stack_fixtures
from tests.support.world import World
from workflows.messages import message_types
from workflows.messages.envelope import Message

Story = Callable[[Redriven], Iterator[str]]
_LATER = 301  # seconds: SQS has forgotten every deduplication id
_BATCH = 10  # the most that one call of SQS receives, sends or deletes


@dataclass(frozen=True)
class Told:
    """A story with the rows of `faults` that it is about, and its `world` if it is one of its own.

    What `tell` is, is a `Story` for any world otherwise.
    """

    rows: tuple[int, ...]
    tell: Any
    world: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The function's."""
        return str(self.tell.__name__)

    @property
    def sentence(self) -> str:
        """What happens, in one line."""
        return str(self.tell.__doc__).partition("\n")[0]


STORIES: list[Told] = []


def story(*rows: int, among: list[Told] = STORIES) -> Callable[[Story], Story]:
    """Add a story that is about these rows."""

    def add(tell: Story) -> Story:
        among.append(Told(rows, tell))
        return tell

    return add


def all_processed(world: World) -> Iterator[str]:
    """Yield what is not processed."""
    for message in world.messages:
        if (status := world.row(message).get("status")) != "PROCESSED":
            yield f"Not moved: {message.message_id} is {status}."


def entries(world: World, count: int, group: str | None = None, **payload: Any) -> list[Message]:
    """Make entries, each alone in its group or all in one."""
    return [
        world.message(
            type="entry",
            account_id=group or world.name(f"g{number}"),
            number=number,
            **payload,
        )
        for number in range(count)
    ]


def _dead_entries(world: World, count: int, group: str | None = None) -> list[Message]:
    messages = entries(world, count, group)
    for message in messages:
        world.dead_letter(message)
    return messages


def _fail_until_dead(world: World, message: Message) -> None:
    """Send a message that fails until it is dead, and mend the cause."""
    world.freeze("broken")
    world.send(message)
    world.consume()
    assert world.row(message)["status"] == "DEAD"
    world.unfreeze("broken")


@story()
def healthy(world: World) -> Iterator[str]:
    """Dead letters of several groups, and nothing goes wrong."""
    _dead_entries(world, 4)
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story()
def soon_after_it_was_sent(world: World) -> Iterator[str]:
    """A message dies, is mended and redriven within five minutes of being sent."""
    (message,) = entries(world, 1, frozen_by="broken")
    _fail_until_dead(world, message)
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(1)
def stopped_before_the_send(world: World) -> Iterator[str]:
    """The redriver is stopped after it received, before it sent."""
    _dead_entries(world, 4)
    with stop_after(world, "ReceiveMessage"):
        world.redrive()
    yield from _resume(world, 0)


@story(2)
def stopped_before_the_delete(world: World) -> Iterator[str]:
    """The redriver is stopped after it sent, before it deleted."""
    _dead_entries(world, 4)
    with stop_after(world, "SendMessageBatch"):
        world.redrive()
    yield from _resume(world, 0)


@story(3)
def stopped_before_the_delete_for_long(world: World) -> Iterator[str]:
    """The same, and nobody looks for more than five minutes."""
    _dead_entries(world, 4)
    with stop_after(world, "SendMessageBatch"):
        world.redrive()
    yield from _resume(world, _LATER)


@story(2, 5)
def stopped_after_the_delete(world: World) -> Iterator[str]:
    """The redriver is stopped after it deleted."""
    _dead_entries(world, 4)
    with stop_after(world, "DeleteMessageBatch"):
        world.redrive()
    yield from _resume(world, 0)


def _resume(world: World, seconds: float) -> Iterator[str]:
    engines.elapse(world.stack, seconds)
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(4)
def stopped_before_the_send_once_counted(world: World) -> Iterator[str]:
    """The redriver is stopped just before it sends, whatever it has noted and counted by then."""
    _dead_entries(world, 4)
    with stop_before(world, "SendMessageBatch"):
        world.redrive()
    yield from _resume(world, 0)


@story(6)
def some_are_not_sent(world: World) -> Iterator[str]:
    """SQS refuses two of four messages."""
    _dead_entries(world, 4)
    with refusing("SendMessageBatch", 0, 2):
        world.redrive()
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(6)
def first_of_a_group_is_not_sent(world: World) -> Iterator[str]:
    """SQS refuses the first of three messages of one group."""
    group = world.name("g")
    _dead_entries(world, 3, group)
    with refusing("SendMessageBatch", 0):
        world.redrive()
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(7)
def some_are_not_deleted(world: World) -> Iterator[str]:
    """SQS does not delete two of four messages."""
    _dead_entries(world, 4)
    with refusing("DeleteMessageBatch", 0, 3):
        world.redrive()
    world.settle()
    engines.elapse(world.stack, _LATER)
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(8)
def visibility_timeout_ends(world: World) -> Iterator[str]:
    """The redriver is so slow that its messages are visible again before it sends them."""
    _dead_entries(world, 4)
    with before_call(lambda: engines.elapse(world.stack, _LATER), "SendMessageBatch"):
        world.redrive()
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(10)
def two_at_once(world: World) -> Iterator[str]:
    """A second redriver runs while the first has received, and is slow to send, its messages."""
    _dead_entries(world, 4)

    def second_redriver() -> None:
        engines.elapse(world.stack, _LATER)
        world.redrive()
        engines.elapse(world.stack, _LATER)

    with before_call(second_redriver, "SendMessageBatch"):
        world.redrive()
    copies = Counter(copy["Body"] for copy in world.queued("Work"))
    for message in world.messages:
        if copies[message.body()] > 1:
            yield f"Sent twice: {message.message_id} by two redrivers at once."
    world.settle()
    yield from all_processed(world)


@story(11, 22)
def queue_looks_empty(world: World) -> Iterator[str]:
    """The queue's first answer is empty, although messages are there."""
    _dead_entries(world, 3)
    with instead("ReceiveMessage", {}):
        world.redrive()
    world.settle()
    yield from all_processed(world)


@story(12)
def throttled(world: World) -> Iterator[str]:
    """SQS throttles the first two tries to send."""
    _dead_entries(world, 4)
    with throttling(world, "SendMessageBatch", 2):
        succeeded = _redrive_or_fail(world)
    if not succeeded:
        yield "Gave up: it was throttled twice."
    world.settle()
    yield from all_processed(world)


@story(14)
def always_fails(world: World) -> Iterator[str]:
    """A message fails each time it is redriven, however often somebody tries."""
    world.freeze("broken")
    (message,) = entries(world, 1, frozen_by="broken")
    world.send(message)
    for _ in range(5):
        world.consume()
        engines.elapse(world.stack, _LATER)
        world.redrive()
    world.settle()
    if world.row(message)["status"] != "QUARANTINED":
        yield f"Guard: {message.message_id} goes round and round."


@story(15)
def malformed(world: World) -> Iterator[str]:
    """Dead letters that are none of our messages lie among healthy ones."""
    _dead_entries(world, 2)
    bodies = ["{", "[1, 2]", '{"message_id": "x", "message_id": "y"}']
    ids = [world.put_on_dlq(body, world.name(f"s{n}")) for n, body in enumerate(bodies)]
    world.redrive()
    world.settle()
    yield from all_processed(world)
    dead_letters = [letter["Body"] for letter in world.queued("DeadLetter")]
    for sqs_message_id, body in zip(ids, bodies, strict=True):
        row = stack_fixtures.row(world.stack, "Messages", f"sqs:{sqs_message_id}")
        if body in dead_letters:
            yield f"Not moved: {body} went round and lies there again."
        elif row.get("status") != "QUARANTINED" or not row["reason"]["message"]:
            yield f"Lost: {body} left the queue, and is not in quarantine with its reason."


@story(18)
def unknown_to_the_ledger(world: World) -> Iterator[str]:
    """A dead letter looks like ours, with a counter of its own, and the ledger never saw it."""
    (message,) = entries(world, 1)
    stack_fixtures.put_on_dlq(world.stack, message.body(), message.group_id, redrives="-1")
    world.redrive()
    world.settle()
    if world.effects(message.group_id):
        yield "Effect: a message that nobody sent had its effect."


@story()
def processed_meanwhile(world: World) -> Iterator[str]:
    """Dead letters whose messages were processed, one of them just before it is sent."""
    first, second = _dead_entries(world, 2)
    _process(world, first)
    with before_call(lambda: _process(world, second), "BatchExecuteStatement", "SendMessageBatch"):
        world.redrive()
    world.settle()
    if world.queued("Work") or world.queued("DeadLetter"):
        yield "Not at rest: copies of a processed message are left."
    yield from all_processed(world)


@story()
def discarded(world: World) -> Iterator[str]:
    """A person discards one of two dead letters; the redriver meets both."""
    _, dropped = _dead_entries(world, 2)
    stack_fixtures.record(world.stack, dropped, "DISCARDED")
    world.redrive()
    world.settle()
    world.messages.remove(dropped)
    yield from all_processed(world)
    if world.effects(dropped.group_id):
        yield f"Effect: {dropped.message_id} was discarded and had its effect."


@story(23)
def work_queue_is_gone(world: World) -> Iterator[str]:
    """The work queue does not exist."""
    _dead_entries(world, 5)
    with failing("SendMessageBatch", "AWS.SimpleQueueService.NonExistentQueue"):
        succeeded = _redrive_or_fail(world)
    if succeeded:
        yield "Run: nothing could be sent, and the run says that it succeeded."
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(24)
def cancelled(world: Redriven) -> Iterator[str]:
    """A person cancels while the first of three batches of ten is sent."""
    _dead_entries(world, 2 * _BATCH + 1)
    with before_call(world.cancel, "SendMessageBatch"):
        world.redrive()
    sent = len(world.queued("Work"))
    if sent > 2 * _BATCH:
        yield f"Sent after the cancel: more than one batch; {sent} were sent in all."
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


def _process(world: World, message: Message) -> None:
    """Let a copy of a message be processed that the redriver does not know of."""
    message_types.process(message)
    stack_fixtures.record(world.stack, message, "PROCESSED")


def _redrive_or_fail(world: World) -> bool:
    """Return whether a redriver that cannot send ends as if it could."""
    try:
        ended = world.redrive()
    except ClientError:
        return False
    return ended is None or ended.status == "SUCCEEDED"

"""What can happen to a fenced group, whoever redrives: told as `stories` are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from tests.proofs.redrivers import stories
from tests.proofs.redrivers.stories import Told, all_processed
from tests.proofs.redrivers.weather import before_call
from tests.support.world import World
from workflows.consume import Batch, Delivery, MessageBusy
from workflows.groups import fence, fences
from workflows.messages.envelope import Message

FENCE_STORIES: list[Told] = []
story = partial(stories.story, among=FENCE_STORIES)


@contextmanager
def _before_state(world: World, state: str, act: Callable[[], Any]) -> Iterator[None]:
    """Let something happen once, just before an execution enters a state."""
    done: list[str] = []

    def watch(arn: str, entered: str) -> bool:
        if entered == state and not done:
            done.append(arn)
            act()
        return True

    world.stack.before_state = watch
    try:
        yield
    finally:
        world.stack.before_state = lambda arn, state: True
    assert done, f"{state} was never entered"


def _group(world: World, count: int, **payload: Any) -> list[Message]:
    """Make entries of one group, of which the first fails as `payload` says."""
    group = world.name("g")
    first = world.message(type="entry", account_id=group, number=0, **payload)
    return [
        first,
        *(world.message(type="entry", account_id=group, number=n) for n in range(1, count)),
    ]


@story()
def later_ones_wait(world: World) -> Iterator[str]:
    """The first of three messages of a group fails twice; the others come meanwhile."""
    first, *others = _group(world, 3, fails=2)
    world.send(first)
    world.stack.poll()
    for message in others:
        world.send(message)
        world.stack.poll()
    world.settle()
    yield from all_processed(world)


@story(21)
def one_comes_while_the_fence_is_released(world: World) -> Iterator[str]:
    """A message arrives just before the fence of its group is removed."""
    first, second = _group(world, 2, fails=1)
    world.send(first)
    world.stack.poll()

    def arrive() -> None:
        world.send(second)
        world.stack.poll()

    with _before_state(world, "ReleaseFence", arrive):
        world.settle()
    yield from all_processed(world)


@story(21)
def fence_goes_before_one_is_parked(world: World) -> Iterator[str]:
    """The fence is removed after a worker saw it, before the worker parks its message."""
    first, second = _group(world, 2, fails=1)
    world.send(first)
    world.stack.poll()
    world.send(second)
    with before_call(world.stack.run_executions, "TransactWriteItems"):
        world.stack.poll()
    world.settle()
    yield from all_processed(world)


@story(19)
def stopped_and_taken_over(world: World) -> Iterator[str]:
    """An execution is taken for dead and another started, and then goes on."""
    first, second, third = _group(world, 3, fails=1)
    world.send(first)
    world.stack.poll()
    for message in (second, third):
        world.send(message)
        world.stack.poll()

    def take_over() -> None:
        fenced = fences.find([first.group_id])[first.group_id]
        assert fence.resume(fenced, 0)
        world.stack.run_executions()

    with _before_state(world, "PromoteParked", take_over):
        world.settle()
    yield from all_processed(world)


@story(13)
def succeeds_after_it_was_given_up(world: World) -> Iterator[str]:
    """The last try seems to fail, and has its effect just before the message is marked dead."""
    world.freeze("broken")
    (message,) = _group(world, 1, frozen_by="broken")
    world.send(message)
    world.stack.poll()

    tries: list[Any] = []
    invoke = world.stack.invoke

    def remember(function: str, payload: Any) -> Any:
        tries.append(payload)
        return invoke(function, payload)

    def succeed() -> None:
        world.unfreeze("broken")
        invoke("ProcessMessage", tries[-1])

    world.stack.invoke = remember
    with _before_state(world, "MarkDead", succeed):
        world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(9)
def two_workers_have_it(world: World) -> Iterator[str]:
    """A second worker gets a copy while the first is about to have the message's effect."""
    (message,) = _group(world, 1)
    world.send(message)

    def second_worker() -> None:
        (queued,) = world.queued("Work")
        copy = Delivery(message.body(), message.group_id, queued["MessageId"], "2", 1)
        with suppress(MessageBusy):
            Batch([copy]).consume(copy)

    with before_call(second_worker, "UpdateItem", table="Accounts"):
        world.stack.poll()
    world.settle()
    yield from all_processed(world)


@story(9)
def delivered_again(world: World) -> Iterator[str]:
    """Copies of a message come again after it had its effect: one by itself, one in a batch."""
    first, second = _group(world, 2)
    world.send(first)
    world.stack.poll()
    world.put_copy("Work", first)
    world.stack.poll()
    world.put_copy("Work", first)
    world.send(second)
    world.settle()
    yield from all_processed(world)


@story(26)
def redriven_natively(world: World) -> Iterator[str]:
    """A person moves the dead letter that a group waits for with SQS's own redrive."""
    world.freeze("broken")
    first, second = _group(world, 2, frozen_by="broken")
    for message in (first, second):
        world.send(message)
        world.consume()
    world.unfreeze("broken")
    _redrive_natively(world, first)
    world.settle()
    yield from all_processed(world)


@story(19, 26)
def moved_back_after_a_stop(world: World) -> Iterator[str]:
    """A retry is stopped before it notes a dead letter as dead; a person moves that back."""
    world.freeze("broken")
    (message,) = _group(world, 1, frozen_by="broken")
    world.stack.before_state = lambda arn, state: state != "MarkDead"
    world.send(message)
    world.consume()
    world.stack.before_state = lambda arn, state: True
    _redrive_natively(world, message)
    world.consume()  # acknowledges it: the retry has it
    world.settle()  # within the five minutes in which SQS knows the dead letter's id
    world.unfreeze("broken")
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(26)
def moved_back_before_it_was_noted(world: World) -> Iterator[str]:
    """A person moves a dead letter back just before the retry notes it as dead."""
    world.freeze("broken")
    (message,) = _group(world, 1, frozen_by="broken")
    moved: list[str] = []

    def before_state(_arn: str, state: str) -> bool:
        if state == "MarkDead" and not moved:
            moved.append(state)
            _redrive_natively(world, message)
            world.stack.poll()  # acknowledges it: it is on no queue now
        return True

    world.stack.before_state = before_state
    world.send(message)
    world.consume()
    world.unfreeze("broken")
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


def _redrive_natively(world: World, message: Message) -> None:
    """Move a dead letter back as SQS does: the very bytes, under a new id."""
    sqs, dead_letters = world.stack.client("sqs"), world.stack.outputs["DeadLetterQueueUrl"]
    (letter,) = sqs.receive_message(QueueUrl=dead_letters)["Messages"]
    assert letter["Body"] == message.body()
    world.put_copy("Work", message)
    sqs.delete_message(QueueUrl=dead_letters, ReceiptHandle=letter["ReceiptHandle"])

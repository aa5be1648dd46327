"""What can happen to a run and its lane: told as `stories` are, and judged by its record too."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.proofs.redrivers import stories
from tests.proofs.redrivers.redriven import Redriven
from tests.proofs.redrivers.stories import Told, all_processed, entries
from tests.proofs.redrivers.weather import before_call, failing, refusing
from tests.support import engines
from tests.support.world import World
from workflows.runtime import clock

RUN_STORIES: list[Told] = []
story = partial(stories.story, among=RUN_STORIES)

_BATCH = 10
_LEG_SECONDS = 200  # more than one begins a batch in
_LATER = 301
_LANES = 3


def _dead(world: World, count: int) -> None:
    for message in entries(world, count):
        world.dead_letter(message)


@story(19)
def lane_goes_on_alone(world: Redriven) -> Iterator[str]:
    """A person stops a run while its lane sends the first of three batches; the lane goes on."""
    _dead(world, 2 * _BATCH + 1)
    lane: list[str] = []

    def before(arn: str, state: str) -> bool:
        if state == "RedriveMessages" and not lane:
            lane.append(arn)
            world.end_run(world.stack.runs_a_lane(arn))
            world.recover()
        return bool(not lane or arn == lane[0])

    world.stack.before_state = before
    world.redrive()
    world.stack.before_state = lambda arn, state: True
    sent = len(world.queued("Work"))
    if sent > _BATCH:
        yield f"Sent after the stop: more than its batch; {sent} were sent in all."
    engines.elapse(world.stack, _LATER)
    world.settle()
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(24)
def two_legs(world: Redriven) -> Iterator[str]:
    """A run that may take twelve of fifteen is so slow that its lane needs a second leg."""
    _dead(world, 15)
    slow = before_call(lambda: engines.elapse(world.stack, _LEG_SECONDS), "ReceiveMessage")
    with slow:
        run = world.redrive(max_messages=12)
    if run.states.count("RunLanes") != 2:
        yield f"Raised: it had {run.states.count('RunLanes')} rounds."
    sent = len(world.queued("Work"))
    if sent != 12:
        yield f"Share: {sent} were sent, and it might take 12."
    yield from _counted(world, run, sent)
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(6)
def refused_and_nobody_looks(world: Redriven) -> Iterator[str]:
    """SQS refuses two of four messages, and no other run comes."""
    _dead(world, 4)
    with refusing("SendMessageBatch", 0, 2):
        run = world.redrive()
    yield from _counted(world, run, 2)
    world.settle()
    for message in world.messages:
        row = world.row(message)
        if row["status"] != "PROCESSED" and row.get("trouble") != "DEAD":
            yield f"Two states: {message.message_id} was not sent, and is not listed as dead."


@story(4, 19)
def stopped_and_only_the_sweep_looks(world: Redriven) -> Iterator[str]:
    """A run of two lanes is stopped before one sends its second batch, and no other run comes."""
    _dead(world, 4 * _BATCH)
    sending: list[str] = []

    def before(arn: str, state: str) -> bool:
        if state == "RedriveMessages":
            sending.append(arn)
        return max(map(sending.count, sending), default=0) < 2

    world.stack.before_state = before
    world.redrive(lanes=2)
    world.stack.before_state = lambda arn, state: True
    world.recover()
    yield from _unseen(world)
    on_work = {copy["Body"] for copy in world.queued("Work")}
    listed = [m for m in world.messages if world.row(m).get("trouble") == "DEAD"]
    # Of the other lane nobody knows what became of its last batch.
    if (both := sum(message.body() in on_work for message in listed)) > _BATCH:
        yield f"Two states: {both} that are on the work queue are listed as dead."
    engines.elapse(world.stack, _LATER)
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(12)
def cannot_be_sent_and_only_the_sweep_looks(world: Redriven) -> Iterator[str]:
    """SQS takes nothing more after the first batch, and no other run comes."""
    _dead(world, 2 * _BATCH)
    with failing("SendMessageBatch", "InternalFailure", skip=1):
        run = world.redrive()
    if run.status != "FAILED":
        yield f"Run: it is {run.status}, and could not send."
    world.recover()
    yield from _unseen(world)
    if len(world.queued("Work")) != _BATCH:
        yield f"Raised: {len(world.queued('Work'))} were sent."
    world.redrive()
    world.settle()
    yield from all_processed(world)


def _unseen(world: World) -> Iterator[str]:
    """Yield what a run has counted, that is on no queue it was sent to, and in no list."""
    on_work = {copy["Body"] for copy in world.queued("Work")}
    for message in world.messages:
        row = world.row(message)
        if message.body() not in on_work and row.get("trouble") != "DEAD":
            yield f"Two states: {message.message_id} was not sent, and is not listed as dead."


@story(24)
def lanes_share_a_limit(world: Redriven) -> Iterator[str]:
    """Three lanes share a run that may take 25 of 40."""
    _dead(world, 40)
    run = world.redrive(lanes=_LANES, max_messages=25)
    sent = len(world.queued("Work"))
    if sent != 25:
        yield f"Share: {sent} were sent, and it might take 25."
    yield from _counted(world, run, sent)
    world.redrive()
    world.settle()
    yield from all_processed(world)


@story(24)
def lanes_share_a_rate(world: Redriven) -> Iterator[str]:
    """Three lanes share a rate of nine messages a second."""
    _dead(world, 40)
    at: list[int] = []

    def look(arn: str, state: str) -> bool:
        at.extend([clock.milliseconds()] * (len(world.queued("Work")) - len(at)))
        return True

    world.stack.before_state = look
    world.redrive(lanes=_LANES, max_per_second=9)
    # A state that takes long here is seen late.
    most = max(sum(moment <= one < moment + 600 for one in at) for moment in at)
    if most > 9:
        yield f"Rate: {most} were sent in a second, and it might send 9."
    world.settle()
    yield from all_processed(world)


@story(11)
def lanes_meet_one_group(world: Redriven) -> Iterator[str]:
    """Three lanes poll in turn what are the messages of two groups."""
    for group in ("a", "b"):
        for number in range(8):
            world.dead_letter(
                world.message(type="entry", account_id=world.name(group), number=number)
            )
    run = world.redrive(lanes=_LANES)
    if refused := run.output["failed"]:
        yield f"Run: two lanes had {refused} messages in hand at once."
    world.settle()
    yield from all_processed(world)


def _counted(world: World, run: Any, sent: int) -> Iterator[str]:
    for counted in (run.output.get("redriven"), world.run_row(run.name)["redriven"]):
        if counted != sent:
            yield f"Run: it counts {counted} redriven, and sent {sent}."

"""What can happen to a run of a registered queue: told as `stories` are, of a team's letters.

Judged by `tests/proofs/faults/registered_broken.py`: what became of each letter, by its number.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults import ten
from tests.proofs.faults.registered_world import RegisteredWorld
from tests.proofs.redrivers.stories import Told
from tests.proofs.redrivers.weather import refusing, stop_before
from tests.support import engines, objects
from tests.support.cloud import OTHER, REGION
from tests.support.messages import an_operator
from tests.support.stack_fixtures import put
from tests.support.stack_fixtures import row as stack_row
from tests.support.team_letters import BUDGET, QUEUE, ledger_id
from workflows.messages.envelope import Message
from workflows.operator import retry_by_hand
from workflows.operator.retry_by_hand import RetryRequest
from workflows.queues import registry
from workflows.redrive import run_lock
from workflows.runtime import clock

REGISTERED_STORIES: list[Told] = []
Tell = Callable[[RegisteredWorld], Iterator[str]]
_LATER = 1_000  # seconds: the lease of a run that was stopped is over


def _world(stack: MotoStack, fifo: bool) -> RegisteredWorld:
    return RegisteredWorld.registered(stack, fifo=fifo)


def story(*rows: int, fifo: bool) -> Callable[[Tell], Tell]:
    """Add a story of a queue of a kind, that is about these rows."""

    def add(tell: Tell) -> Tell:
        REGISTERED_STORIES.append(Told(rows, tell, partial(_world, fifo=fifo)))
        return tell

    return add


def _dead(world: RegisteredWorld, count: int, **fields: str) -> list[Message]:
    messages = [world.message(**fields) for _ in range(count)]
    for message in messages:
        world.dead_letter(message)
    world.healthy += messages
    return messages


def _go_on(world: RegisteredWorld) -> Iterator[str]:
    """Let another run come later, and yield what is broken then."""
    engines.elapse(world.stack, _LATER)
    world.redrive()
    world.settle()
    yield from world.broken(world.healthy)


def _all_kinds(world: RegisteredWorld) -> Iterator[str]:
    ten.of_a_team(world)
    gift = next(message for message in world.messages if message.payload.get("kind") == "gift")
    world.redrive()
    world.settle()
    if (reason := world.row(gift).get("reason", {}).get("type")) != "InvalidBody":
        yield f"Not moved: {gift.message_id} is not kept for what is wrong with it: {reason}."
    yield from _go_on(world)


@story(14, 15, 17, fifo=False)
def ten_of_a_team(world: RegisteredWorld) -> Iterator[str]:
    """Dead letters of a standard queue of every kind, and nothing goes wrong."""
    yield from _all_kinds(world)


@story(14, 15, 17, fifo=True)
def ten_of_a_team_in_order(world: RegisteredWorld) -> Iterator[str]:
    """The same of a FIFO queue."""
    yield from _all_kinds(world)


@story(6, 19, fifo=False)
def first_met_is_refused_and_the_run_stopped(world: RegisteredWorld) -> Iterator[str]:
    """SQS refuses what a run meets for the first time, and the run is stopped; nobody sweeps."""
    _dead(world, 2)
    with refusing("SendMessageBatch", 0), stop_before(world, "ChangeMessageVisibilityBatch"):
        world.redrive()
    yield from _go_on(world)


@story(6, fifo=False)
def first_met_is_refused_and_nobody_looks(world: RegisteredWorld) -> Iterator[str]:
    """SQS refuses what a run meets for the first time, and no other run comes."""
    _dead(world, 2)
    with refusing("SendMessageBatch", 0):
        world.redrive()
    world.settle()
    yield from ()


@story(7, fifo=False)
def sent_ones_are_not_deleted(world: RegisteredWorld) -> Iterator[str]:
    """SQS does not delete two that it took, and another run comes."""
    _dead(world, 2)
    with refusing("DeleteMessageBatch", 0, 1):
        world.redrive()
    world.consume()
    yield from _go_on(world)


@story(13, fifo=False)
def another_counted_it_meanwhile(world: RegisteredWorld) -> Iterator[str]:
    """Between verdict and guard the ledger hears of a message that is out of redrives."""
    (message,) = _dead(world, 1)
    world.healthy.clear()
    met: list[str] = []

    def before(arn: str, state: str) -> bool:
        if state == "GuardLoop" and not met:
            met.append(arn)
            put(world.stack, "Messages", world.met(message, redrives=BUDGET))
        return True

    world.stack.before_state = before
    world.redrive()
    world.settle()
    if world.arrived:
        yield f"Guard: {message.message_id} was sent, and is out of redrives."


@story(14, fifo=False)
def always_fails_and_changes(world: RegisteredWorld) -> Iterator[str]:
    """A message comes back with another body each time, as consumers write what they tried."""
    message = world.message()
    for number in range(BUDGET + 2):
        world.dead_letter(world.version(message, tries=number))
        world.redrive()
        world.consume()
    if (status := world.row(message).get("status")) != "QUARANTINED":
        yield f"Guard: {message.message_id} goes round and round, and is {status}."


@story(14, fifo=False)
def another_of_its_identity_comes(world: RegisteredWorld) -> Iterator[str]:
    """After a message was given up another one of its identity comes, that nobody has looked at."""
    message = world.message()
    world.dead_letter(message, redrives=BUDGET)
    world.redrive()
    world.put_copy("DeadLetter", message)
    yield from _go_on(world)


@story(17, 18, fifo=False)
def names_another_in_an_attribute(world: RegisteredWorld) -> Iterator[str]:
    """A letter says by our attribute that it is another one, which is out of redrives."""
    spent = world.message()
    world.dead_letter(spent, redrives=BUDGET)
    forged = f"{ledger_id(spent)} {'0' * 64}"
    world.put_on_dlq("no JSON", world.name("g"), RedriveIdentity=forged)
    world.redrive()
    world.settle()
    if len(world.processed) != 1:
        yield "Not moved: a letter is taken for what it says that it is."


@story(11, fifo=True)
def same_body_in_two_groups(world: RegisteredWorld) -> Iterator[str]:
    """Two letters hold the same and nothing that identifies them, in two groups."""
    for group in ("a", "b"):
        world.put_on_dlq("no JSON", world.name(group))
    world.redrive()
    world.settle()
    if len(world.processed) != 2:
        yield f"Not moved: {len(world.processed)} of two came."


@story(6, fifo=True)
def first_of_its_group_is_refused(world: RegisteredWorld) -> Iterator[str]:
    """SQS refuses the first of three messages of one group of a FIFO queue."""
    _dead(world, 3, group_id=world.name("g"))
    with refusing("SendMessageBatch", 0):
        world.redrive()
    world.consume()
    yield from _go_on(world)


@story(10, fifo=False)
def queue_of_another_account_is_locked(world: RegisteredWorld) -> Iterator[str]:
    """A run is active on a dead-letter queue of the same name in another account."""
    _dead(world, 1)
    name = world.url("DeadLetter").rpartition("/")[2]
    theirs = f"arn:aws:sqs:{REGION}:{OTHER}:{name}"
    for key in (f"LOCK#{name}", f"LOCK#{theirs}"):
        lock = {"run_id": key, "holder": "another", "lease_until": clock.epoch() + _LATER}
        put(world.stack, "Runs", lock | {"execution_arn": run_lock.execution_of("another")})
    world.redrive()
    world.consume()
    yield from world.broken(world.healthy)


@story(fifo=True)
def somebody_only_looks(world: RegisteredWorld) -> Iterator[str]:
    """A person lets a run look at what lies there."""
    _dead(world, 3)
    run = world.redrive(look=True)
    world.consume()
    if world.arrived or len(world.queued("DeadLetter")) != 3:
        yield f"Sent: {len(world.arrived)} were, by a run that was to look."
    if run.output["left"] != 3 or any(world.row(m).get("trouble") != "DEAD" for m in world.healthy):
        yield "Not moved: what was looked at is not listed."


def _follow_pointers() -> None:
    objects.create()
    registry.register(replace(registry.get(QUEUE), unwrap=("s3",)), None)


def _points(world: RegisteredWorld, message: Message, bucket: str = objects.BUCKET) -> str:
    """Put a dead letter whose body lies in S3; return its body on the queue."""
    objects.put(message.message_id, message.body(), bucket)
    body = objects.pointer(message.message_id, bucket)
    world.put_on_dlq(body, message.group_id)
    return body


@story(14, fifo=True)
def bodies_lie_in_s3(world: RegisteredWorld) -> Iterator[str]:
    """Of three letters that point to S3 one is out of redrives, one points to what is gone."""
    _follow_pointers()
    there, spent, gone = (world.message() for _ in range(3))
    put(world.stack, "Messages", world.met(spent, redrives=BUDGET))
    bodies = [_points(world, message) for message in (there, spent, gone)]
    objects.delete(gone.message_id)
    world.redrive()
    world.settle()

    if [one["Body"] for one in world.processed] != bodies[:1]:
        yield f"Bytes: {len(world.processed)} came, and not one as it was."
    if (row := world.row(there)).get("redrives") != 1:
        yield f"Guard: what came was not counted by what it points to: {row.get('redrives')}."
    if (status := world.row(spent).get("status")) != "QUARANTINED":
        yield f"Guard: what is out of redrives by what it points to is {status}."
    own_id = world.letters[-1].own_id
    kept = stack_row(world.stack, "Messages", own_id)
    if (kept.get("body"), kept.get("reason", {}).get("type")) != (bodies[2], "PayloadMissing"):
        yield f"Lost: what points to nothing is not kept for that: {kept.get('reason')}."
        return
    objects.put(gone.message_id, gone.body())
    retry_by_hand.retry(own_id, RetryRequest(reset_redrives=True), an_operator())
    world.retried[world.letters[-1].number] += 1  # and counted under its own id
    world.consume()
    if world.processed[-1]["Body"] != bodies[2]:
        yield "Not moved: what a person retried did not come as it was."


@story(18, fifo=False)
def points_to_a_foreign_bucket(world: RegisteredWorld) -> Iterator[str]:
    """A letter points to an object that is not the team's, and says that it is another message."""
    _follow_pointers()
    objects.create("somebody-s")
    named = world.message()
    put(world.stack, "Messages", world.met(named, redrives=BUDGET))
    body = _points(world, named, "somebody-s")
    world.redrive()
    world.settle()
    if [one["Body"] for one in world.processed] != [body]:
        yield "Not moved: a letter is taken for what stands in a bucket that is not the team's."


@story(12, fifo=False)
def points_to_what_s3_denies(world: RegisteredWorld) -> Iterator[str]:
    """S3 does not let the stack read what one of two letters points to, until somebody lets it."""
    _follow_pointers()
    denied, other = world.message(), world.message()
    for message in (denied, other):
        _points(world, message)
    world.healthy += [denied, other]
    objects.deny(denied.message_id)
    run = world.redrive()
    world.settle()
    if run.error != "PayloadUnreadable":
        yield f"Not moved: the run ends as {run.error}, and does not say why."
    if world.arrived or any("reason" in world.row(message) for message in world.healthy):
        yield "Guard: what nobody could look into was taken for something else."
    objects.put(denied.message_id, denied.body())
    yield from _go_on(world)

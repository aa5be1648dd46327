"""What a run decides about each dead letter, by the ledger: guard, identity, age and copies."""

from datetime import timedelta

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import DONE, JUDGED, NOTHING_GOES, START, STAYS, STORED, WAVE
from tests.machines.scenarios.registry import scenario
from tests.support.world import World
from workflows.messages.envelope import Message
from workflows.runtime import clock

MAX_REDRIVES = 3  # the template's default


def fate(world: World, message: Message) -> tuple[str, int]:
    """Return a message's status and how often it was redriven."""
    row = world.row(message)
    return row["status"], int(row["redrives"])


@scenario()
def redrives_left(world: World) -> None:
    """A message that was redriven before, with one redrive left, is sent once more."""
    message = world.message()
    world.dead_letter(message, redrives=MAX_REDRIVES - 1)
    run = world.run({"request": {"max_messages": 1}})
    assert run.states == [*START, *JUDGED, *WAVE, *DONE]
    assert fate(world, message) == ("REDRIVEN", MAX_REDRIVES)


@scenario()
def out_of_redrives(world: World) -> None:
    """A message that was redriven as often as it may is quarantined and not sent."""
    message = world.message()
    world.dead_letter(message, redrives=MAX_REDRIVES)
    run = world.run({"request": {"max_messages": 1}})
    assert run.states == [*START, *JUDGED, *STORED, *DONE]
    assert world.row(message)["reason"]["type"] == "RedriveLimitReached"
    assert fate(world, message) == ("QUARANTINED", MAX_REDRIVES)


@scenario()
def budget_of_its_own(world: World) -> None:
    """A message with a budget of its own, as an edit gives it, goes by that one."""
    more, none = world.message(), world.message()
    world.dead_letter(more, redrives=MAX_REDRIVES, redrive_limit=MAX_REDRIVES + 1)
    world.dead_letter(none, redrive_limit=0)
    world.run({"request": {"max_messages": 2}})
    assert fate(world, more) == ("REDRIVEN", MAX_REDRIVES + 1)
    assert fate(world, none) == ("QUARANTINED", 0)


@scenario()
def settled_already(world: World) -> None:
    """Copies of messages that are processed, discarded, parked or quarantined are deleted."""
    statuses = ("PROCESSED", "DISCARDED", "PARKED", "QUARANTINED")
    for status in statuses:
        world.dead_letter(world.message(), status=status)
    run = world.run({"request": {"max_messages": len(statuses)}})
    assert run.states == [*START, *JUDGED, *STORED, *DONE]
    assert (run.output["already_processed"], run.output["discarded"]) == (3, 1)
    assert [fate(world, message)[0] for message in world.messages] == list(statuses)
    assert world.queued("DeadLetter") == world.queued("Work") == []


@scenario()
def under_way_elsewhere(world: World) -> None:
    """What is retried, worked on, or sent again by a person just now is left on the queue."""
    for columns in (
        {"status": "RETRYING"},
        {"status": "PROCESSING", "lease_until": given.FAR},
        {"status": "REDRIVEN", "redrives": 1, "redrive_mark": "#1"},
    ):
        world.dead_letter(world.message(), **columns)
    gone = world.message()
    world.dead_letter(gone)
    run = world.run({"request": {"max_messages": 1}})
    # The poll took one at a time, and three of them stay: they do not count.
    assert run.states[-1] == "FinishRun"
    assert (run.output["redriven"], run.output["left"]) == (1, 3)
    assert all(letter["IsVisible"] for letter in world.queued("DeadLetter"))


@scenario()
def worker_that_died(world: World) -> None:
    """What SQS moved although the ledger says it is being worked on is noted and redriven."""
    processing, queued = world.message(), world.message()
    world.dead_letter(processing, status="PROCESSING", lease_until=1)
    world.dead_letter(queued, status="QUEUED")
    world.run({"request": {"max_messages": 2}})
    for message in (processing, queued):
        assert [event["event"] for event in world.row(message)["journey"]] == ["dead", "redriven"]
        assert world.row(message)["journey"][0]["reason_type"] == "ConsumerCrashed"


@scenario()
def unknown_to_the_ledger(world: World) -> None:
    """A valid message that the ledger does not know is quarantined: nothing guards its redrives."""
    message = world.message()
    world.put_copy("DeadLetter", message)
    world.run({"request": {"max_messages": 1}})
    assert world.row(message)["reason"]["type"] == "UnknownMessage"


@scenario()
def conflicting_payload(world: World) -> None:
    """Another payload under a known id is kept under SQS's id, and the known message untouched."""
    message = world.message()
    given.record(world, message, "QUEUED")
    twin = world.version(message, amount=99.0)
    world.put_on_dlq(twin.body(), twin.group_id)
    run = world.run({"request": {"max_messages": 1}})
    assert run.output["quarantined"] == 1
    assert fate(world, message) == ("QUEUED", 0)


@scenario()
def too_old(world: World) -> None:
    """A transaction that was first sent more than two weeks ago is quarantined."""
    long_ago = clock.text(clock.read(clock.now()) - timedelta(days=15))
    message = world.message(first_sent_at=long_ago)
    world.dead_letter(message)
    world.run({"request": {"max_messages": 1}})
    assert world.row(message)["reason"]["type"] == "TooOld"


@scenario()
def copies_of_one_message(world: World) -> None:
    """Of two copies one is redriven and the other left; once processed, it is deleted."""
    message = world.message()
    world.dead_letter(message)
    world.put_copy("DeadLetter", message)
    first = world.run({"request": {"max_messages": 2}})
    assert (first.output["redriven"], first.output["left"]) == (1, 1)
    world.consume()
    second = world.run({"request": {"max_messages": 1}})
    assert second.output["already_processed"] == 1
    assert world.effects(message.group_id) == [message.message_id]


@scenario()
def copies_of_an_unknown_message(world: World) -> None:
    """Of two copies of an unknown message one is stored, and the other deleted by the next run."""
    message = world.message()
    world.put_copy("DeadLetter", message)
    world.put_copy("DeadLetter", message)
    first = world.run({"request": {"max_messages": 2}})
    assert (first.output["quarantined"], first.output["left"]) == (1, 1)
    assert world.run({"request": {"max_messages": 1}}).output["already_processed"] == 1


@scenario()
def redriven_by_this_very_run(world: World) -> None:
    """A message that this run redrove and that died again is left for another run."""
    message, other = world.message(), world.message()
    world.dead_letter(message, redrives=1, redrive_mark=f"{world.next_run}#0.0")
    world.dead_letter(other)
    first = world.run({"request": {"max_messages": 1}})
    assert first.states[: len(START) + len(JUDGED) + len(NOTHING_GOES) + len(STAYS)] == [
        *START,
        *JUDGED,
        *NOTHING_GOES,
        *STAYS,
    ]
    assert fate(world, message) == ("DEAD", 1)
    world.run({"request": {"max_messages": 1}})
    assert fate(world, message) == ("REDRIVEN", 2)


@scenario()
def keeps_dying(world: World) -> None:
    """A message that always fails is retried, dies and is redriven, until it is quarantined."""
    message = world.message()
    world.freeze(message.group_id)
    world.send(message)
    for redrives in range(MAX_REDRIVES + 1):
        world.consume()
        assert fate(world, message) == ("DEAD", redrives)
        world.run({"request": {"max_messages": 1}})
    assert fate(world, message) == ("QUARANTINED", MAX_REDRIVES)
    assert world.effects(message.group_id) == []


@scenario()
def edited_since(world: World) -> None:
    """A copy from before an edit goes with the edited body from the ledger."""
    message = world.message()
    edited = world.version(message, amount=11.0)
    world.dead_letter(
        message,
        payload_hash=edited.payload_hash,
        superseded_hashes=[message.payload_hash],
        body=edited.body(),
    )
    world.run({"request": {"max_messages": 1}})
    assert [letter["Body"] for letter in world.queued("Work")] == [edited.body()]


@scenario()
def one_of_each(world: World) -> None:
    """In one batch each message ends as it should, and the healthy one is sent."""
    world.dead_letter(world.message(), redrives=MAX_REDRIVES - 1)
    world.dead_letter(world.message(), redrives=MAX_REDRIVES)
    world.put_copy("DeadLetter", world.message())
    world.dead_letter(world.message(), status="PROCESSED")
    world.dead_letter(world.message(), status="DISCARDED")
    world.dead_letter(world.message(currency="euro"))
    world.put_on_dlq("hello", world.name("nobody"))
    run = world.run({"request": {"max_messages": 7}})
    assert run.states == [*START, *JUDGED, *WAVE, *DONE]
    assert run.output == run.output | {
        "redriven": 1,
        "quarantined": 4,
        "already_processed": 1,
        "discarded": 1,
    }

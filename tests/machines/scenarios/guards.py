"""What a run decides about each dead letter, by the ledger: guard, identity, age and copies."""

from datetime import UTC, datetime, timedelta

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import FINISH, JUDGED, START, STORED, WAVE
from tests.machines.scenarios.registry import scenario
from tests.support.redrive_runs import all_visible, quarantine_of
from tests.support.stack_fixtures import row
from tests.support.world import World
from workflows.messages.envelope import Message
from workflows.runtime import clock

MAX_REDRIVES = 3  # the template's default
# What the list of dead letters shows, and what a redrive by hand needs.
LISTED = {
    "trouble", "group_id", "type", "reason", "attempts", "redrives",
    "first_sent_at", "dead_at", "updated_at", "body", "journey",
}  # fmt: skip


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
    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]
    assert fate(world, message) == ("REDRIVEN", MAX_REDRIVES)


@scenario()
def out_of_redrives(world: World) -> None:
    """A message that was redriven as often as it may is quarantined and not sent."""
    message = world.message()
    world.dead_letter(message, redrives=MAX_REDRIVES)
    run = world.run({"request": {"max_messages": 1}})
    assert run.states == [*START, *JUDGED, *STORED, *FINISH]
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
    assert run.states == [*START, *JUDGED, *STORED, *FINISH]
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
    before = [world.row(message) for message in world.messages]
    gone = world.message()
    world.dead_letter(gone)
    run = world.run({"request": {"max_messages": 1}})
    # The poll took one at a time, and three of them stay: they do not count.
    assert run.states[-1] == "FinishRun"
    assert (run.output["redriven"], run.output["left"]) == (1, 3)
    assert all_visible(world.stack)
    assert [world.row(message) for message in world.messages[:3]] == before


@scenario()
def worker_that_died(world: World) -> None:
    """What SQS moved although the ledger says it is being worked on is noted and redriven."""
    processing, queued = world.message(), world.message()
    world.dead_letter(processing, status="PROCESSING", lease_until=1)
    world.dead_letter(queued, status="QUEUED")
    run = world.run({"request": {"max_messages": 2}})
    for message in (processing, queued):
        found = world.row(message)
        assert [event["event"] for event in found["journey"]] == ["dead", "redriven"]
        assert found["journey"][0]["reason_type"] == "ConsumerCrashed"
        assert (found["journey"][1]["run_id"], found["journey"][1]["number"]) == (run.name, 1)
        assert (found["status"], found["redriven_by"]) == ("REDRIVEN", run.name)


@scenario()
def noted_when_left_out(world: World) -> None:
    """What a filter leaves out is noted as dead, once, and listed as any other dead letter."""
    over = {"PROCESSING": {"lease_until": 1}}
    for status in ("ACCEPTED", "QUEUED", "PROCESSING"):
        world.dead_letter(world.message(), status=status, **over.get(status, {}))
    unknown = world.message()
    world.put_copy("DeadLetter", unknown)
    foreign = f"sqs:{world.put_on_dlq('hello', world.name('nobody'))}"
    expected = ["ConsumerCrashed"] * 3 + ["UnknownMessage", "InvalidEnvelope"]
    keys = [*(message.message_id for message in world.messages), foreign]
    letters = world.queued("DeadLetter")
    left = {"request": {"filter": {"group_id": "none"}}}

    run = world.run(left)

    assert run.output["left"] == 5
    noted = [row(world.stack, "Messages", key) for key in keys]
    for found, reason, letter in zip(noted, expected, letters, strict=True):
        assert found.keys() >= LISTED
        assert (found["status"], found["trouble"], found["redrives"]) == ("DEAD", "DEAD", 0)
        assert (found["reason"]["type"], found["body"]) == (reason, letter["Body"])
        if sent_at := letter["Attributes"].get("SentTimestamp"):  # moto shows none
            moment = datetime.fromtimestamp(int(sent_at) / 1_000, UTC)
            assert found["dead_at"] == clock.text(moment)
        assert "expires_at" not in found
        (event,) = found["journey"]
        assert (event["event"], event["reason_type"], event["run_id"]) == ("dead", reason, run.name)
    assert noted[-1]["type"] == "foreign"
    world.run(left)
    assert [row(world.stack, "Messages", key) for key in keys] == noted  # once is enough

    assert world.run({"request": {"max_messages": 5}}).output["quarantined"] == 2
    for key, reason, body in zip(keys[3:], expected[3:], (unknown.body(), "hello"), strict=True):
        assert quarantine_of(world.stack, key) == (reason, body)
        journey = row(world.stack, "Messages", key)["journey"]
        assert [(e["event"], e["reason_type"]) for e in journey[1:]] == [("quarantined", reason)]
    assert len(world.queued("Work")) == 3


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
    old, young = (
        world.message(first_sent_at=clock.text(clock.read(clock.now()) - timedelta(days=days)))
        for days in (14.01, 13.99)
    )
    for message in (old, young):
        world.dead_letter(message)
    world.run({"request": {"max_messages": 2}})
    assert quarantine_of(world.stack, old.message_id) == ("TooOld", old.body())
    assert fate(world, old) == ("QUARANTINED", 0)
    assert [letter["Body"] for letter in world.queued("Work")] == [young.body()]


@scenario()
def copies_of_one_message(world: World) -> None:
    """Of two copies one is redriven and the other left; once processed, it is deleted."""
    message = world.message()
    world.dead_letter(message)
    world.put_copy("DeadLetter", message)
    first = world.run({"request": {"max_messages": 2}})
    assert (first.output["redriven"], first.output["left"]) == (1, 1)
    assert world.row(message)["redrives"] == len(world.queued("Work")) == 1
    assert all_visible(world.stack)
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
    stored = world.row(message)
    assert world.run({"request": {"max_messages": 1}}).output["already_processed"] == 1
    assert world.row(message) == stored
    assert world.queued("DeadLetter") == []


@scenario()
def redriven_by_this_very_run(world: World) -> None:
    """A message that this run redrove and that died again is left, with its group behind it."""
    group = world.name("group")
    message, later = world.message(group_id=group), world.message(group_id=group)
    other = world.message()
    world.dead_letter(message, redrives=1, redrive_mark=f"{world.next_run}#0.0")
    world.dead_letter(later)
    world.dead_letter(other)
    first = world.run({"request": {"max_messages": 3}})
    assert (first.output["redriven"], first.output["left"]) == (1, 2)
    assert [letter["Body"] for letter in world.queued("Work")] == [other.body()]
    assert (fate(world, message), fate(world, later)) == (("DEAD", 1), ("DEAD", 0))
    assert all_visible(world.stack)
    world.run({"request": {"max_messages": 2}})
    assert (fate(world, message), fate(world, later)) == (("REDRIVEN", 2), ("REDRIVEN", 1))


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
    """A copy from before an edit goes with the edited body from the ledger, in its place."""
    group = world.name("group")
    before, message, after = (world.message(group_id=group) for _ in range(3))
    edited = world.version(message, amount=11.0)
    body = edited.body() + " \n"  # the very bytes
    world.dead_letter(before)
    world.dead_letter(
        message,
        payload_hash=edited.payload_hash,
        superseded_hashes=["0" * 64, message.payload_hash],
        body=body,
    )
    world.dead_letter(after)
    world.run({"request": {"max_messages": 3}})
    bodies = [letter["Body"] for letter in world.queued("Work")]
    assert bodies == [before.body(), body, after.body()]


@scenario()
def one_of_each(world: World) -> None:
    """In one batch each message ends as it should, and the healthy one is sent."""
    healthy, spent, unknown, processed, discarded = (world.message() for _ in range(5))
    wrong, taken = world.message(currency="euro"), world.message()
    world.dead_letter(healthy, redrives=MAX_REDRIVES - 1)
    world.dead_letter(spent, redrives=MAX_REDRIVES)
    world.put_copy("DeadLetter", unknown)
    world.dead_letter(processed, status="PROCESSED")
    world.dead_letter(discarded, status="DISCARDED")
    world.dead_letter(wrong)
    foreign = world.put_on_dlq("hello", world.name("nobody"))
    given.record(world, taken, "QUEUED")
    twin = world.version(taken, amount=99.0)
    conflicting = world.put_on_dlq(twin.body(), twin.group_id)
    run = world.run({"request": {"max_messages": 8}})
    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]
    assert run.output == run.output | {
        "redriven": 1,
        "quarantined": 5,
        "already_processed": 1,
        "discarded": 1,
    }
    assert [letter["Body"] for letter in world.queued("Work")] == [healthy.body()]
    assert world.queued("DeadLetter") == []
    for key, *why in (
        (spent.message_id, "RedriveLimitReached", spent.body()),
        (unknown.message_id, "UnknownMessage", unknown.body()),
        (wrong.message_id, "InvalidPayload", wrong.body()),
        (f"sqs:{foreign}", "InvalidEnvelope", "hello"),
        (f"sqs:{conflicting}", "MessageConflict", twin.body()),
    ):
        assert quarantine_of(world.stack, key) == tuple(why)
    assert fate(world, healthy) == ("REDRIVEN", MAX_REDRIVES)
    assert fate(world, spent) == ("QUARANTINED", MAX_REDRIVES)
    assert fate(world, taken) == ("QUEUED", 0)
    assert [fate(world, m)[0] for m in (processed, discarded)] == ["PROCESSED", "DISCARDED"]

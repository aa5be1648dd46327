"""The checker can fail: a world damaged in one way breaks that invariant, and no other."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from moto.sqs.models import sqs_backends

from tests.engines.moto_engine.stack import MotoStack
from tests.support import entry
from tests.support.cloud import ACCOUNT, REGION
from tests.support.invariants import (
    BYTES,
    EFFECT,
    GUARD,
    LOST,
    MOVED,
    ORDER,
    REST,
    RUN,
    TRANSITION,
    TWO_STATES,
    broken,
)
from tests.support.messages import an_operator
from tests.support.world import World
from workflows.messages import message_types
from workflows.operator import discard


class Ended(World):
    """A world at rest whose messages ended in every way that there is."""

    def __init__(self, stack):
        super().__init__(stack)
        self.processed = self.message()
        self.quarantined = self.message()
        self.discarded = self.message()
        self.dead_letter(self.processed)
        self.dead_letter(self.quarantined, redrives=3)
        self.dead_letter(self.discarded)
        why = discard.DiscardRequest(reason="The customer left.")
        discard.discard(self.discarded.message_id, why, an_operator())
        self.strange_id = self.put_on_dlq("no envelope", self.name("strangers"))
        self.redrive()
        self.group = self.name("g")
        self.entries = [
            self.message(type="entry", group_id=self.group, number=number, **payload)
            for number, payload in enumerate(({}, {}, {"fails": 99}, {}, {}), 1)
        ]
        for message in self.entries:
            self.send(message)
        self.settle()


@pytest.fixture(scope="module")
def world() -> Iterator[Ended]:
    with ExitStack() as exits:
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        patch.setitem(message_types.TYPES, "entry", entry)
        yield Ended(exits.enter_context(MotoStack()))


def test_every_end_is_there_and_nothing_is_broken(world):
    statuses = [world.row(message)["status"] for message in world.messages]

    assert statuses[:3] == ["PROCESSED", "QUARANTINED", "DISCARDED"]
    assert statuses[3:] == ["PROCESSED", "PROCESSED", "DEAD", "PARKED", "PARKED"]
    assert world.effects(world.group) == [1, 2]
    assert broken(world, moved=[world.processed]) == []


def test_healthy_message_that_did_not_move_is_found(world):
    assert names(broken(world, moved=[world.quarantined])) == {MOVED}


def test_move_that_the_table_of_transitions_lacks_is_found(world):
    row = world.row(world.processed)
    for status in ("QUEUED", "PROCESSED"):
        put(world, row | {"status": status})

    (sentence,) = broken(world)

    assert names([sentence]) == {TRANSITION}
    assert "from PROCESSED to QUEUED" in sentence
    world.stack.forget_moves()


# How a world is damaged


def names(sentences: list[str]) -> set[str]:
    return {sentence.partition(":")[0] for sentence in sentences}


@contextmanager
def changed(world, table, columns, **key) -> Iterator[None]:
    """Change columns of an item for a while, those that are None away; None takes it all away."""
    client, name = world.stack.client("dynamodb"), world.stack.outputs[f"{table}TableName"]
    plain = TypeSerializer().serialize
    at = {column: plain(value) for column, value in key.items()}
    before: Any = client.get_item(TableName=name, Key=at).get("Item")
    if columns is None:
        client.delete_item(TableName=name, Key=at)
    else:
        after = (before or at) | {column: plain(value) for column, value in columns.items()}
        kept = {column: value for column, value in after.items() if value != {"NULL": True}}
        client.put_item(TableName=name, Item=kept)
    world.stack.forget_moves()
    yield
    if before is None:
        client.delete_item(TableName=name, Key=at)
    else:
        client.put_item(TableName=name, Item=before)
    world.stack.forget_moves()


def put(world, row):
    plain = TypeSerializer().serialize
    item = {column: plain(value) for column, value in row.items()}
    name = world.stack.outputs["MessagesTableName"]
    world.stack.client("dynamodb").put_item(TableName=name, Item=item)


def ledger(world, message, **columns):
    return changed(world, "Messages", columns, message_id=message.message_id)


def fence(world, **columns):
    return changed(world, "Groups", columns, group_id=world.group, item="FENCE")


def parked(world, number):
    """Return the key of the parked item of an entry."""
    answer = world.stack.client("dynamodb").scan(TableName="Groups")
    message_id = world.entries[number - 1].message_id
    (item,) = (i for i in answer["Items"] if i.get("message_id", {}).get("S") == message_id)
    return {"group_id": world.group, "item": item["item"]["S"]}


def effects(world, *numbers):
    return changed(world, "Accounts", {"effects": list(numbers)}, account_id=world.group)


@contextmanager
def letter(world, **columns) -> Iterator[None]:
    """Change the dead letter, by names of moto's; or take it away."""
    queue = sqs_backends[ACCOUNT][REGION].queues["local-dead-letters.fifo"]
    (found,) = queue._messages
    if not columns:
        queue._messages.remove(found)
    before = {name: getattr(found, name) for name in columns}
    for name, value in columns.items():
        setattr(found, name, value)
    yield
    for name, value in before.items():
        setattr(found, name, value)
    if not columns:
        queue._messages.append(found)


@contextmanager
def copy_on_work(world) -> Iterator[None]:
    sqs, url = world.stack.client("sqs"), world.stack.outputs["WorkQueueUrl"]
    sqs.send_message(
        QueueUrl=url,
        MessageBody=world.processed.body(),
        MessageGroupId=world.processed.group_id,
        MessageDeduplicationId="again",
    )
    yield
    sqs.purge_queue(QueueUrl=url)


@contextmanager
def both(*damages) -> Iterator[None]:
    with ExitStack() as exits:
        for damage in damages:
            exits.enter_context(damage)
        yield


def everything(world, table):
    return world.stack.client("dynamodb").scan(TableName=table)["Items"]


@contextmanager
def tried_after_its_effect(world) -> Iterator[None]:
    """Let a worker process what the ledger knows as processed, which changes nothing to be seen."""
    before = [everything(world, table) for table in ("Messages", "Accounts")]
    message_types.process(world.processed)
    assert [everything(world, table) for table in ("Messages", "Accounts")] == before
    yield
    world.stack.tried_again.clear()


def parked_is_lost(world):
    lost = changed(world, "Groups", None, **parked(world, 5))
    return both(lost, fence(world, parked=1))


def effect_is_undone(world):
    account = {"account_id": world.processed.group_id}
    applied = {"account_id": f"APPLIED#{world.processed.message_id}"}
    return both(
        changed(world, "Accounts", None, **account), changed(world, "Accounts", None, **applied)
    )


def parked_item(world, message):
    item = {"message_id": message.message_id, "body": message.body()}
    return changed(world, "Groups", item, group_id=world.group, item="PARKED#9")


def one_byte_changed(text):
    return text.replace('"currency":"EUR"', '"currency":"EUX"').replace('"number":', '"number" :')


DAMAGES = {
    "dead letter is gone": (LOST, letter),
    "parked message is gone": (LOST, parked_is_lost),
    "quarantined body is gone": (LOST, lambda w: ledger(w, w.quarantined, body=None)),
    "quarantine has no reason": (LOST, lambda w: ledger(w, w.quarantined, reason=None)),
    "stranger is gone": (
        LOST,
        lambda w: changed(w, "Messages", None, message_id=f"sqs:{w.strange_id}"),
    ),
    "row forgot a processed message": (
        LOST,
        lambda w: changed(w, "Messages", None, message_id=w.entries[0].message_id),
    ),
    "processed without an effect": (LOST, effect_is_undone),
    "fence is gone": (LOST, lambda w: changed(w, "Groups", None, group_id=w.group, item="FENCE")),
    "dead and parked": (
        TWO_STATES,
        lambda w: both(fence(w, parked=3), parked_item(w, w.entries[2])),
    ),
    "processed and listed": (TWO_STATES, lambda w: ledger(w, w.processed, trouble="DEAD")),
    "dead and not listed": (TWO_STATES, lambda w: ledger(w, w.entries[2], trouble=None)),
    "parked twice": (
        TWO_STATES,
        lambda w: both(fence(w, parked=3), parked_item(w, w.entries[3])),
    ),
    "retrying and nothing retries": (
        REST,
        lambda w: ledger(
            w, w.entries[2], status="RETRYING", trouble="RETRYING", body=w.entries[2].body()
        ),
    ),
    "effect twice": (EFFECT, lambda w: effects(w, 1, 2, 2)),
    "tried after its effect": (EFFECT, tried_after_its_effect),
    "balance twice": (
        EFFECT,
        lambda w: changed(w, "Accounts", {"balance": 20}, account_id=w.processed.group_id),
    ),
    "effects swapped": (ORDER, lambda w: effects(w, 2, 1)),
    "times swapped": (ORDER, lambda w: ledger(w, w.entries[1], processed_at="2000-01-01T00:00")),
    "effect before the holder's": (ORDER, lambda w: effects(w, 1, 2, 4)),
    "redriven too often": (GUARD, lambda w: ledger(w, w.quarantined, redrives=4)),
    "tried too often": (GUARD, lambda w: ledger(w, w.entries[2], attempts=5)),
    "redrive was not counted": (GUARD, lambda w: letter(w, deduplication_id="x.r1")),
    "try was not counted": (GUARD, lambda w: ledger(w, w.entries[2], attempts_total=3)),
    "byte of a dead letter": (
        BYTES,
        lambda w: letter(w, body=one_byte_changed(w.entries[2].body())),
    ),
    "byte in quarantine": (
        BYTES,
        lambda w: ledger(w, w.quarantined, body=one_byte_changed(w.quarantined.body())),
    ),
    "byte of a parked body": (
        BYTES,
        lambda w: changed(
            w, "Groups", {"body": one_byte_changed(w.entries[3].body())}, **parked(w, 4)
        ),
    ),
    "copy on the work queue": (REST, copy_on_work),
    "waits for a settled message": (
        REST,
        lambda w: fence(w, holder=w.entries[1].message_id),
    ),
    "fence miscounts": (REST, lambda w: fence(w, parked=3)),
    "run never ended": (
        RUN,
        lambda w: changed(w, "Runs", {"status": "RUNNING"}, run_id=w.executions[0].name),
    ),
    "run miscounts": (
        RUN,
        lambda w: changed(w, "Runs", {"received": 9}, run_id=w.executions[0].name),
    ),
    "run counts what it did not guard": (
        RUN,
        lambda w: changed(w, "Runs", {"redriven": 2, "received": 5}, run_id=w.executions[0].name),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_breaks_its_invariant_and_no_other(world, damage):
    invariant, do = DAMAGES[damage]

    with do(world):
        found = broken(world)

    assert names(found) == {invariant}, found
    assert broken(world) == []  # mended again

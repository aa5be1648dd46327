"""The registry, table `Queues`: which queues there are beside the built-in pair.

A row a queue. An item beside it says whose a dead-letter queue is, so that of two registrations at
the same time one has it: both are written in one transaction, on conditions.
"""

import json
from collections.abc import Callable
from typing import Any

from workflows.messages.ids import DEFAULT_QUEUE
from workflows.queues.queue import Queue, default
from workflows.runtime.aws import dynamodb, plain, scan, transact
from workflows.runtime.refusals import Conflict, Invalid, NotFound
from workflows.runtime.settings import settings

# What DynamoDB would change: it knows no floats.
_NUMBERS = ("max_redrives", "max_age_seconds", "retention_seconds")
_AS_JSON = ("schema", "redrive_request")

Part = dict[str, Any]
# The parts of a transaction that tell of a change: who made it, and what the queue was before.
Record = Callable[[Any, Queue | None], list[Part]]


class UnknownQueue(NotFound):
    """No queue has that name."""

    code = "unknown_queue"


class DeadLetterQueueTaken(Invalid):
    """The dead-letter queue is another queue's already."""

    code = "dead_letter_queue_taken"


class QueueChanged(Conflict):
    """The registration changed meanwhile: look at it again, then ask again."""

    code = "queue_changed"


class QueueInUse(Conflict):
    """A run is active on the queue, or messages of it are in trouble."""

    code = "queue_in_use"


def get(name: str) -> Queue:
    """Return a queue by its name.

    Raises:
        UnknownQueue: none has it.
    """
    if name == DEFAULT_QUEUE:
        return default()
    return _read(_row(name))


def every() -> list[Queue]:
    """Return all queues, the built-in pair first, the others by name."""
    rows = scan(settings().queues_table, FilterExpression="attribute_not_exists(belongs_to)")
    return [default(), *sorted(map(_read, rows), key=lambda queue: queue.name)]


def _nothing(_by: Any, _before: Queue | None) -> list[Part]:
    return []


def _none(_queue: Queue) -> str | None:
    return None


def register(
    queue: Queue,
    by: Any,
    record: Record = _nothing,
    trouble: Callable[[Queue], str | None] = _none,
) -> Queue | None:
    """Add a queue, or put it in the place of the one of its name, which is returned.

    Args:
        queue: whose settings were checked.
        by: who registers it.
        record: what is written with it.
        trouble: says in a sentence why the one of its name may not be changed to it.

    Raises:
        QueueInUse: there is such a sentence.
        DeadLetterQueueTaken: its dead-letter queue is another one's.
        QueueChanged: the same queue was registered or removed at the same time.
    """
    row = _find(queue.name)
    before = _read(row) if row else None
    if before and (sentence := trouble(before)):
        raise QueueInUse(sentence)
    parts = [_put(_written(queue, row), row), _claim(queue)]
    if before and before.dead_letter_arn != queue.dead_letter_arn:
        parts.append(_release(before))
    refused = transact([*parts, *record(by, before)])
    if refused is None:
        return before
    if owner := plain(refused[1]).get("belongs_to"):
        raise DeadLetterQueueTaken(f"The dead-letter queue belongs to the queue {owner}.")
    raise QueueChanged


def remove(
    name: str,
    by: Any,
    force: bool = False,
    record: Record = _nothing,
    trouble: Callable[[Queue], str | None] = _none,
) -> Queue:
    """Forget a queue, and return what it was; its queues and messages stay as they are.

    Args:
        name: whose.
        by: who removes it.
        force: though there is `trouble`.
        record: what is written with it.
        trouble: says in a sentence why the queue is still needed.

    Raises:
        UnknownQueue: there is none.
        QueueInUse: it is still needed.
        QueueChanged: it was registered anew or removed at the same time.
    """
    row = _row(name)
    queue = _read(row)
    if not force and (sentence := trouble(queue)):
        raise QueueInUse(sentence)
    gone: Part = {"Delete": _about(name) | _as_seen(row)}
    if transact([gone, _release(queue), *record(by, queue)]) is not None:
        raise QueueChanged
    return queue


def _row(name: str) -> dict[str, Any]:
    row = _find(name)
    if row is None or "belongs_to" in row:
        raise UnknownQueue(f"There is no queue {name}.")
    return row


def _find(name: str) -> dict[str, Any] | None:
    return dynamodb().get_item(**_about(name), ConsistentRead=True).get("Item")


def _about(key: str) -> Part:
    return {"TableName": settings().queues_table, "Key": {"queue": key}}


def _written(queue: Queue, seen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the row of a queue; `revision` tells it from what it was."""
    found = queue.as_dict() | {"queue": queue.name, "revision": (seen or {}).get("revision", 0) + 1}
    del found["name"]
    return found | {name: json.dumps(found[name]) for name in _AS_JSON if name in found}


def _read(row: dict[str, Any]) -> Queue:
    found: dict[str, Any] = {name: int(row[name]) for name in _NUMBERS if name in row}
    found |= {name: json.loads(row[name]) for name in _AS_JSON if name in row}
    return Queue.of(row | found | {"name": row["queue"]})


def _put(row: dict[str, Any], seen: dict[str, Any] | None) -> Part:
    condition = _as_seen(seen) if seen else {"ConditionExpression": "attribute_not_exists(queue)"}
    return {"Put": {"TableName": settings().queues_table, "Item": row} | condition}


def _as_seen(row: dict[str, Any]) -> Part:
    return {
        "ConditionExpression": "revision = :seen",
        "ExpressionAttributeValues": {":seen": row["revision"]},
    }


def _claim(queue: Queue) -> Part:
    """Return the part that makes a dead-letter queue a queue's, unless it is another one's."""
    return {
        "Put": {
            "TableName": settings().queues_table,
            "Item": {"queue": _key(queue), "belongs_to": queue.name},
            "ConditionExpression": "attribute_not_exists(queue) OR belongs_to = :name",
            "ExpressionAttributeValues": {":name": queue.name},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def _release(queue: Queue) -> Part:
    return {
        "Delete": _about(_key(queue))
        | {
            "ConditionExpression": "belongs_to = :name",
            "ExpressionAttributeValues": {":name": queue.name},
        }
    }


def _key(queue: Queue) -> str:
    # No name of a queue has a space.
    return f"dead-letter-queue {queue.dead_letter_arn}"

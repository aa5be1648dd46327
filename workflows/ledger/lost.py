"""Lost: what trusts a queue that kept it no longer, found by time because SQS cannot be asked.

A message that was sent and that nobody has claimed is on the work queue, says its row. If the
queue dropped it, because the consumer was off for longer than the queue keeps a message, or
somebody purged it, nothing ever tells. So a row that no worker has written for longer than that is
listed as dead, with the reason `LostByQueue`; its status stays, under which a copy that comes after
all is claimed.

To find such rows costs a healthy message nothing: the sweep reads the table once a day, in parts,
instead of keeping an index of what is under way (docs/decisions.md).
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from workflows.ledger import journey, lookup, trouble, writes
from workflows.ledger.status import SENT, UNDER_WAY, Trouble
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.messages.reasons import reason_of
from workflows.runtime import clock
from workflows.runtime.aws import dynamodb
from workflows.runtime.parts import Parts
from workflows.runtime.settings import settings

# MessageRetentionPeriod of DeadLetterQueue in template.yaml.
DEAD_LETTER_RETENTION_SECONDS = 1_209_600
# SQS counts from when it took the message, we from a write beside that; a run's batch lies between.
_SLACK_SECONDS = 900
_PASS_SECONDS = 86_400
# Of a sweep that has 300 s and many fences to look at.
_SECONDS_A_SWEEP = 45
_CURSOR = "SWEEP#LOST"


class LostByQueue(Exception):
    """No queue is known to have the message: none keeps one for so long, or it was purged."""


def is_lost(row: dict[str, Any]) -> bool:
    """Tell whether a row is of a message whose copy the work queue cannot have any more.

    A worker's claim writes the row, so one that is at work is none. What a worker that died left
    `PROCESSING` may have been moved to the dead-letter queue by SQS, so it is not known to be gone.
    """
    # Noted as `REDRIVING` is also what the last turn of a run sent that came to its end. What is
    # `SENDING` is sent again, and what is `DEAD` was let go of.
    return (
        row["status"] in UNDER_WAY
        # Nobody tells what a consumer that is not ours has made of a message.
        and queue_of(row["message_id"]) == DEFAULT_QUEUE
        and row.get("trouble", Trouble.REDRIVING) == Trouble.REDRIVING
        and clock.seconds_since(_written(row)) > _kept_seconds()
    )


def note(row: dict[str, Any]) -> bool:
    """List such a message as dead; False if somebody was faster."""
    event = journey.event("lost", run_id=lookup.run_of(row), number=int(row["redrives"]))
    seen = "updated_at = :seen" if "updated_at" in row else "attribute_not_exists(updated_at)"
    won, _ = writes.update(
        row["message_id"],
        # Both times, so that whatever writes the row after this ends what they say together.
        "SET trouble = :dead, listed = :listed, reason = :reason, updated_at = :now,"
        f" dead_at = :now, {journey.APPEND} REMOVE expires_at",
        "#status = :status AND redrives = :redrives"
        f" AND (attribute_not_exists(trouble) OR trouble = :redriving) AND {seen}",
        {
            ":reason": reason_of(LostByQueue()),
            ":status": row["status"],
            ":redrives": row["redrives"],
        }
        | ({":seen": row["updated_at"]} if "updated_at" in row else {})
        | journey.values(event),
    )
    return won


def is_gone(row: dict[str, Any]) -> bool:
    """Tell whether no queue is known to have what is listed as dead, so that no run finds it.

    The work queue lost it, or the dead-letter queue had it for longer than it keeps a message. What
    was `PROCESSING` when it was missed may lie there, and is gone only after that time.
    """
    return _was_dropped_unclaimed(row) or _is_outdated(row)


def count_gone(queue: str) -> int:
    """Count those of a queue's dead letters that are gone, by the index."""
    values = {f":{status.lower()}": status for status in SENT}
    rows = trouble.read_all(
        Trouble.DEAD,
        ["status", "dead_at", "updated_at"],
        queue,
        # A filter may not name the index's own key, so `is_gone` decides.
        FilterExpression=f"#status IN ({', '.join(values)}) OR #dead_at < :before",
        ExpressionAttributeValues=values | {":before": _dropped_before()},
    )
    return sum(map(is_gone, rows))


def _was_dropped_unclaimed(row: dict[str, Any]) -> bool:
    """Tell whether `note` was the last to write a row: a guard, a claim or a let-go would show."""
    return row["status"] in SENT and row.get("dead_at") == row["updated_at"]


def _is_on_neither_queue(row: dict[str, Any]) -> bool:
    """Tell whether the dead-letter queue dropped a message, and whatever a run sent is dropped."""
    return _is_outdated(row) and clock.seconds_since(row["updated_at"]) > _kept_seconds()


def _is_outdated(row: dict[str, Any]) -> bool:
    return "dead_at" in row and str(row["dead_at"]) < _dropped_before()


def _dropped_before() -> str:
    kept = timedelta(seconds=DEAD_LETTER_RETENTION_SECONDS + _SLACK_SECONDS)
    return clock.text(clock.read(clock.now()) - kept)


def send_again(row: dict[str, Any]) -> bool:
    """Note that a producer sends a lost message again; False if it is not, or somebody was faster.

    The row begins anew as `ACCEPTED`, with its past. If nobody sends it then, it is lost again. Not
    while a copy may be in being: one that a run guarded, or that waits on the dead-letter queue.
    """
    # One that died with its body in the ledger is retried by a person, and not by its producer.
    mine = row.get("trouble") == Trouble.DEAD and (row["status"] in UNDER_WAY or "body" not in row)
    if not (mine and (_was_dropped_unclaimed(row) or _is_on_neither_queue(row))):
        return False
    won, _ = writes.update(
        row["message_id"],
        "SET #status = :accepted, updated_at = :now, attempts = :zero, expires_at = :expires_at,"
        f" {journey.APPEND} REMOVE trouble, listed, reason, dead_at, redriven_by, lease_until",
        "#status = :status AND redrives = :redrives AND trouble = :dead AND updated_at = :seen"
        " AND payload_hash = :known",
        {
            ":zero": 0,
            ":expires_at": writes.expiry(),
            ":status": row["status"],
            ":redrives": row["redrives"],
            ":seen": row["updated_at"],
            ":known": row["payload_hash"],
        }
        | journey.values(journey.event("sent_again")),
    )
    return won


def sweep() -> list[str]:
    """Look for lost messages for a while, once a day through the whole table; return their ids.

    A pass goes on where the sweep before stopped.

    Raises:
        Exception: the first failure, after all others of this sweep were noted.
    """
    progress = _progress()
    after: str | None = progress.get("after")
    if after is None and clock.epoch() < int(progress.get("due_at", 0)):
        return []
    due_at = int(progress["due_at"]) if after else clock.epoch() + _PASS_SECONDS
    found: list[str] = []
    parts = Parts()  # a row that cannot be written holds up no other
    end = time.monotonic() + _SECONDS_A_SWEEP
    for row, place in _candidates(after):
        after = place
        if row is not None and parts.do(_note, row):
            found.append(str(row["message_id"]))
        if time.monotonic() > end:
            break
    _keep(after, due_at)
    parts.end()
    return found


def _note(row: dict[str, Any]) -> bool:
    return is_lost(row) and note(row)


def _candidates(after: str | None) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    """Yield what may be lost, and the id after which to go on; None at the end of the table."""
    arguments = _only_trusting()
    while True:
        start: Any = {"ExclusiveStartKey": {"message_id": after}} if after else {}
        answer: Any = dynamodb().scan(**arguments, **start)
        for row in answer["Items"]:
            yield row, str(row["message_id"])
        after = answer.get("LastEvaluatedKey", {}).get("message_id")
        yield None, after
        if after is None:
            return


def _only_trusting() -> dict[str, Any]:
    """Return what DynamoDB can leave out; `is_lost` decides."""
    values = {f":{status.lower()}": status for status in UNDER_WAY}
    columns = ("message_id", "status", "redrives", "trouble", "updated_at", "first_sent_at")
    names = {f"#{name}": name for name in (*columns, "redriven_by")}
    return {
        "TableName": settings().messages_table,
        "FilterExpression": f"#status IN ({', '.join(values)})"
        " AND (attribute_not_exists(#trouble) OR #trouble = :redriving)",
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values | {":redriving": Trouble.REDRIVING},
    }


def _written(row: dict[str, Any]) -> str:
    return str(row.get("updated_at", row["first_sent_at"]))


def _kept_seconds() -> int:
    return settings().work_queue_retention_seconds + _SLACK_SECONDS


def _progress() -> dict[str, Any]:
    answer: Any = dynamodb().get_item(
        TableName=settings().runs_table, Key={"run_id": _CURSOR}, ConsistentRead=True
    )
    return dict(answer.get("Item", {}))


def _keep(after: str | None, due_at: int) -> None:
    dynamodb().update_item(
        TableName=settings().runs_table,
        Key={"run_id": _CURSOR},
        UpdateExpression="SET due_at = :due_at"
        + (", #after = :after" if after else " REMOVE #after"),
        ExpressionAttributeNames={"#after": "after"},
        ExpressionAttributeValues={":due_at": due_at} | ({":after": after} if after else {}),
    )

"""The operator's view of the messages in trouble: what failed, why, since when, what is left."""

import json
from typing import Any

from pydantic import BaseModel, Field

from workflows.ledger import lookup, lost, trouble
from workflows.ledger.lost import DEAD_LETTER_RETENTION_SECONDS
from workflows.ledger.status import Status, Trouble
from workflows.messages.filters import Filter
from workflows.messages.ids import queue_of
from workflows.queues import masks, registry
from workflows.queues.queue import Queue
from workflows.runtime import clock
from workflows.runtime.settings import settings

# A Lambda answers with 6 MB at most; what is beside the bodies needs far less than the rest.
_BODIES_BYTES = 4_000_000
_CAUSES_SHOWN = 1_000

_ExampleTime = Field(examples=["2026-11-24T12:00:00.123Z"])
_Fingerprint = Field(default=None, examples=["4f7d8c1b22a09e63"])


class Reason(BaseModel):
    """Why a message is in trouble: the error's class and what it said."""

    type: str = Field(examples=["AccountFrozen"])
    message: str = Field(examples=["Account acct-7 is frozen."])


class Failure(BaseModel):
    """A message in trouble.

    `attempts` counts since the last redrive, `age_seconds` since the message was first sent.
    `redrives_left`: before it is quarantined. `fingerprint`: the same for failures alike.
    """

    message_id: str = Field(examples=["payment-2"])
    group_id: str = Field(examples=["acct-7"])
    type: str = Field(examples=["transaction"])
    reason: Reason | None = None
    fingerprint: str | None = _Fingerprint
    attempts: int = Field(examples=[5])
    redrives: int = Field(examples=[1])
    redrives_left: int = Field(examples=[2])
    first_sent_at: str = _ExampleTime
    age_seconds: int = Field(examples=[7_200])
    edited: bool


class DeadLetter(Failure):
    """A message on the dead-letter queue, which SQS drops 14 days after it came there.

    `lost`: no queue is known to have it, so no run finds it. Retry it; if the answer is
    `body_missing`, send it again under its id.
    """

    dead_at: str = _ExampleTime
    hours_until_dropped: float = Field(examples=[335.9])
    lost: bool = Field(examples=[False])


class QuarantinedMessage(Failure):
    """A message that no run touches any more. Its `body` is shown to operators only."""

    quarantined_at: str = _ExampleTime
    body: str | None = None


class Sample(BaseModel):
    """One message of many, the one that failed last, and what its error said."""

    message_id: str = Field(examples=["payment-2"])
    message: str = Field(examples=["Account acct-7 is frozen."])


class FailureGroup(BaseModel):
    """Dead letters that failed alike: same error, same message but for numbers and ids, same type.

    `oldest` and `newest`: when the first and the last of them died.
    """

    fingerprint: str | None = _Fingerprint
    type: str = Field(examples=["transaction"])
    reason_type: str = Field(examples=["AccountFrozen"])
    sample: Sample
    count: int = Field(examples=[42])
    oldest: str = _ExampleTime
    newest: str = _ExampleTime


class FailureGroups(BaseModel):
    """The largest first. Not `complete` if there are more than 1,000 groups or 100,000 letters."""

    groups: list[FailureGroup]
    complete: bool


def dead_letters(
    wanted: Filter, limit: int, cursor: str | None, queue: Queue, *, masked: bool = False
) -> tuple[list[DeadLetter], str | None]:
    """Return a page of a queue's dead letters, longest dead first, and the next page's cursor.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not of this list.
        workflows.queues.masks.Masked: what is wanted is `masked` for who asks.
    """
    rows, following = _page(Trouble.DEAD, wanted, limit, cursor, queue, masked=masked)
    return [_dead_letter(row, queue) for row in rows], following


def quarantined(
    wanted: Filter, limit: int, cursor: str | None, queue: Queue, *, masked: bool = False
) -> tuple[list[QuarantinedMessage], str | None]:
    """Return a page of quarantined messages, like `dead_letters`; bodies are always `masked`.

    With large bodies a page ends early, so that it can be answered.
    """
    rows, following = _page(Trouble.QUARANTINED, wanted, limit, cursor, queue, masked=masked)
    if masked:
        return [_quarantined(row, None) for row in rows], following
    whole = lookup.get_many((row["message_id"] for row in rows), whole=True)
    found: list[QuarantinedMessage] = []
    size = 0
    for row in rows:
        body = whole.get(row["message_id"], {}).get("body")
        size += len(json.dumps(json.dumps(body)))  # API Gateway wants the answer as a text
        if found and size > _BODIES_BYTES:
            return found, trouble.cursor_after(Trouble.QUARANTINED, rows[len(found) - 1])
        found.append(_quarantined(row, body))
    return found, following


def masked(row: dict[str, Any]) -> dict[str, Any]:
    """Return a message's row as who is no operator is to see it."""
    name = queue_of(str(row["message_id"]))
    try:
        queue = registry.get(name)
    except registry.UnknownQueue:
        queue = None  # and nobody knows what it masked
    return masks.masked(row, queue)


def causes(queue: Queue, *, masked: bool = False) -> FailureGroups:
    """Count all dead letters of a queue by what they failed of, the causes that most have first.

    Args:
        queue: whose.
        masked: whether who asks is not to see what the queue masks.
    """
    columns = ["message_id", "type", "reason", "dead_at", "updated_at"]
    found: dict[tuple[str | None, str], FailureGroup] = {}
    read = 0
    for read, row in enumerate(trouble.read_all(Trouble.DEAD, columns, queue.name), 1):
        _count(row, found, _seen(row, queue, masked=masked))
        if read == trouble.READ_AT_MOST:
            break
    largest = sorted(found.values(), key=lambda cause: (-cause.count, cause.oldest))
    return FailureGroups(
        groups=largest[:_CAUSES_SHOWN],
        complete=read < trouble.READ_AT_MOST and len(largest) <= _CAUSES_SHOWN,
    )


def _page(
    which: Trouble, wanted: Filter, limit: int, cursor: str | None, queue: Queue, *, masked: bool
) -> tuple[list[trouble.Row], str | None]:
    if masked:
        by = {"type": wanted.type, "group_id": wanted.group_id, "reason": wanted.reason}
        masks.check_filter(queue, **by, fingerprint=wanted.fingerprint)
    rows, following = trouble.page(which, wanted, limit, cursor, queue.name)
    return [_seen(row, queue, masked=masked) for row in rows], following


def _seen(row: trouble.Row, queue: Queue, *, masked: bool) -> trouble.Row:
    # Of what is shown: one of what is masked would tell whether a guess of it is right.
    told = masks.masked(row, queue) if masked else row
    return told | {"fingerprint": lookup.fingerprint_of(told)}


def _dead_letter(row: trouble.Row, queue: Queue) -> DeadLetter:
    kept = queue.retention_seconds or DEAD_LETTER_RETENTION_SECONDS
    left = kept - clock.seconds_since(_dead_at(row))
    if row["status"] == Status.PROCESSING:  # if SQS moved it, it did so before it was missed
        left -= settings().work_queue_retention_seconds
    gone = lost.is_gone(row)
    hours = 0 if gone else round(max(0, left) / 3_600, 1)
    return DeadLetter.model_validate(
        _failure(row) | {"dead_at": _dead_at(row), "hours_until_dropped": hours, "lost": gone}
    )


def _quarantined(row: trouble.Row, body: str | None) -> QuarantinedMessage:
    return QuarantinedMessage.model_validate(
        _failure(row) | {"quarantined_at": row["updated_at"], "body": body}
    )


def _failure(row: trouble.Row) -> dict[str, Any]:
    return row | {
        "redrives_left": lookup.redrives_left(row),
        "age_seconds": clock.seconds_since(row["first_sent_at"]),
        "edited": bool(row.get("superseded_hashes")),
    }


def _dead_at(row: trouble.Row) -> str:
    return str(row.get("dead_at", row["updated_at"]))


def _count(
    row: trouble.Row, causes: dict[tuple[str | None, str], FailureGroup], seen: trouble.Row
) -> None:
    """Count a dead letter by its cause, which is told as it is to be `seen`."""
    died, reason = _dead_at(row), seen.get("reason", {"type": "", "message": ""})
    key = (lookup.fingerprint_of(row), row["type"])
    cause = causes.setdefault(
        key,
        FailureGroup(
            fingerprint=key[0],
            type=seen["type"],
            reason_type=reason["type"],
            sample=Sample(message_id=row["message_id"], message=reason["message"]),
            count=0,
            oldest=died,
            newest=died,
        ),
    )
    cause.count += 1
    cause.oldest = min(cause.oldest, died)
    if died >= cause.newest:
        cause.newest = died
        cause.sample = Sample(message_id=row["message_id"], message=reason["message"])

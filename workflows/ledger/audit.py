"""The `Audit` table: who did what to which message, run or user, when and from where, and the end.

Records are only ever added. A record of what changed something is a part of the transaction that
changes it, so there is none without the other; a record of a refusal is written by itself. The
redrive machine's function adds the end of each run.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from boto3.dynamodb.types import DYNAMODB_CONTEXT

from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.runtime import clock, paging, period
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

Action = Literal[
    "start_run",
    "end_run",
    "skip_run",
    "cancel_run",
    "retry_message",
    "edit_message",
    "discard_message",
    "register_queue",
    "remove_queue",
    "register_type",
    "remove_type",
    "add_user",
    "change_user",
    "remove_user",
]
ACTOR_INDEX = "ActorIndex"
MESSAGE_INDEX = "MessageIndex"
# Of one page, when most of what is read may be of other queues.
_READ_AT_MOST = 10_000
_READ_AT_ONCE = 500
# Of these the input says the queue, if another one is meant than the built-in one.
_NAME_QUEUE = ("start_run", "register_queue", "remove_queue")


@dataclass(frozen=True)
class Actor:
    """Who acts, in which role, from which address, and under which trace."""

    email: str
    role: str
    source_ip: str
    trace_id: str


def entry(
    actor: Actor,
    action: Action,
    *,
    result: str,
    input: dict[str, Any],  # noqa: A002 - the column's name
    message_id: str | None = None,
    run_id: str | None = None,
    execution_arn: str | None = None,
    counters: dict[str, int] | None = None,
    queue: str | None = None,
    once_at: str | None = None,
    table: str | None = None,
) -> dict[str, Any]:
    """Return the record of an action as the part of a transaction; it never overwrites another.

    Args:
        actor: who acts.
        action: what was asked for.
        result: the status that it led to, or the class name of the error that refused it.
        input: what came with the request; never a payload or a body.
        message_id: the message it is about, if it is about one.
        run_id: likewise.
        execution_arn: of the execution that it started or stopped.
        counters: what a run did.
        queue: whose run or message it is, where message and input do not say so.
        once_at: when a run did it, for a record that a second try must not write again.
        table: by default the one of the settings.
    """
    at = once_at or clock.now()
    named = {"message_id": message_id, "run_id": run_id, "execution_arn": execution_arn}
    also = named | {"counters": counters, "queue": queue or _queue(action, message_id, input)}
    item = {
        "day": at[:10],
        "entry": f"{at}#{run_id if once_at else secrets.token_hex(8)}",
        "at": at,
        "actor": actor.email,
        "role": actor.role,
        "source_ip": actor.source_ip,
        "trace_id": actor.trace_id,
        "action": action,
        "result": result,
        "input": _storable(input),
    } | {name: value for name, value in also.items() if value is not None}
    return {
        "Put": {
            "TableName": table or settings().audit_table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(#day)",
            "ExpressionAttributeNames": {"#day": "day"},
        }
    }


def _queue(action: Action, message_id: str | None, asked: dict[str, Any]) -> str | None:
    if message_id is not None:
        return queue_of(message_id)
    return str(asked.get("queue", DEFAULT_QUEUE)) if action in _NAME_QUEUE else None


def unchanged(actor: Actor, action: Action, **about: Any) -> None:
    """Record an action that found its work done already; `about` is as for `entry`."""
    _write(entry(actor, action, result="UNCHANGED", **about))


def refused(actor: Actor, action: Action, error: Exception, **about: Any) -> None:
    """Record an action that an error refused; `about` is as for `entry`.

    An error that nobody foresaw may also have come after the deed: then its record is there too.
    """
    _write(entry(actor, action, result=type(error).__name__, **about))


def _write(part: dict[str, Any]) -> None:
    dynamodb().put_item(**part["Put"])


def _storable(value: Any) -> Any:
    """Return a JSON value as DynamoDB takes it; a number beyond its range becomes text."""
    if isinstance(value, dict):
        return {name: _storable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return DYNAMODB_CONTEXT.create_decimal(repr(value))
        except ArithmeticError:
            return repr(value)
    return value


def page(
    since: str | None,
    until: str | None,
    *,
    actor: str | None = None,
    message_id: str | None = None,
    queue: str | None = None,
    limit: int,
    cursor: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most `limit` records, newest first, and the cursor of the next page or None.

    Fewer only if there are no more, or if most were of other queues: then the cursor goes on.

    Args:
        since: from when, as `workflows.runtime.period.parse` takes it.
        until: to when, likewise.
        actor: only what this one did.
        message_id: only what was done to this message.
        queue: only what was done to this queue, its messages and runs.
        limit: of the page.
        cursor: what the page before ended with; None for the first page.

    Raises:
        workflows.runtime.period.InvalidPeriod: naming `from` or `to`, and what is wrong with it.
        workflows.runtime.paging.InvalidCursor: the cursor is not of this list.
    """
    listed = period.parse(since, until)
    # `$` comes after the `#` of a record's key: what happened in the last millisecond is in.
    lowest, highest = clock.text(listed.first), f"{clock.text(listed.last)}$"
    if cursor is not None:
        before = paging.start(cursor, entry=None)["ExclusiveStartKey"]["entry"]
        if before > highest:
            raise paging.InvalidCursor("cursor: is of a list that goes on later than `to`")
        highest = before
    keys: list[tuple[str | None, str, str]]
    if message_id is not None:
        keys = [(MESSAGE_INDEX, "message_id", message_id)]
    elif actor is not None:
        keys = [(ACTOR_INDEX, "actor", actor)]
    else:
        # One query a day, which is why a period is bounded.
        keys = [(None, "day", day) for day in listed.days() if day <= highest]
    size = limit + 2 if queue is None else _READ_AT_ONCE  # one more, and one that is `highest`
    found = (item for key in keys for item in _newest_first(*key, lowest, highest, size))
    items: list[dict[str, Any]] = []
    for read, item in enumerate(found, 1):
        if actor in (None, item["actor"]) and queue in (None, item.get("queue")):
            items.append(item)
        if len(items) > limit:
            return [_plain(item) for item in items[:limit]], _cursor(items[limit - 1])
        if queue is not None and read == _READ_AT_MOST:
            return [_plain(item) for item in items], _cursor(item)
    return [_plain(item) for item in items], None


def _cursor(item: dict[str, Any]) -> str | None:
    return paging.cursor({"entry": item["entry"]})


def _newest_first(
    index: str | None, column: str, value: str, lowest: str, highest: str, size: int
) -> Iterator[dict[str, Any]]:
    """Give the records under one key from `lowest` to before `highest`, reading what is wanted."""
    if lowest > highest:
        return
    pages: Any = (
        dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings().audit_table,
            **({"IndexName": index} if index else {}),  # type: ignore[arg-type]
            KeyConditionExpression="#key = :value AND entry BETWEEN :lowest AND :highest",
            ExpressionAttributeNames={"#key": column},
            ExpressionAttributeValues={":value": value, ":lowest": lowest, ":highest": highest},
            ScanIndexForward=False,
            PaginationConfig={"PageSize": size},
        )
    )
    for found in pages:
        yield from (item for item in found["Items"] if item["entry"] != highest)


def _plain(value: Any) -> Any:
    """Return a value of DynamoDB as JSON has it."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value

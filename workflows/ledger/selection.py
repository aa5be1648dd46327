"""Selection: which rows in trouble a filter means.

What the index has is left to DynamoDB where its comparisons can do it; the rest, and whatever is
about payloads, is decided on the rows, whole ones where need be.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import compress, islice
from typing import Any

from workflows.ledger import lookup
from workflows.messages.filters import Filter, Subject, edge, matches
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.runtime import shards
from workflows.runtime.strict_json import loads

_EXACT = {"group_id": "#group_id", "type": "#type", "reason": "#reason.#type"}
# Another zone or another number of decimals: as texts, times are compared this roughly.
_SLACK = timedelta(days=1)
BODIES_AT_ONCE = 100  # BatchGetItem's limit


def subject(row: dict[str, Any], wrappings: Iterable[str] = ()) -> Subject:
    """Return what a filter looks at; its payload is there only if the row has the body.

    Args:
        row: of a message, or what an index has of it.
        wrappings: what the body may be packed in.
    """
    return Subject(
        message_id=row["message_id"],
        group_id=row["group_id"],
        type=row["type"],
        reason_type=row.get("reason", {}).get("type"),
        fingerprint=lookup.fingerprint_of(row),
        first_sent_at=row["first_sent_at"],
        payload=_payload(_inside(row.get("body", ""), wrappings), row["message_id"]),
    )


def condition(wanted: Filter) -> dict[str, Any]:
    """Return what DynamoDB can leave out; `matches` decides on what it does not."""
    values = {name: getattr(wanted, name) for name in _EXACT if getattr(wanted, name) is not None}
    conditions = [f"{_EXACT[name]} = :{name}" for name in values]
    if wanted.older_than is not None:
        conditions.append("#first_sent_at < :before")
        values["before"] = (edge(wanted.older_than) + _SLACK).isoformat()
    if wanted.newer_than is not None:
        conditions.append("#first_sent_at > :after")
        values["after"] = (edge(wanted.newer_than) - _SLACK).isoformat()
    if not conditions:
        return {}
    expression = " AND ".join(conditions)
    columns = ("group_id", "type", "reason", "first_sent_at")
    return {
        "FilterExpression": expression,
        "ExpressionAttributeNames": {f"#{c}": c for c in columns if f"#{c}" in expression},
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
    }


def wrappings_of(queue: str, wanted: Filter) -> tuple[str, ...]:
    """Return what bodies of a queue may be packed in, if a filter looks into them."""
    if queue == DEFAULT_QUEUE or not wanted.wants_payload:
        return ()
    from workflows.queues import registry  # who sends a message needs none of it

    return registry.get(queue).unwrap


def select(
    trouble: str,
    wanted: Filter,
    rows: Iterable[dict[str, Any]],
    *,
    bodies: bool = False,
    wrappings: Iterable[str] = (),
) -> Iterator[dict[str, Any]]:
    """Yield those of the index's rows that a filter means; whole if `bodies`, or if it has to."""
    by_record = wanted.model_copy(update={"payload": None, "jmespath": None})
    rows = (row for row in rows if matches(by_record, subject(row)))
    if not bodies and not wanted.wants_payload:
        yield from rows
        return
    for found in shards.side_by_side(lambda chunk: whole(trouble, chunk), _chunks(rows)):
        yield from meant(wanted, found, wrappings)


def meant(
    wanted: Filter, rows: Iterable[dict[str, Any]], wrappings: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Yield those of whole rows that a filter means; what lies in S3 is read side by side.

    Raises:
        workflows.queues.payloads.PayloadUnreadable: S3 does not give what a body points to.
    """
    if not read_s3(wrappings):
        yield from (row for row in rows if matches(wanted, subject(row, wrappings)))
        return
    from workflows.queues.payloads import AT_ONCE

    rows = list(rows)
    yield from compress(
        rows,
        shards.side_by_side(lambda row: matches(wanted, subject(row, wrappings)), rows, AT_ONCE),
    )


def read_s3(wrappings: Iterable[str]) -> bool:
    """Tell whether it may take a call of S3 to look into a body."""
    return "s3" in wrappings


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(rows, BODIES_AT_ONCE)):
        yield chunk


def whole(trouble: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the whole rows of at most 100, in their order, of those still in this trouble."""
    found = lookup.get_many((row["message_id"] for row in rows), whole=True)
    rows_now = (found.get(row["message_id"], {}) for row in rows)
    return [row for row in rows_now if row.get("trouble") == trouble]


def _inside(body: str, wrappings: Iterable[str]) -> str:
    if not wrappings:
        return body
    from workflows.queues.payloads import PayloadMissing
    from workflows.queues.wrappings import inner

    try:
        return inner(body, wrappings)
    except PayloadMissing:
        return ""


def _payload(body: str, message_id: str) -> dict[str, Any] | None:
    try:
        payload = loads(body)
    except ValueError:
        return None
    if queue_of(message_id) == DEFAULT_QUEUE:  # a registered queue's has no envelope around it
        payload = payload.get("payload") if isinstance(payload, dict) else None
    return payload if isinstance(payload, dict) else None

"""Messages in trouble, found without touching a queue: dead, quarantined or being retried.

Reading the ledger's index receives nothing: it locks no message group and counts as no delivery.
The index follows the table within moments; what acts on a row has to look at the table.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from workflows.ledger import selection
from workflows.ledger.status import Trouble
from workflows.messages.filters import Filter, matches
from workflows.runtime import clock, paging
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

# The sparse index: only rows in trouble carry its key, so they are found without touching a queue.
TROUBLE_INDEX = "TroubleIndex"
TROUBLES = (Trouble.DEAD, Trouble.QUARANTINED, Trouble.RETRYING)
# As many rows are read for one answer; more would take longer than API Gateway waits.
READ_AT_MOST = 100_000
# Of the index, at a time, when most of it may not match.
_READ_AT_ONCE = 1_000
# So far may the clocks of two workers be apart.
_CLOCKS_APART = timedelta(minutes=1)

Row = dict[str, Any]


def count(trouble: str, **condition: Any) -> int:
    """Count the messages that are `DEAD`, `QUARANTINED` or `RETRYING`, without reading them.

    Args:
        trouble: which.
        condition: of a query, to count only some of them.
    """
    return sum(answer["Count"] for answer in _answers(trouble, Select="COUNT", **condition))


def oldest(trouble: str) -> str | None:
    """Return since when (ISO 8601) the message longest in this trouble has been in it."""
    answer = next(_answers(trouble, PaginationConfig={"PageSize": 1}))
    return next((str(row["updated_at"]) for row in answer["Items"]), None)


def page(
    trouble: str, wanted: Filter, limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """Return the `limit` rows of the index that match next, longest in trouble first.

    Fewer only if there are no more, or if `READ_AT_MOST` rows were read in vain: then the cursor
    goes on from there.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not of this list.
    """
    start = paging.start(cursor, message_id=None, trouble=trouble, updated_at=None)
    size = limit + 1 if wanted.empty else _READ_AT_ONCE
    rows: list[Row] = []
    read = 0
    for answer in _answers(
        trouble, **selection.condition(wanted), **start, PaginationConfig={"PageSize": size}
    ):
        rows += islice(selection.select(trouble, wanted, answer["Items"]), limit + 1 - len(rows))
        if len(rows) > limit:
            return rows[:limit], cursor_after(rows[limit - 1])
        read += answer["ScannedCount"]
        if read >= READ_AT_MOST:
            return rows, paging.cursor(answer.get("LastEvaluatedKey"))
    return rows, None


def cursor_after(row: Row) -> str | None:
    """Return the cursor of a page that begins after a row."""
    return paging.cursor(_key(row))


def every(trouble: str, wanted: Filter, *, bodies: bool = False) -> Iterator[Row]:
    """Yield every row that matches, longest in trouble first.

    Args:
        trouble: which.
        wanted: by record, payload or ids.
        bodies: whether to yield whole rows, read consistently, instead of the index's columns.
            A filter by payload or ids yields whole ones anyway.
    """
    if wanted.message_ids is not None:
        ids = [{"message_id": message_id} for message_id in wanted.message_ids]
        found = selection.whole(trouble, ids)
        rows = [row for row in found if matches(wanted, selection.subject(row))]
        yield from sorted(rows, key=lambda row: str(row["updated_at"]))
        return
    for answer in _answers(trouble, **selection.condition(wanted)):
        yield from selection.select(trouble, wanted, answer["Items"], bodies=bodies)


def chunks(
    trouble: str, wanted: Filter, cursor: str | None
) -> Iterator[tuple[list[tuple[Row, str | None]], str | None]]:
    """Yield what matches among each hundred rows that were looked at, longest in trouble first.

    Each is a whole row, read consistently, and the cursor after it; beside them stands the cursor
    after all that were looked at, for whoever cannot go on. The cursors carry when the sweep began:
    what came into this trouble later is passed over, or a sweep would meet again what it acted on.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not of such a sweep.
    """
    began, start = _sweep(trouble, cursor)
    if wanted.message_ids is not None:
        after = _place(start) if start else ("", "")
        found = (row for row in every(trouble, wanted) if row["updated_at"] <= began)
        rows = sorted((row for row in found if _place(row) > after), key=_place)
        yield [(row, _cursor(row, began)) for row in rows], None
        return
    by_record = wanted.model_copy(update={"payload": None, "jmespath": None})
    arguments = selection.condition(wanted) | ({"ExclusiveStartKey": start} if start else {})
    for answer in _answers(trouble, until=began, **arguments):
        items = answer["Items"]
        likely = iter([row for row in items if matches(by_record, selection.subject(row))])
        while chunk := list(islice(likely, selection.BODIES_AT_ONCE)):
            # Of the index: a row that was written since stands elsewhere in it, or soon will.
            cursors = {row["message_id"]: _cursor(row, began) for row in chunk}
            whole = (row for row in selection.whole(trouble, chunk) if row["updated_at"] <= began)
            found = (row for row in whole if matches(wanted, selection.subject(row)))
            yield [(row, cursors[row["message_id"]]) for row in found], _cursor(chunk[-1], began)
        last = answer.get("LastEvaluatedKey")
        yield [], _cursor(last, began) if last else None


def _sweep(trouble: str, cursor: str | None) -> tuple[str, Row]:
    """Return when a sweep began, and the key after which it goes on; {} for its beginning."""
    now = datetime.fromisoformat(clock.now())
    if cursor is None:
        return clock.text(now), {}
    key = paging.key(cursor, message_id=None, trouble=trouble, updated_at=None, began=None)
    began = key.pop("began")
    # One that begins in the future would not end; DynamoDB refuses a key outside of the query.
    latest = clock.text(now + _CLOCKS_APART)
    if not (_is_time(began) and key["updated_at"] <= began <= latest):
        raise paging.InvalidCursor
    return began, key


def _is_time(text: str) -> bool:
    try:
        return clock.text(datetime.fromisoformat(text)) == text
    except ValueError:
        return False


def _cursor(key: Row, began: str) -> str | None:
    return paging.cursor(_key(key) | {"began": began})


def _key(row: Row) -> Row:
    return {name: row[name] for name in ("message_id", "trouble", "updated_at")}


def _place(row: Row) -> tuple[str, str]:
    return str(row["updated_at"]), str(row["message_id"])


def read_all(trouble: str, columns: list[str], **condition: Any) -> Iterator[Row]:
    """Yield some columns of every row of the index, longest in trouble first.

    Args:
        trouble: which.
        columns: each is `#column` in the condition.
        condition: of a query, to read only some of them.
    """
    names = {f"#{column}": column for column in columns}
    for answer in _answers(
        trouble,
        ProjectionExpression=", ".join(names),
        ExpressionAttributeNames=names,
        **condition,
    ):
        yield from answer["Items"]


def _answers(trouble: str, until: str | None = None, **arguments: Any) -> Iterator[Any]:
    values = arguments.pop("ExpressionAttributeValues", {}) | ({":until": until} if until else {})
    pages: Any = dynamodb().get_paginator("query")
    yield from pages.paginate(
        TableName=settings().messages_table,
        IndexName=TROUBLE_INDEX,
        KeyConditionExpression="trouble = :trouble"
        + (" AND updated_at <= :until" if until else ""),
        ExpressionAttributeValues={":trouble": trouble} | values,
        **arguments,
    )

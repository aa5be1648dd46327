"""Messages in trouble, found without touching a queue: dead, quarantined or sent by hand just now.

Reading the ledger's index receives nothing: it locks no message group and counts as no delivery.
The index follows the table within moments; what acts on a row has to look at the table. Its key,
`listed`, is a row's `trouble` and a shard; what is being retried is not in it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from workflows.ledger import listing, selection
from workflows.ledger.status import Trouble
from workflows.messages.filters import Filter, matches
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.runtime import clock, paging, shards
from workflows.runtime.settings import settings
from workflows.runtime.shards import Index, Looked, Place

# The sparse index: only rows in trouble carry its key, so they are found without touching a queue.
TROUBLE_INDEX = "TroubleIndex"
LISTED = (Trouble.DEAD, Trouble.QUARANTINED)
# As many rows are read for one answer; more would take longer than API Gateway waits.
READ_AT_MOST = 100_000
# Of a shard, at a time, when most of it may not match.
_READ_AT_ONCE = 1_000
# Where it takes an object in S3 to look into a body, before a sweep may ask how late it is.
_OBJECTS_AT_ONCE = 10
# Of each shard of a registered queue's list.
_OLDEST_AMONG = 100
# So far may the clocks of two workers be apart.
_CLOCKS_APART = timedelta(minutes=1)
# In a cursor, for a place before all rows of its time: less than any id.
_BEFORE_ALL = " "

Row = dict[str, Any]


def index() -> Index:
    """Return the index of what is in trouble."""
    table = settings().messages_table
    return Index(table, TROUBLE_INDEX, "listed", "message_id", "updated_at")


def count(trouble: str, queue: str) -> int:
    """Count the messages of a queue that are `DEAD` or `QUARANTINED`, without reading them."""
    return shards.count(index(), listing.of(trouble, queue))


def oldest(trouble: str, queue: str) -> str | None:
    """Return since when (ISO 8601) the message of a queue longest in this trouble has been so.

    Of a registered queue the index has when the ledger noted that, which may be days later: there
    it is the earliest death among the first of the list.
    """
    if queue == DEFAULT_QUEUE:
        row = shards.first(index(), listing.of(trouble, queue))
        return None if row is None else str(row["updated_at"])
    looked = next(shards.in_order(index(), listing.of(trouble, queue), Limit=_OLDEST_AMONG), None)
    rows = () if looked is None else looked.rows
    died = (str(row.get("dead_at", row["updated_at"])) for row in rows)
    return min(died, default=None)


def page(
    trouble: str, wanted: Filter, limit: int, cursor: str | None, queue: str
) -> tuple[list[Row], str | None]:
    """Return the `limit` rows of a queue that match next, longest in trouble first.

    Fewer only if there are no more, or if `READ_AT_MOST` rows were read in vain: then the cursor
    goes on from there.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not of this list.
    """
    after = shards.START
    if cursor is not None:
        known = listing.of(trouble, queue)
        after = _place(paging.key(cursor, message_id=None, trouble=known, updated_at=None))
    # Of a page each shard has a part, seldom more than twice its share.
    size = limit // 4 + 2 if wanted.empty else _READ_AT_ONCE
    rows: list[Row] = []
    read = 0
    condition = selection.condition(wanted)
    wrappings = selection.wrappings_of(queue, wanted)
    for looked in shards.in_order(
        index(), listing.of(trouble, queue), after=after, Limit=size, **condition
    ):
        chosen = selection.select(trouble, wanted, looked.rows, wrappings=wrappings)
        rows += islice(chosen, limit + 1 - len(rows))
        if len(rows) > limit:
            return rows[:limit], cursor_after(trouble, rows[limit - 1])
        read += looked.read
        if read >= READ_AT_MOST:
            return rows, paging.cursor(
                looked.upto and _key(listing.of(trouble, queue), looked.upto)
            )
    return rows, None


def cursor_after(trouble: str, row: Row) -> str | None:
    """Return the cursor of a page that begins after a row."""
    known = listing.of(trouble, queue_of(str(row["message_id"])))
    return paging.cursor(_key(known, _place(row)))


def every(
    trouble: str, wanted: Filter, queue: str = DEFAULT_QUEUE, *, bodies: int = 0
) -> Iterator[Row]:
    """Yield every row of a queue that matches, longest in trouble first.

    Args:
        trouble: which; what nobody is shown is of all queues.
        wanted: by record, payload or ids.
        queue: whose.
        bodies: about how many whole rows are wanted, read consistently; 0 for the index's
            columns alone. A filter by payload or ids yields whole ones anyway.
    """
    if wanted.message_ids is not None:
        ids = [{"message_id": message_id} for message_id in wanted.message_ids]
        found = selection.whole(
            trouble, [one for one in ids if queue_of(one["message_id"]) == queue]
        )
        wrappings = selection.wrappings_of(queue, wanted)
        rows = selection.meant(wanted, found, wrappings)
        yield from sorted(rows, key=lambda row: str(row["updated_at"]))
        return
    condition = selection.condition(wanted) | ({"Limit": max(100, bodies // 10)} if bodies else {})
    listed = _flat(shards.in_order(index(), listing.of(trouble, queue), **condition))
    wrappings = selection.wrappings_of(queue, wanted)
    yield from selection.select(trouble, wanted, listed, bodies=bool(bodies), wrappings=wrappings)


def chunks(
    trouble: str, wanted: Filter, cursor: str | None, queue: str
) -> Iterator[tuple[list[tuple[Row, str | None]], str | None]]:
    """Yield what matches among each hundred rows that were looked at, longest in trouble first.

    Each is a whole row, read consistently, and the cursor after it; beside them stands the cursor
    after all that were looked at, for whoever cannot go on. The cursors carry when the sweep began:
    what came into this trouble later is passed over, or a sweep would meet again what it acted on.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not of such a sweep.
    """
    known = listing.of(trouble, queue)
    began, after = _sweep(known, cursor)
    if wanted.message_ids is not None:
        found = (row for row in every(trouble, wanted, queue) if row["updated_at"] <= began)
        rows = sorted((row for row in found if _place(row) > after), key=_place)
        yield [(row, _cursor(known, _place(row), began)) for row in rows], None
        return
    by_record = wanted.model_copy(update={"payload": None, "jmespath": None})
    condition = selection.condition(wanted)
    wrappings = selection.wrappings_of(queue, wanted)
    at_once = _OBJECTS_AT_ONCE if selection.read_s3(wrappings) else selection.BODIES_AT_ONCE
    for looked in shards.in_order(index(), known, after=after, until=began, **condition):
        likely = iter([row for row in looked.rows if matches(by_record, selection.subject(row))])
        while chunk := list(islice(likely, at_once)):
            # Of the index: a row that was written since stands elsewhere in it, or soon will.
            cursors = {row["message_id"]: _cursor(known, _place(row), began) for row in chunk}
            whole = (row for row in selection.whole(trouble, chunk) if row["updated_at"] <= began)
            meant = selection.meant(wanted, whole, wrappings)
            last = cursors[chunk[-1]["message_id"]]
            yield [(row, cursors[row["message_id"]]) for row in meant], last
        yield [], looked.upto and _cursor(known, looked.upto, began)


def _sweep(known: str, cursor: str | None) -> tuple[str, Place]:
    """Return when a sweep began, and the place after which it goes on."""
    now = datetime.fromisoformat(clock.now())
    if cursor is None:
        return clock.text(now), shards.START
    key = paging.key(cursor, message_id=None, trouble=known, updated_at=None, began=None)
    began = key["began"]
    # One that begins in the future would not end; DynamoDB refuses a key outside of the query.
    latest = clock.text(now + _CLOCKS_APART)
    if not (_is_time(began) and key["updated_at"] <= began <= latest):
        raise paging.InvalidCursor
    return began, _place(key)


def _is_time(text: str) -> bool:
    try:
        return clock.text(datetime.fromisoformat(text)) == text
    except ValueError:
        return False


def _cursor(known: str, place: Place, began: str) -> str | None:
    return paging.cursor(_key(known, place) | {"began": began})


def _key(known: str, place: Place) -> Row:
    at, message_id = place
    return {"message_id": message_id or _BEFORE_ALL, "trouble": known, "updated_at": at}


def _place(row: Row) -> Place:
    return str(row["updated_at"]), str(row["message_id"])


def read_all(
    trouble: str, columns: list[str], queue: str = DEFAULT_QUEUE, **condition: Any
) -> Iterator[Row]:
    """Yield some columns of every row of a queue in the index, longest in trouble first.

    Args:
        trouble: which.
        columns: each is `#column` in the condition; what orders the rows is among them anyway.
        queue: whose.
        condition: of a query, to read only some of them.
    """
    names = {f"#{column}": column for column in {*columns, "updated_at", "message_id"}}
    return _flat(
        shards.in_order(
            index(),
            listing.of(trouble, queue),
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            **condition,
        )
    )


def _flat(looked: Iterator[Looked]) -> Iterator[Row]:
    for found in looked:
        yield from found.rows

"""Shards: the key of an index that many items share, spread over as many partitions.

A partition takes 1,000 write units a second, and an index that throttles makes the writes of its
table throttle. So the key of a sparse index is `<key>#<shard>`, the shard a hexadecimal digit that
the item's id decides. Whoever reads the index asks all shards side by side and merges what comes:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-gsi-sharding.html
"""

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from workflows.runtime.aws import AT_ONCE, dynamodb

SHARDS = "0123456789abcdef"
_MARK = "#"

Row = dict[str, Any]
# Where a row stands in an index: its sort key, then its id. Two rows may have one sort key.
Place = tuple[str, str]
# Before every row: no key is shorter.
START: Place = ("", "")

_T = TypeVar("_T")
_R = TypeVar("_R")


def key(of: str, item_id: str) -> str:
    """Return the index's key of an item; `retry.asl.json` spells it the same way.

    Args:
        of: what many items have in common.
        item_id: what tells this one from the others.
    """
    return f"{of}{_MARK}{hashlib.sha256(item_id.encode()).hexdigest()[0]}"


def common(key: str) -> str:
    """Return what the items under a key have in common."""
    return key.rpartition(_MARK)[0]


@dataclass(frozen=True)
class Index:
    """A sharded index: its table and name, its key and sort key, and what an item's id is."""

    table: str
    name: str
    key: str
    item: str
    sort: str = ""

    def place(self, row: Row) -> Place:
        """Return where a row stands."""
        return str(row[self.sort]), str(row[self.item])


@dataclass(frozen=True)
class Looked:
    """What was looked at next: the rows of all shards, in order, and how many were read for it.

    `upto` is the place before which all was looked at; None if there is no more.
    """

    rows: list[Row]
    read: int
    upto: Place | None


@dataclass
class _Shard:
    """One shard, read a page ahead. `horizon`: the sort key up to which it was read."""

    index: Index
    query: dict[str, Any]
    horizon: str | None = None
    rows: list[Row] = field(default_factory=list)
    answer: "Future[Any] | None" = None

    def ask(self, pool: ThreadPoolExecutor, **start: Any) -> None:
        self.answer = pool.submit(dynamodb().query, **self.query, **start)

    def take(self, pool: ThreadPoolExecutor) -> int:
        if self.answer is None:
            return 0
        found = self.answer.result()
        last = found.get("LastEvaluatedKey")
        self.answer, self.horizon = None, None
        if last:
            self.horizon = str(last[self.index.sort])
            self.ask(pool, ExclusiveStartKey=last)
        self.rows += found["Items"]
        return int(found["ScannedCount"])

    def before(self, horizon: str | None) -> Iterator[Row]:
        """Give away the rows before a sort key, in order; all of them before None."""
        sort = self.index.sort
        taken = [row for row in self.rows if horizon is None or row[sort] < horizon]
        self.rows = self.rows[len(taken) :]
        # DynamoDB orders those of one sort key by a hash of their ids.
        for _, alike in groupby(taken, key=lambda row: row[sort]):
            yield from sorted(alike, key=self.index.place)


def in_order(
    index: Index,
    of: str,
    *,
    after: Place = START,
    until: str | None = None,
    **query: Any,
) -> Iterator[Looked]:
    """Yield the rows of all shards in the order of their sort keys, as they are read.

    Args:
        index: which has a sort key.
        of: what the rows have in common.
        after: only those behind this place.
        until: only those up to this sort key.
        query: further arguments of the query of each shard: a filter, a limit of each page.
    """
    with ThreadPoolExecutor(len(SHARDS)) as pool:
        shards = [_Shard(index, each) for each in _queries(index, of, after[0], until, query)]
        for shard in shards:
            shard.ask(pool)
        wanted = shards
        while wanted:
            read = sum(shard.take(pool) for shard in wanted)
            horizon = min((s.horizon for s in shards if s.horizon is not None), default=None)
            rows = heapq.merge(*(shard.before(horizon) for shard in shards), key=index.place)
            yield Looked(
                [row for row in rows if index.place(row) > after],
                read,
                None if horizon is None else (horizon, ""),
            )
            wanted = [s for s in shards if s.horizon is not None and s.horizon == horizon]


def rows(index: Index, of: str, **query: Any) -> Iterator[Row]:
    """Yield all rows of an index without a sort key, in no order."""
    for found in side_by_side(_all_pages, _queries(index, of, "", None, query)):
        yield from (row for answer in found for row in answer["Items"])


def count(index: Index, of: str, **query: Any) -> int:
    """Count the rows of all shards, without reading them."""
    queries = _queries(index, of, "", None, query | {"Select": "COUNT"})
    return sum(answer["Count"] for found in side_by_side(_all_pages, queries) for answer in found)


def first(index: Index, of: str) -> Row | None:
    """Return the row with the lowest sort key of all shards."""
    queries = _queries(index, of, "", None, {"Limit": 1})
    found = side_by_side(lambda query: dynamodb().query(**query)["Items"], queries)
    return min((row for items in found for row in items), key=index.place, default=None)


def side_by_side(
    act: Callable[[_T], _R], parts: Iterable[_T], at_once: int = AT_ONCE
) -> Iterator[_R]:
    """Do the same to each part, `at_once` at a time; yield what came of them, in their order."""
    with ThreadPoolExecutor(at_once) as pool:
        begun: deque[Future[_R]] = deque()
        for part in parts:
            begun.append(pool.submit(act, part))
            if len(begun) > at_once:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _queries(
    index: Index, of: str, since: str, until: str | None, query: dict[str, Any]
) -> list[dict[str, Any]]:
    more = dict(query)
    condition, values = "#key = :key", dict(more.pop("ExpressionAttributeValues", {}))
    names = {"#key": index.key} | more.pop("ExpressionAttributeNames", {})
    if since:
        condition, values = f"{condition} AND #sort >= :since", values | {":since": since}
    if until is not None:
        condition, values = f"{condition} AND #sort <= :until", values | {":until": until}
    if since and until is not None:
        condition = "#key = :key AND #sort BETWEEN :since AND :until"
    if "#sort" in condition:
        names["#sort"] = index.sort
    return [
        {
            "TableName": index.table,
            "IndexName": index.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values | {":key": f"{of}{_MARK}{shard}"},
        }
        | more
        for shard in SHARDS
    ]


def _all_pages(query: dict[str, Any]) -> list[Any]:
    answers = [dynamodb().query(**query)]
    while last := answers[-1].get("LastEvaluatedKey"):
        answers.append(dynamodb().query(**query, ExclusiveStartKey=last))
    return answers

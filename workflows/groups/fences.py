"""The fences as the `Groups` table has them: what one holds, those of some groups, and all of them.

What raises, moves and removes one is in `fence.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from workflows.runtime import shards
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings
from workflows.runtime.shards import Index, Place

FENCE = "FENCE"
PARKED = "PARKED#"
# The sparse index of all fences, by group alone: what a fence holds changes with each message that
# is parked or promoted. Parked items do not carry its key, FENCED and a shard.
FENCED_INDEX = "FencedIndex"
FENCED = "FENCED"


@dataclass(frozen=True)
class Fence:
    """One fence. `generation` numbers its executions, of which only the newest may drain it."""

    group_id: str
    holder: str
    generation: int = 0
    parked: int = 0
    drained: int = 0
    execution_arn: str = ""
    since: str = ""
    owned_at: int = 0

    @classmethod
    def of(cls, item: dict[str, Any]) -> "Fence":
        """Read the table's item."""
        return cls(
            group_id=item["group_id"],
            holder=item["holder"],
            generation=int(item["generation"]),
            parked=int(item["parked"]),
            drained=int(item["drained"]),
            execution_arn=item["execution_arn"],
            since=item["since"],
            owned_at=int(item["owned_at"]),
        )


def find(group_ids: Iterable[str]) -> dict[str, Fence]:
    """Return the fences of the groups that have one, read consistently; at most 100 groups.

    By rule 1 of `fence.py` none can appear meanwhile except by the reader's own hand, and one that
    disappears makes parking fail. So one read at the start of a batch is enough, and another where
    the ledger shows that rule 1 does not hold.
    """
    table = settings().groups_table
    keys = [{"group_id": group_id, "item": FENCE} for group_id in sorted(set(group_ids))]
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True}}
    found: dict[str, Fence] = {}
    while keys and wanted:
        answer: Any = dynamodb().batch_get_item(RequestItems=wanted)
        for item in answer["Responses"].get(table, []):
            found[item["group_id"]] = Fence.of(item)
        wanted = answer.get("UnprocessedKeys")
    return found


def index() -> Index:
    """Return the index of all fences."""
    return Index(settings().groups_table, FENCED_INDEX, "fenced", "group_id", "since")


def page(limit: int, after: Place) -> tuple[list[Fence], Place | None]:
    """Return at most `limit` fences, oldest first, and the place after which the next page begins.

    The index says which there are, the table what they hold: one that is gone by then is left out.
    """
    rows: list[dict[str, Any]] = []
    for looked in shards.in_order(index(), FENCED, after=after, Limit=limit // 4 + 2):
        rows += looked.rows
        if len(rows) > limit:
            break
    following = index().place(rows[limit - 1]) if len(rows) > limit else None
    return _read([row["group_id"] for row in rows[:limit]]), following


def every() -> Iterator[Fence]:
    """Yield every fence, oldest first."""
    for found in shards.side_by_side(_read, _at_once()):
        yield from found


def _at_once() -> Iterator[list[str]]:
    rows = (row for looked in shards.in_order(index(), FENCED) for row in looked.rows)
    while chunk := [row["group_id"] for row in islice(rows, 100)]:
        yield chunk


def _read(group_ids: list[str]) -> list[Fence]:
    found = find(group_ids)
    return [found[group_id] for group_id in group_ids if group_id in found]

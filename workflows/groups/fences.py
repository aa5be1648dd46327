"""The fences as the `Groups` table has them: what one holds, those of some groups, and all of them.

What raises, moves and removes one is in `fence.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

FENCE = "FENCE"
PARKED = "PARKED#"
# The sparse index of all fences; parked items do not carry its key.
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


def page(limit: int, start: dict[str, Any]) -> tuple[list[Fence], dict[str, Any] | None]:
    """Return at most `limit` fences, oldest first, and the key at which the next page begins."""
    answer: Any = dynamodb().query(**_all_fences(), Limit=limit, **start)
    return [Fence.of(item) for item in answer["Items"]], answer.get("LastEvaluatedKey")


def every() -> Iterator[Fence]:
    """Yield every fence, oldest first, as the index has them."""
    for answer in dynamodb().get_paginator("query").paginate(**_all_fences()):
        items: Any = answer["Items"]
        yield from map(Fence.of, items)


def _all_fences() -> dict[str, Any]:
    return {
        "TableName": settings().groups_table,
        "IndexName": FENCED_INDEX,
        "KeyConditionExpression": "fenced = :yes",
        "ExpressionAttributeValues": {":yes": FENCED},
    }

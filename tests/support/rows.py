"""Rows as their writers leave them: with the keys of the sharded indexes."""

from typing import Any

from workflows.ledger import listing
from workflows.ledger.status import UNLISTED
from workflows.runtime import shards


def indexed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row, less what is None, with the keys of the indexes that its writers give it."""
    found = {name: value for name, value in row.items() if value is not None}
    found.pop("listed", None)
    if found.get("trouble", UNLISTED[0]) not in UNLISTED:
        found["listed"] = listing.key(found["trouble"], found["message_id"])
    run_id = found.get("redriven_by")
    if run_id and not shards.common(run_id):
        found["redriven_by"] = shards.key(run_id, found["message_id"])
    return found


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the run that redrove it, and without the shard of the index."""
    run_id = row.get("redriven_by")
    return row | {"redriven_by": shards.common(run_id)} if run_id else row

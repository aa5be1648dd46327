"""The outcome of a redrive run: what became of the messages that it sent to the work queue."""

from collections import Counter
from collections.abc import Iterator

from pydantic import BaseModel

from workflows.ledger import rows
from workflows.ledger.status import Status
from workflows.runtime import shards
from workflows.runtime.settings import settings
from workflows.runtime.shards import Index, Row

# Sparse: only messages that a run redrove carry its key, the run and a shard. It says which they
# are; their statuses, which change more often, are in the table.
RUN_INDEX = "RunIndex"
_NAMES = {
    Status.PROCESSED: "processed",
    Status.RETRYING: "retrying",
    Status.DEAD: "died_again",
    Status.QUARANTINED: "died_again",
    Status.DISCARDED: "died_again",
}


class Outcome(BaseModel):
    """Of the messages that a run redrove, how many are where by now.

    `died_again`: dead, quarantined or since discarded. `pending`: on the work queue, parked in
    their group or with a worker. `moved_on`: redriven again by somebody else, or forgotten. The
    consumer of a registered queue tells nothing: of its messages it is known which were seen on the
    dead-letter queue again (`returned`), and which were not (`not_returned`).
    """

    processed: int = 0
    retrying: int = 0
    died_again: int = 0
    pending: int = 0
    moved_on: int = 0
    returned: int = 0
    not_returned: int = 0


def redriven_by(run_id: str) -> Iterator[Row]:
    """Yield id and mark of each message that a run redrove last, by an index a moment behind."""
    index = Index(settings().messages_table, RUN_INDEX, "redriven_by", "message_id")
    return shards.rows(index, run_id)


def count(run_id: str, redriven: int, *, is_default: bool = True) -> Outcome:
    """Count what became of the `redriven` messages of a run, by an index a moment behind.

    Args:
        run_id: which run.
        redriven: how many messages it redrove.
        is_default: whether their queue is the built-in one.
    """
    statuses = rows.statuses(str(row["message_id"]) for row in redriven_by(run_id))
    if is_default:
        found = Counter(_NAMES.get(Status(status), "pending") for status in statuses.values())
    else:
        there = Counter(status == Status.REDRIVEN for status in statuses.values())
        found = Counter(returned=there[False], not_returned=there[True])
    return Outcome(**found, moved_on=max(0, redriven - found.total()))

"""The outcome of a redrive run: what became of the messages that it sent to the work queue."""

from collections import Counter

from pydantic import BaseModel

from workflows.ledger.status import Status
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

# Sparse: only messages that a run redrove carry its key.
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
    their group or with a worker. `moved_on`: redriven again by somebody else, or forgotten.
    """

    processed: int = 0
    retrying: int = 0
    died_again: int = 0
    pending: int = 0
    moved_on: int = 0


def count(run_id: str, redriven: int) -> Outcome:
    """Count what became of the `redriven` messages of a run, by an index a moment behind."""
    pages = (
        dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings().messages_table,
            IndexName=RUN_INDEX,
            KeyConditionExpression="redriven_by = :run_id",
            ExpressionAttributeValues={":run_id": run_id},
            ProjectionExpression="#status",
            ExpressionAttributeNames={"#status": "status"},
        )
    )
    found = Counter(
        _NAMES.get(Status(str(row["status"])), "pending") for page in pages for row in page["Items"]
    )
    return Outcome(**found, moved_on=max(0, redriven - found.total()))

"""Messages in trouble, found without touching a queue: dead, quarantined or being retried."""

from typing import Any

from workflows.aws import dynamodb
from workflows.settings import settings

# The sparse index: only rows in trouble carry its key, so they are found without touching a queue.
TROUBLE_INDEX = "TroubleIndex"
TROUBLES = ("DEAD", "QUARANTINED", "RETRYING")


def count(trouble: str) -> int:
    """Count the messages that are `DEAD`, `QUARANTINED` or `RETRYING`, without reading them."""
    pages = (
        dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings().messages_table,
            IndexName=TROUBLE_INDEX,
            KeyConditionExpression="trouble = :trouble",
            ExpressionAttributeValues={":trouble": trouble},
            Select="COUNT",
        )
    )
    return sum(page["Count"] for page in pages)


def oldest(trouble: str) -> str | None:
    """Return since when (ISO 8601) the message longest in this trouble has been in it."""
    answer: Any = dynamodb().query(
        TableName=settings().messages_table,
        IndexName=TROUBLE_INDEX,
        KeyConditionExpression="trouble = :trouble",
        ExpressionAttributeValues={":trouble": trouble},
        Limit=1,
    )
    return next((str(row["updated_at"]) for row in answer["Items"]), None)

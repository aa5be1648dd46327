"""Messages in trouble, in process: rows as the consumer and the machines leave them."""

from tests.support.cloud import ENVIRONMENT, drain
from tests.support.messages import a_message
from tests.support.rows import indexed, shown
from workflows.ledger import lookup, transitions
from workflows.runtime import aws
from workflows.runtime.aws import sqs

LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
WHY = {"type": "AccountFrozen", "message": "Account acc-1 is frozen."}


def in_trouble(status="DEAD", message=None, **columns):
    """Put a message's row into the ledger as one that is dead, say; return the message."""
    message = message or a_message()
    transitions.accept(message)
    changed = {
        "status": status,
        "trouble": status,
        "body": message.body(),
        "reason": WHY,
        "updated_at": "2026-11-24T12:00:01.000Z",
        "attempts": 4,
    }
    row = lookup.get(message.message_id) | changed | columns
    row.pop("expires_at", None)
    aws.dynamodb().put_item(TableName="Messages", Item=indexed(row))
    return message


def row(message_id="m-1"):
    """Return a message's row."""
    return shown(lookup.get(message_id))


def change(message_id="m-1", **columns):
    """Change a message's row; a column that is None goes."""
    aws.dynamodb().put_item(TableName="Messages", Item=indexed(row(message_id) | columns))


def sent():
    """Take what is on the work queue: deduplication id, group and body of each."""
    return [
        (
            found["Attributes"]["MessageDeduplicationId"],
            found["Attributes"]["MessageGroupId"],
            found["Body"],
        )
        for found in drain(sqs(), ENVIRONMENT["WORK_QUEUE_URL"])
    ]

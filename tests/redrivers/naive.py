"""A redriver as many a script is: receive, send under the old deduplication id, delete."""

import json
from typing import Any

from tests.world import World


def redrive(world: World, _request: dict[str, Any]) -> None:
    """Move dead letters back until the queue says that it is empty."""
    sqs = world.stack.client("sqs")
    work, dead_letters = (world.stack.outputs[f"{q}QueueUrl"] for q in ("Work", "DeadLetter"))
    while letters := sqs.receive_message(
        QueueUrl=dead_letters, MaxNumberOfMessages=10, AttributeNames=["All"]
    ).get("Messages"):
        sqs.send_message_batch(
            QueueUrl=work,
            Entries=[
                {
                    "Id": str(number),
                    "MessageBody": letter["Body"],
                    "MessageGroupId": letter["Attributes"]["MessageGroupId"],
                    "MessageDeduplicationId": _old_id(letter),
                }
                for number, letter in enumerate(letters)
            ],
        )
        sqs.delete_message_batch(
            QueueUrl=dead_letters,
            Entries=[
                {"Id": str(number), "ReceiptHandle": letter["ReceiptHandle"]}
                for number, letter in enumerate(letters)
            ],
        )


def _old_id(letter: dict[str, Any]) -> str:
    """Return the id that the message was sent with; of what is not one of ours, the queue's."""
    try:
        return str(json.loads(letter["Body"])["message_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return str(letter["Attributes"]["MessageDeduplicationId"])

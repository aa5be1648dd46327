"""A redriver as many a script is: receive, send under the old deduplication id, delete."""

import json
from typing import Any

from tests.support.world import World


class NaiveRedriver:
    """Moves dead letters back until the queue says that it is empty.

    A person stops it as one stops a script: by a flag, which it looks at between two batches.
    """

    def __init__(self) -> None:
        self._cancelled = False

    def cancel(self) -> None:
        """Let it take no other batch."""
        self._cancelled = True

    def __call__(self, world: World, _request: dict[str, Any]) -> None:
        """Redrive."""
        self._cancelled = False
        sqs = world.stack.client("sqs")
        work, dead_letters = (world.stack.outputs[f"{q}QueueUrl"] for q in ("Work", "DeadLetter"))
        while not self._cancelled and (
            letters := sqs.receive_message(
                QueueUrl=dead_letters, MaxNumberOfMessages=10, AttributeNames=["All"]
            ).get("Messages")
        ):
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

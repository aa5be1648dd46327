"""Letters of a team's queue: what a test put there, and by what its copies are known."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tests.support import objects
from workflows.messages.envelope import Message

QUEUE = "orders"
SERIAL = "serial"
TRACE = "Root=1-5e1b4151-5ac6c58f5b5daa6533ad1b0a;Sampled=1"
BUDGET = 3


@dataclass(frozen=True)
class Letter:
    """One message that a test put on a queue; `group` is "" on a standard one."""

    number: int
    body: str
    group: str
    sqs_id: str
    attributes: dict[str, Any]

    @property
    def identity(self) -> str:
        """The ledger's key of all letters of its identity: an id in its body, or all it holds.

        An object that a body points to is called by the id in it.
        """
        if key := objects.key_of(self.body):
            return f"sqs:{QUEUE}:{key}"
        try:
            return f"sqs:{QUEUE}:{json.loads(self.body)['message_id']}"
        except (ValueError, TypeError, KeyError):
            body_hash = hashlib.sha256(self.body.encode()).hexdigest()
            content = hashlib.sha256(f"{self.group} {body_hash}".encode()).hexdigest()
            return f"sqs:{QUEUE}:{content[:40]}"

    @property
    def own_id(self) -> str:
        """The ledger's key of this letter alone."""
        return f"sqs:{QUEUE}:@{self.sqs_id}"


def ledger_id(message: Message) -> str:
    """Return the ledger's key of a message of the team's that has an id."""
    return f"sqs:{QUEUE}:{message.message_id}"


def number_of(copy: dict[str, Any]) -> int:
    """Return the number of the letter of which a message on a queue is a copy; 0 for none."""
    return int(copy.get("MessageAttributes", {}).get(SERIAL, {}).get("StringValue", 0))

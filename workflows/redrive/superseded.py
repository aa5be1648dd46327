"""Superseded: copies of a registered queue's message from before a person edited it.

They are known by the hashes of their bodies, and are never sent. The edited body goes in their
place, with the attributes that the ledger has; where SQS has that already, they are deleted.
"""

from typing import Any

from workflows.messages.carried import Carried
from workflows.queues.letters import Letter, hash_of
from workflows.redrive.verdict import DeadLetter, Edited


class Superseded(Exception):
    """The message was edited, and its row speaks of another letter since; this is an old copy."""


def is_old(found: Letter, row: dict[str, Any]) -> bool:
    """Tell whether a letter has a body that a person replaced."""
    hashes = row.get("superseded_hashes", ())
    return found.body_hash in hashes and found.body_hash != row["payload_hash"]


def was_sent(row: dict[str, Any]) -> bool:
    """Tell whether the copy that a row counts has the body that a person gave it."""
    return bool(row.get("sent_hash") == row["payload_hash"])


def edit_of(row: dict[str, Any]) -> Edited | None:
    """Return what a person made of a message, by its whole row; None if the row's is another's."""
    if hash_of(row.get("body", "")) != row["payload_hash"]:
        return None
    attributes = {name: dict(one) for name, one in Carried.beside(row).attributes.items()}
    return Edited(row["message_id"], row["body"], attributes)


def edited(dead_letter: DeadLetter, edit: Edited) -> DeadLetter:
    """Return a dead letter with what a person made of its message."""
    found = dead_letter.copy()
    found["Body"], found["MessageAttributes"] = edit.body, edit.attributes or {}
    return found

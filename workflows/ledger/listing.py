"""Listing: under which key the sparse index has a message in trouble.

A list is a queue's own. What a message's queue is, its id says; the troubles that nobody is shown
are looked through for all queues at once.
"""

from workflows.ledger.status import Trouble
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.runtime import shards

_SHOWN = (Trouble.DEAD, Trouble.QUARANTINED)


def of(trouble: str, queue: str) -> str:
    """Return what those messages of a queue have in common that are in this trouble."""
    return str(trouble) if queue == DEFAULT_QUEUE or trouble not in _SHOWN else f"{queue}/{trouble}"


def key(trouble: str, message_id: str) -> str:
    """Return the index's key of a message; `retry.asl.json` spells it the same way."""
    return shards.key(of(trouble, queue_of(message_id)), message_id)

"""Looking rows of the ledger up, and what a row says of its message."""

from collections.abc import Iterable
from typing import Any

from workflows.ledger import large, rows
from workflows.messages.envelope import Message
from workflows.messages.message_types import meaning_hash
from workflows.messages.reasons import fingerprint
from workflows.runtime import clock, shards
from workflows.runtime.aws import dynamodb
from workflows.runtime.refusals import NotFound
from workflows.runtime.settings import settings

_COLUMNS = [
    "message_id", "status", "type", "group_id", "payload_hash", "superseded_hashes", "meaning_hash",
    "edited_meaning_hash", "redrives", "redrive_limit", "redrive_mark", "redriven_by",
    "attempts_total", "reason", "first_sent_at", "dead_at", "updated_at", "trouble", "lease_until",
    "execution_arns", "letter_id", "sent_hash",
]  # fmt: skip


_KNOWN = {
    "ProjectionExpression": ", ".join(f"#{column}" for column in _COLUMNS),
    "ExpressionAttributeNames": {f"#{column}": column for column in _COLUMNS},
}


class MessageNotFound(NotFound):
    """The ledger has no such message."""

    code = "message_not_found"


def is_copy(message: Message, row: dict[str, Any]) -> bool:
    """Tell whether a row is this message's, by its payload or by one that an edit superseded.

    A copy is known by its spelling, whatever has become of its type's model since, and another
    spelling by what it means. A row from before meanings were kept is known by spellings only.
    """
    spellings = (row["payload_hash"], *row.get("superseded_hashes", ()))
    meanings = (row.get("meaning_hash"), row.get("edited_meaning_hash"))
    return message.payload_hash in spellings or meaning_hash(message) in meanings


def is_current(message: Message, row: dict[str, Any]) -> bool:
    """Tell whether a copy says what its row's message says now; if not, an edit superseded it."""
    meant = row.get("edited_meaning_hash" if "superseded_hashes" in row else "meaning_hash")
    return message.payload_hash == row["payload_hash"] or meaning_hash(message) == meant


def get(message_id: str, shown_as: str = "") -> dict[str, Any]:
    """Return a message's row, read consistently.

    Args:
        message_id: its key in the ledger.
        shown_as: what whoever asks calls it, if otherwise.

    Raises:
        MessageNotFound: the ledger has none, or it was forgotten after its retention.
    """
    found = dynamodb().get_item(
        TableName=settings().messages_table, Key={"message_id": message_id}, ConsistentRead=True
    )
    if "Item" not in found:
        raise MessageNotFound(f"There is no message {shown_as or message_id}.")
    return large.whole(dict(found["Item"]))


def get_many(message_ids: Iterable[str], *, whole: bool = False) -> dict[str, dict[str, Any]]:
    """Return the rows of at most 100 messages by id, read consistently; unknown ids are absent.

    Only what tells where a message is, unless the `whole` rows are wanted, bodies and all.
    """
    if not whole:
        return rows.read(message_ids, _KNOWN)
    return {one: large.whole(row) for one, row in rows.read(message_ids, {}).items()}


def is_leased(row: dict[str, Any]) -> bool:
    """Tell whether a worker, or the retry machine's function, may still be at the message."""
    return int(row.get("lease_until", 0)) > clock.epoch()


def redrives_left(row: dict[str, Any]) -> int:
    """Return how often a message may still be redriven."""
    return max(0, int(row.get("redrive_limit", settings().max_redrives)) - int(row["redrives"]))


def run_of(row: dict[str, Any]) -> str | None:
    """Return which run redrove a message last; None if none did, or somebody sent it since."""
    return shards.common(str(row["redriven_by"])) if "redriven_by" in row else None


def fingerprint_of(row: dict[str, Any]) -> str | None:
    """Return what failures alike have in common; None of a message that has not failed.

    Reckoned from the reason and never stored, because the state machines give reasons too.
    """
    return fingerprint(row["type"], row["reason"]) if "reason" in row else None

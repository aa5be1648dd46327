"""Conditions on a row of the ledger that more than one of its writes names."""

from workflows.messages.envelope import Message
from workflows.messages.message_types import meaning_hash

# Begins the `redrive_mark` of a message that a person sent again; a run's begins with its id.
BY_HAND = "#"


# Nobody is at it: the lease of a worker or of the retry machine's function is over, or was given
# back. Whatever begins another life of a message waits for that, or an effect might follow it.
FREE = "(attribute_not_exists(lease_until) OR lease_until <= :epoch)"


# What SQS's own redrive brings back: dead by our record, or left by workers that died.
MOVED = f"(#status = :dead OR #status = :processing) AND {FREE}"


# `is_copy` and `is_current` as conditions, with the values of `hashes`.
COPY = (
    "(payload_hash = :payload_hash OR contains(superseded_hashes, :payload_hash)"
    " OR meaning_hash = :meaning_hash OR edited_meaning_hash = :meaning_hash)"
)


CURRENT = (
    "(payload_hash = :payload_hash OR edited_meaning_hash = :meaning_hash"
    " OR attribute_not_exists(superseded_hashes) AND meaning_hash = :meaning_hash)"
)


# Three deliveries, 180 s apart, and some more: a message whose worker died so long ago is in no
# other worker's hands. SQS moved it to the dead-letter queue, or it waits for its next delivery.
ABANDONED_SECONDS = 900


def hashes(message: Message) -> dict[str, str]:
    """Return the values of `COPY` and `CURRENT`."""
    return {":payload_hash": message.payload_hash, ":meaning_hash": meaning_hash(message)}

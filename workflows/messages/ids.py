"""Ids of messages: which a sender may use, and what is made of one.

They travel in URLs, execution histories and deduplication ids (128 characters at most, of which
a redrive takes a suffix): https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
"""

import hashlib
import re
import uuid
from typing import Annotated

from pydantic import StringConstraints

IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._:@=+-]*$"
# "<id>.r<n>" is what a redrive of <id> uses; as an id of its own it would be taken for a duplicate.
_REDRIVE_SUFFIX = re.compile(r"\.r[0-9]+$")
# The ledger's key of a message that has no id of its own: "sqs:" and SQS's MessageId.
FOREIGN_PREFIX = "sqs:"
# The queue of all messages whose ids say no other.
DEFAULT_QUEUE = "default"
# Stand in the API's paths in the place of an id: a message called so could not be read.
RESERVED_IDS = frozenset({"discard", "dlq", "quarantine", "retry", "send", "status"})
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
TypeName = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=64)]
_LONGEST = 120
_HASH_LENGTH = 40
_HASH = re.compile(rf"[0-9a-f]{{{_HASH_LENGTH}}}")
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER, min_length=1, max_length=120)]


def new_message_id() -> str:
    """Return an id for a sender that brought none."""
    return str(uuid.uuid4())


def check_message_id(message_id: str) -> str:
    """Return the id if a sender may use it; raise ValueError if it could be mistaken.

    For the deduplication id of a redrive, the ledger's key of a foreign message, or a path.
    """
    if message_id in RESERVED_IDS:
        raise ValueError(f"must be none of {', '.join(sorted(RESERVED_IDS))}: paths of the API")
    if _REDRIVE_SUFFIX.search(message_id):
        raise ValueError("must not end in '.r' and a number: redrives use that ending")
    if message_id.startswith(FOREIGN_PREFIX):
        raise ValueError(f"must not begin with '{FOREIGN_PREFIX}': foreign messages use that")
    return message_id


def of_queue(queue: str, identity: str) -> str:
    """Return the ledger's key of a message of a registered queue: "sqs:", its queue, its identity.

    An identity that cannot stand in a path, or is too long, stands there as its SHA-256.
    """
    found = f"{FOREIGN_PREFIX}{queue}:{identity}"
    fits = len(found) <= _LONGEST and re.fullmatch(IDENTIFIER, identity, re.ASCII)
    if fits and not _REDRIVE_SUFFIX.search(identity) and not _HASH.fullmatch(identity):
        return found
    return f"{FOREIGN_PREFIX}{queue}:{_hash(identity)}"


def as_group(text: str) -> str:
    """Return the message group that stands for a text: itself if it can, else its SHA-256."""
    fits = len(text) <= _LONGEST and re.fullmatch(IDENTIFIER, text, re.ASCII)
    return text if fits and not _HASH.fullmatch(text) else _hash(text)


def of_letter(queue: str, sqs_id: str) -> str:
    """Return the ledger's key of a message that is kept by itself, under SQS's MessageId.

    No identity stands so: none that begins with `@` is readable.
    """
    return f"{FOREIGN_PREFIX}{queue}:@{sqs_id}"


def of_content(queue: str, group: str, body_hash: str) -> str:
    """Return the ledger's key of a message of a registered queue that has no identity but this."""
    return f"{FOREIGN_PREFIX}{queue}:{_hash(f'{group} {body_hash}')}"


def names_one_of(queue: str, text: str) -> bool:
    """Tell whether a text is such a key as a message of a registered queue may have."""
    rest = text.removeprefix(f"{FOREIGN_PREFIX}{queue}:")
    return (
        rest != text
        and len(text) <= _LONGEST
        and re.fullmatch(IDENTIFIER, rest.removeprefix("@")) is not None
        and not _REDRIVE_SUFFIX.search(rest)
    )


def queue_of(message_id: str) -> str:
    """Return the name of a message's queue."""
    prefix, _, rest = message_id.partition(":")
    queue, colon, _ = rest.partition(":")
    return queue if f"{prefix}:" == FOREIGN_PREFIX and colon else DEFAULT_QUEUE


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]


def deduplication_id(message_id: str, redrives: int) -> str:
    """Return the MessageDeduplicationId of a message's copy after its first `redrives` redrives.

    Never the old one: within five minutes SQS would accept the copy and not deliver it.
    """
    return f"{message_id}.r{redrives}"


def stem(message_id: str) -> str:
    """Return a readable, unique beginning for execution names (80 of `A-Za-z0-9-_` at most)."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", message_id)[:40]
    return f"{readable}-{hashlib.sha256(message_id.encode()).hexdigest()[:12]}"

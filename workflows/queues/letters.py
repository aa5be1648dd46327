"""Letters: what a dead letter of a registered queue is, read by what its registration says.

Body and attributes may hold anything. What an expression cannot tell falls back to what every
message has, so that nothing is dropped and the guard of redrives cannot be passed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflows.messages import ids
from workflows.messages.canonical import as_floats
from workflows.messages.reasons import reason
from workflows.queues import expressions, wrappings
from workflows.queues.expressions import Subject
from workflows.queues.payloads import PayloadMissing
from workflows.queues.queue import Queue
from workflows.runtime.strict_json import loads

# Ours, on a copy whose body was edited: whose copy it is, and the SHA-256 of the body it came with.
IDENTITY_ATTRIBUTE = "RedriveIdentity"
# The ledger's column of the message group, where `group_id` is what the registration says.
MESSAGE_GROUP = "message_group"
_LABEL_LENGTH = 64
# Where producers and consumers of the field say why a message failed.
ERROR_TYPES = ("ErrorType", "errorType", "ReasonType", "ErrorCode")
ERROR_MESSAGES = ("ErrorMessage", "errorMessage", "ReasonMessage")


@dataclass(frozen=True)
class Letter:
    """A dead letter: its id in the ledger, its labels, and why it is dead.

    `parsed` is what its body holds where that is JSON, else None; `body_hash` knows the very bytes.
    `is_missing`: what the body holds would lie in S3, and is not there. Its `message_id` is "" if
    only that could tell.
    """

    message_id: str
    type: str
    group_id: str
    parsed: Any
    body_hash: str
    reason: dict[str, str]
    is_missing: bool = False

    @property
    def is_unread(self) -> bool:
        """Whether it is of a plan, and nobody has its body at hand."""
        return not self.body_hash

    @property
    def payload(self) -> dict[str, Any] | None:
        """What a filter looks at: a body that is a JSON object."""
        return self.parsed if isinstance(self.parsed, dict) else None


def read(
    queue: Queue, body: str, attributes: Mapping[str, str], group: str, receives: str = ""
) -> Letter:
    """Return what a dead letter of a queue is, whatever it holds.

    Args:
        queue: which has it.
        body: as SQS gave it.
        attributes: the values of its message attributes that are texts or numbers.
        group: its message group; "" for none.
        receives: how often SQS says that it was received.

    Raises:
        workflows.queues.payloads.PayloadUnreadable: S3 does not give what it points to.
    """
    inside, is_missing = _inside(queue, body)
    parsed = _parsed(inside)
    about = _subject(inside, parsed, attributes, group)
    body_hash = hash_of(body)
    # Of what is not there nobody knows how the identity would have been found.
    is_nameless = is_missing and (not queue.identity or expressions.reads_body(queue.identity))
    message_id = _known(queue, attributes, body_hash) or (
        "" if is_nameless else _identity(queue, about, group, body_hash)
    )
    return Letter(
        message_id=message_id,
        type=_label(queue.type, about) or queue.name,
        group_id=_label(queue.group, about) or group,
        parsed=parsed,
        body_hash=body_hash,
        reason=_reason(queue, about, attributes, receives),
        is_missing=is_missing,
    )


def told_id(queue: Queue, body: str, attributes: Mapping[str, str], group: str) -> str:
    """Return the id that a registration's expression tells of a message; "" if it finds nothing.

    Raises:
        workflows.queues.payloads.PayloadUnreadable: S3 does not give what it points to.
    """
    inside, is_missing = _inside(queue, body)
    if is_missing and expressions.reads_body(queue.identity):
        return ""
    found = _text(queue.identity, _subject(inside, _parsed(inside), attributes, group))
    return ids.of_queue(queue.name, found) if found else ""


def hash_of(body: str) -> str:
    """Return the SHA-256 of a body."""
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def identity_attribute(message_id: str, body: str) -> dict[str, dict[str, str]]:
    """Return the attribute that tells whose copy a message with an edited body is.

    By it the dead letter that may become of the copy is known, whatever the edit changed.
    """
    value = f"{message_id} {hash_of(body)}"
    return {IDENTITY_ATTRIBUTE: {"DataType": "String", "StringValue": value}}


def _inside(queue: Queue, body: str) -> tuple[str, bool]:
    """Return what a body holds, and whether that is missing."""
    try:
        return wrappings.inner(body, queue.unwrap), False
    except PayloadMissing:
        return "", True


def _known(queue: Queue, attributes: Mapping[str, str], body_hash: str) -> str:
    """Return the id that our attribute tells of a copy whose body was edited; "" of any other."""
    message_id, _, of_body = attributes.get(IDENTITY_ATTRIBUTE, "").partition(" ")
    # Before the expression, which may find in an edited body what it did not find before. Anybody
    # can write an attribute: it may name no message of another queue, nor another body.
    is_ours = of_body == body_hash and ids.names_one_of(queue.name, message_id)
    return message_id if is_ours else ""


def _identity(queue: Queue, about: Subject, group: str, body_hash: str) -> str:
    found = _text(queue.identity, about)
    if found:
        return ids.of_queue(queue.name, found)
    return ids.of_content(queue.name, group, body_hash)


def _subject(body: str, parsed: Any, attributes: Mapping[str, str], group: str) -> Subject:
    """Return a message as expressions see it: without the attribute that we add."""
    theirs = {name: text for name, text in attributes.items() if name != IDENTITY_ATTRIBUTE}
    return {"body": body if parsed is None else parsed, "attributes": theirs, "group": group}


def _label(expression: str, about: Subject) -> str:
    """Return what an expression says, as a list shows it; "" for nothing."""
    found = _text(expression, about)
    label = "".join(c if "!" <= c <= "~" else "_" for c in found)
    return label[:_LABEL_LENGTH]


def _reason(
    queue: Queue, about: Subject, attributes: Mapping[str, str], receives: str
) -> dict[str, str]:
    kind = _text(queue.error, about) or _first(attributes, ERROR_TYPES)
    text = _first(attributes, ERROR_MESSAGES)
    after = f" after {receives} receives" if receives else ""
    usual = f"It ended on the dead-letter queue{after}."
    return reason(kind[:_LABEL_LENGTH] or "DeadLettered", text or usual)


def _first(attributes: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((attributes[name] for name in names if attributes.get(name)), "")


def _text(expression: str, about: Subject) -> str:
    return expressions.text(expression, about) if expression else ""


def _parsed(body: str) -> Any:
    try:
        return as_floats(loads(body))
    except (ValueError, RecursionError):
        return None

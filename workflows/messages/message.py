"""The envelope: what every message on the queues looks like, and what makes one invalid.

The envelope is the SQS body. It is written once, by the sender, and every hop forwards the very
bytes: identity, first-sent time and trace survive SQS's own moves, which keep nothing else.
"""

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)

from workflows.messages.canonical import as_floats
from workflows.runtime import clock
from workflows.runtime.asked import describe, first, problem, sentence
from workflows.runtime.refusals import Conflict, Invalid, TooLarge
from workflows.runtime.strict_json import loads

# Ids travel in URLs, execution histories and deduplication ids (128 characters at most, of which
# a redrive takes a suffix): https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._:@=+-]*$"
# "<id>.r<n>" is what a redrive of <id> uses; as an id of its own it would be taken for a duplicate.
_REDRIVE_SUFFIX = re.compile(r"\.r[0-9]+$")
# The ledger's key of a message that has no id of its own: "sqs:" and SQS's MessageId.
FOREIGN_PREFIX = "sqs:"
# Stand in the API's paths in the place of an id: a message called so could not be read.
RESERVED_IDS = frozenset({"discard", "dlq", "quarantine", "retry", "send", "status"})
# SQS counts message attributes as size; the reasons that we add must fit beside any accepted body.
ATTRIBUTE_RESERVE_BYTES = 1_024
_REASON_LENGTH = 256
_TEMPLATE_LENGTH = 64  # of ten dead letters they fit a state beside ten bodies
# Of what pydantic found, which a stranger's dead letter may have: those are the longest of all.
_FOUND_LENGTH = 48
_FIELD = re.compile(r"\{[^{}]*\}")
# A word with a digit in it; sought from its beginning, or a long one were tried at each letter.
_VALUE = re.compile(r"(?<!\S)[^\s\d]*\d\S*")
# JSON escapes these two; ten reasons full of them would not fit a state beside ten bodies.
_UNESCAPED = str.maketrans({'"': "'", "\\": "/"})

Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER, min_length=1, max_length=120)]


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


class Cause(Exception):
    """An error that keeps apart what happened and whom it met.

    `AccountFrozen("Account {account_id} is frozen.", account_id="acct-7")` reads as a sentence, and
    is one cause of failure with all others of its template, whatever the account is called.
    """

    def __init__(self, template: str = "", /, **fields: object) -> None:
        """Take a sentence with fields in braces, and their values; without any it is the text."""
        super().__init__(template.format(**fields) if fields else template)
        self.template = template if fields else ""


class InvalidMessage(Cause, Invalid):
    """The message can never be processed, however often it is tried."""

    code = "invalid_message"


class InvalidEnvelope(InvalidMessage):
    """The body is not an envelope of this service."""


class InvalidPayload(InvalidMessage):
    """The payload does not fit the message's type."""


class UnknownType(InvalidMessage):
    """No message type has that name."""


class MessageConflict(InvalidMessage):
    """Another message was sent under this message_id."""


class RedriveLimitReached(Conflict):
    """The message was redriven as often as it may and failed each time."""

    code = "redrive_limit_reached"


class MessageTooLarge(TooLarge):
    """The message is larger than the queues take."""

    code = "message_too_large"

    def __init__(self, size: int, limit: int) -> None:
        """Take both in bytes of the encoded envelope."""
        super().__init__(f"The message is {size} bytes long; the limit is {limit} bytes.")
        self.size = size
        self.limit = limit


class Message(BaseModel):
    """One message. `group_id` is the FIFO message group, `first_sent_at` ISO 8601 in UTC.

    A foreign sender's time may have another zone; without one it is UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_id: Identifier
    type: Annotated[str, StringConstraints(pattern=_IDENTIFIER, max_length=64)]
    group_id: Identifier
    payload: dict[str, Any]
    first_sent_at: Annotated[datetime, AfterValidator(_in_utc)]
    trace_id: Annotated[str, StringConstraints(pattern=_IDENTIFIER, max_length=128)]
    submitted_by: Annotated[str, StringConstraints(min_length=1, max_length=254)]

    @property
    def first_sent_at_text(self) -> str:
        """Return the first-sent time as the body and the ledger have it."""
        return clock.text(self.first_sent_at)

    @property
    def payload_hash(self) -> str:
        """Know a copy by its spelling: SHA-256 of type, group and payload as they are written.

        What it means, however it is spelled, `workflows.messages.message_types.meaning_hash` tells.
        """
        same = {"type": self.type, "group_id": self.group_id, "payload": self.payload}
        return hashlib.sha256(_dumps(same, sort_keys=True).encode()).hexdigest()

    def body(self) -> str:
        """Return the SQS body: ASCII JSON, so no character needs care on the way.

        Raises:
            InvalidPayload: the payload has a number that JSON cannot write (NaN, infinity).
        """
        return _dumps(dict(self) | {"first_sent_at": self.first_sent_at_text})


def foreign_hash(body: str) -> str:
    """Return the payload hash of a body that is no envelope."""
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


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


def check_size(body: str, limit: int) -> None:
    """Raise `MessageTooLarge` if the body and its future attributes exceed `limit` bytes."""
    if len(body.encode()) > limit - ATTRIBUTE_RESERVE_BYTES:
        raise MessageTooLarge(len(body.encode()), limit - ATTRIBUTE_RESERVE_BYTES)


def parse(body: str, group_id: str | None) -> Message:
    """Read a body as an envelope.

    Args:
        body: the SQS body, whatever it holds.
        group_id: the SQS MessageGroupId it came with; the envelope must name the same.

    Raises:
        InvalidEnvelope: with a reason that never quotes the body.
    """
    try:
        message = Message.model_validate(loads(body))
        check_message_id(message.message_id)
    except ValidationError as error:
        raise invalid(InvalidEnvelope, error, Message) from None
    except ValueError as error:
        raise InvalidEnvelope(str(error)) from None
    if message.group_id != group_id:
        raise InvalidEnvelope("group_id is not the message group of the queue")
    return message


def invalid(
    kind: type[InvalidMessage], error: ValidationError, asked: type[BaseModel]
) -> InvalidMessage:
    """Return an error that says what pydantic found; a name that a sender made up is a field."""
    found = kind(describe(error, asked))
    errors, _ = first(error.errors(include_url=False, include_input=False, include_context=False))
    causes = (
        f"{{field}}: {p['msg']}"
        if p["type"] == "extra_forbidden"
        else sentence([problem(dict(p), asked)])
        for p in errors
    )
    template = "; ".join(dict.fromkeys(causes))
    found.template = template[:_FOUND_LENGTH] if template != str(found) else ""
    return found


def reason(error: BaseException) -> dict[str, str]:
    """Return an error as the ledger keeps it: {type, message}, and its template if it has fields.

    SQS allows no control characters in attributes and we no more than 256 characters.
    """
    text = _printable(str(error)) or _printable(type(error).__doc__ or "") or "no message"
    why = {"type": type(error).__name__, "message": text[:_REASON_LENGTH]}
    if isinstance(error, Cause) and error.template:
        why["template"] = _printable(error.template)[:_TEMPLATE_LENGTH]
    return why


def _printable(text: str) -> str:
    found = " ".join(text.split())
    found = "".join(c if c.isascii() and c.isprintable() else "?" for c in found)
    return found.translate(_UNESCAPED)


def fingerprint(message_type: str, why: dict[str, str]) -> str:
    """Group failures alike: error class, message without whom it met, message type.

    By its template; of a message that has none, whatever has a digit is taken for a value.
    """
    text = _FIELD.sub("0", why["template"]) if "template" in why else why["message"]
    normalized = _VALUE.sub("#", text.lower())
    alike = "|".join((message_type, why["type"], normalized))
    return hashlib.sha256(alike.encode()).hexdigest()[:16]


def deduplication_id(message_id: str, redrives: int) -> str:
    """Return the MessageDeduplicationId of a message's copy after its first `redrives` redrives.

    Never the old one: within five minutes SQS would accept the copy and not deliver it.
    """
    return f"{message_id}.r{redrives}"


def stem(message_id: str) -> str:
    """Return a readable, unique beginning for execution names (80 of `A-Za-z0-9-_` at most)."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", message_id)[:40]
    return f"{readable}-{hashlib.sha256(message_id.encode()).hexdigest()[:12]}"


def _dumps(value: Any, *, sort_keys: bool = False) -> str:
    try:
        return json.dumps(
            value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False, default=as_floats
        )
    except ValueError as error:
        raise InvalidPayload(str(error)) from None

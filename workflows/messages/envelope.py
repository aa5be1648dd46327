"""The envelope: what every message on the queues looks like, and what makes one invalid.

The envelope is the SQS body. It is written once, by the sender, and every hop forwards the very
bytes: identity, first-sent time and trace survive SQS's own moves, which keep nothing else.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from workflows.messages.canonical import as_floats
from workflows.messages.ids import IDENTIFIER, Identifier, TypeName, check_message_id
from workflows.messages.reasons import Cause
from workflows.runtime import clock
from workflows.runtime.asked import describe, first, problem, sentence
from workflows.runtime.refusals import Invalid
from workflows.runtime.strict_json import loads

# Of what pydantic found, which a stranger's dead letter may have: those are the longest of all.
_FOUND_LENGTH = 48


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


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


class Message(BaseModel):
    """One message. `group_id` is the FIFO message group, `first_sent_at` ISO 8601 in UTC.

    A foreign sender's time may have another zone; without one it is UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_id: Identifier
    type: TypeName
    group_id: Identifier
    payload: dict[str, Any]
    first_sent_at: Annotated[datetime, AfterValidator(_in_utc)]
    trace_id: Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=128)]
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


def _dumps(value: Any, *, sort_keys: bool = False) -> str:
    try:
        return json.dumps(
            value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False, default=as_floats
        )
    except ValueError as error:
        raise InvalidPayload(str(error)) from None

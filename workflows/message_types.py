"""The message types: a new one is a module with a pydantic `Payload`, `group_id` and `process`."""

from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from workflows import clock, transaction
from workflows.message import InvalidPayload, Message, UnknownType, describe


class TooOld(Exception):
    """The message was first sent longer ago than its type allows a redrive."""


class MessageType(Protocol):
    """What the module of a message type offers."""

    Payload: type[Any]

    @property
    def MAX_AGE_SECONDS(self) -> int | None:  # noqa: N802 - a constant of the module
        """How long ago a message may have been sent first for a redrive; None: any time."""

    def group_id(self, payload: Any) -> str | None:
        """Return the message group for a payload whose sender named none; None: its own."""

    def process(self, message_id: str, payload: Any) -> None:
        """Have the effect, once for each message id.

        Raises:
            workflows.message.InvalidMessage: no further try can help.
            Exception: any other error is retried.
        """


TYPES: dict[str, MessageType] = {"transaction": transaction}


def validate(message_type: str, payload: dict[str, Any]) -> BaseModel:
    """Return the payload as its type's model.

    Raises:
        UnknownType: the type is not in `TYPES`.
        InvalidPayload: naming the fields, never their values.
    """
    if message_type not in TYPES:
        raise UnknownType(f"type: must be one of {', '.join(sorted(TYPES))}")
    try:
        model: BaseModel = TYPES[message_type].Payload.model_validate(payload)
    except ValidationError as error:
        raise InvalidPayload(describe(error)) from None
    return model


def check_age(message: Message) -> None:
    """Refuse a message that is too old to have its effect now; its type must be known.

    Raises:
        TooOld: it was first sent more than the type's `MAX_AGE_SECONDS` ago.
    """
    limit = TYPES[message.type].MAX_AGE_SECONDS
    age = datetime.fromisoformat(clock.now()) - message.first_sent_at
    if limit is not None and age.total_seconds() > limit:
        raise TooOld(f"The message was first sent more than {limit} seconds ago.")


def process(message: Message) -> None:
    """Have the message's effect, once; raises what its type's `process` raises."""
    payload = validate(message.type, message.payload)  # first: the type may be unknown
    TYPES[message.type].process(message.message_id, payload)

"""The message types: modules with a pydantic `Payload`, `group_id` and `process`, and functions.

The first are built in, the others registered: `registered_types`. A name of both is the built-in's.
"""

import hashlib
import json
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from workflows.messages import registered_types, transaction
from workflows.messages.canonical import as_floats, canonical, inexact
from workflows.messages.effect_functions import EffectFunction, Try
from workflows.messages.envelope import (
    InvalidMessage,
    InvalidPayload,
    Message,
    UnknownType,
    invalid,
)
from workflows.runtime import clock
from workflows.runtime.settings import settings


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
            workflows.messages.envelope.InvalidMessage: no further try can help.
            Exception: any other error is retried. A `workflows.messages.reasons.Cause` says
                apart what happened and whom it met, by which failures are grouped.
        """


TYPES: dict[str, MessageType] = {"transaction": transaction}


def built_in(message_type: str) -> MessageType | None:
    """Return a type of `TYPES` if it is deployed; the demo's needs its table."""
    found = TYPES.get(message_type)
    return None if found is transaction and not settings().accounts_table else found


def validate(message_type: str, payload: dict[str, Any]) -> Any:
    """Return the payload as its type's model; of a registered type as it is.

    Raises:
        UnknownType: the type is neither built in nor registered.
        InvalidPayload: naming the fields, never their values.
    """
    kind = built_in(message_type)
    return _read(kind, payload) if kind else _registered(message_type).check(payload)


def _read(kind: MessageType, payload: dict[str, Any]) -> BaseModel:
    model = _model(kind, payload)
    lossy = list(inexact(payload))
    if lossy and not _alike(model, _model(kind, as_floats(payload))):
        raise InvalidPayload(
            "{field}: has more digits than a JSON number keeps; write it as a text", field=lossy[0]
        )
    return model


def meaning_hash(message: Message) -> str:
    """Know what a message says: SHA-256 of type, group and what the type makes of the payload.

    Of a payload that its type cannot read, that is its spelling: `Message.payload_hash`. It may be
    another after the type's model has changed, so a copy is known by its spelling as well. What is
    not in `TYPES`, deployed or not, has no model: there it is the JSON, whoever is registered.
    """
    kind = TYPES.get(message.type)
    try:
        meant = canonical(_read(kind, message.payload) if kind else message.payload)
        text = json.dumps([message.type, message.group_id, meant], sort_keys=True)
    except (InvalidMessage, TypeError, ValueError, OverflowError):
        return message.payload_hash
    return hashlib.sha256(text.encode()).hexdigest()


def _model(kind: MessageType, payload: dict[str, Any]) -> BaseModel:
    try:
        model: BaseModel = kind.Payload.model_validate(payload)
    except ValidationError as error:
        raise invalid(InvalidPayload, error, kind.Payload) from None
    return model


def _alike(one: BaseModel, other: BaseModel) -> bool:
    """Tell whether two models hold the same; not, where that cannot be told."""
    try:
        return bool(canonical(one) == canonical(other))
    except TypeError:
        return False


def check_age(message: Message) -> None:
    """Refuse a message that is too old to have its effect now; its type must be known.

    Raises:
        TooOld: it was first sent more than the type's `MAX_AGE_SECONDS` ago.
    """
    kind = built_in(message.type)
    limit = kind.MAX_AGE_SECONDS if kind else _registered(message.type).max_age_seconds
    age = datetime.fromisoformat(clock.now()) - message.first_sent_at
    if limit is not None and age.total_seconds() > limit:
        raise TooOld(f"The message was first sent more than {limit} seconds ago.")


def group_id(message_type: str, payload: Any) -> str | None:
    """Return the message group for what `validate` gave; None: the message's own."""
    return (built_in(message_type) or _registered(message_type)).group_id(payload)


def process(message: Message, tried: Try | None = None) -> None:
    """Have the message's effect, once; raises what its type's `process`, or its function, raises.

    Args:
        message: whose.
        tried: which try it is; a registered type's function is told. None: the first.
    """
    payload = validate(message.type, message.payload)  # first: the type may be unknown
    if kind := built_in(message.type):
        kind.process(message.message_id, payload)
    else:
        _registered(message.type).have_effect(message, tried or Try())


def _registered(message_type: str) -> EffectFunction:
    found = registered_types.find(message_type)
    if found is None:
        raise UnknownType("type: is neither built in nor registered; see GET /types")
    return found

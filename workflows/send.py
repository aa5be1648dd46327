"""Sending: record the message, put it on the work queue, and only then say so."""

from typing import Any

from pydantic import BaseModel

from workflows.ledger import lookup, lost, transitions
from workflows.ledger.status import Status
from workflows.messages import isolation, message_types
from workflows.messages.envelope import Message
from workflows.messages.ids import Identifier, check_message_id, new_message_id
from workflows.messages.limits import check_size
from workflows.runtime import clock
from workflows.runtime.asked import Asked
from workflows.runtime.aws import sqs
from workflows.runtime.refusals import Conflict, Invalid
from workflows.runtime.settings import settings


class ConflictingMessage(Conflict):
    """Another message was sent under this message_id."""

    code = "message_id_conflict"


class InvalidRequest(Invalid):
    """The request cannot be met as it is."""

    code = "invalid_request"


class SendRequest(Asked):
    """What a producer asks for; a missing `message_id` or `group_id` is chosen by the server."""

    type: str
    payload: dict[str, Any]
    group_id: Identifier | None = None
    message_id: Identifier | None = None


class Sent(BaseModel):
    """What became of the request; `duplicate` if the same message had been sent before.

    One that the work queue lost since is no duplicate: it is sent again.
    """

    message_id: str
    group_id: str
    status: str
    duplicate: bool


def send(request: SendRequest, submitted_by: str, trace_id: str, scope: str = "") -> Sent:
    """Send a message once for each message id, however often it is asked for.

    Under its id it is sent again only after the work queue is known to have lost it.

    Args:
        request: what to send.
        submitted_by: the sender's address.
        trace_id: of the request.
        scope: how ids and groups begin that are the sender's own; the answer is without it.

    Raises:
        workflows.messages.envelope.InvalidMessage: type or payload are wrong; nothing was recorded.
        workflows.messages.limits.MessageTooLarge: nothing was recorded.
        ConflictingMessage: the id belongs to another message.
        InvalidRequest: the id is reserved.
    """
    payload = message_types.validate(request.type, request.payload)
    message_id = request.message_id or new_message_id()
    try:
        check_message_id(message_id)
    except ValueError as error:
        raise InvalidRequest(f"message_id: {error}") from None
    group_id = request.group_id or message_types.group_id(request.type, payload) or message_id
    message = Message(
        message_id=_scoped(scope, message_id=message_id),
        type=request.type,
        group_id=_scoped(scope, group_id=group_id),
        payload=request.payload,
        first_sent_at=clock.now(),
        trace_id=trace_id,
        submitted_by=submitted_by,
    )
    check_size(message.body(), settings().max_message_bytes)
    earlier = transitions.accept(message)
    if earlier is None:
        return _put(message, scope, duplicate=False, repeated=False)
    # An operator may have edited it since: its producer's repetition is still the same message.
    if not lookup.is_copy(message, earlier):
        raise ConflictingMessage(f"message_id {message_id} was used for another message.")
    # Made before anything is written. A row that a run made does not say who sent its message.
    columns = ("group_id", "first_sent_at", "submitted_by", "trace_id")
    kept = {name: earlier[name] for name in columns if name in earlier}
    copy = Message.model_validate(message.model_dump() | kept)
    again = lost.send_again(earlier)
    if again or earlier["status"] == Status.ACCEPTED:
        # The queue lost it; or nobody knows whether it has it, because the first try may have
        # stopped between ledger and queue: the same bytes under the same deduplication id, which
        # SQS takes for one message.
        return _put(copy, scope, duplicate=not again, repeated=True)
    return Sent(
        message_id=message_id,
        group_id=message.group_id.removeprefix(scope),
        status=earlier["status"],
        duplicate=True,
    )


def _scoped(scope: str, **named: str) -> str:
    """Return an id with its scope.

    Raises:
        InvalidRequest: it is too long for one.
    """
    ((field, text),) = named.items()
    if scope and len(text) > isolation.LENGTH:
        raise InvalidRequest(f"{field}: must have at most {isolation.LENGTH} characters")
    return scope + text


def _put(message: Message, scope: str, *, duplicate: bool, repeated: bool) -> Sent:
    # Of a message that nobody asks for again, the next word is its worker's. What was sent twice is
    # noted, so that it is not sent again at each further repetition.
    sqs().send_message(
        QueueUrl=settings().work_queue_url,
        MessageBody=message.body(),
        MessageGroupId=message.group_id,
        MessageDeduplicationId=message.message_id,
    )
    if repeated:
        transitions.queued(message.message_id)
    return Sent(
        message_id=message.message_id.removeprefix(scope),
        group_id=message.group_id.removeprefix(scope),
        status=Status.QUEUED,
        duplicate=duplicate,
    )

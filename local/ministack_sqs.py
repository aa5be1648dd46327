"""Where MiniStack's SQS differs from AWS's: a part of `ministack_quirks`, which see."""

import base64
import threading
from collections.abc import Callable, Iterator
from typing import Any

from local import legal_ids

_MOST_ATTRIBUTES = 10


def patch(sqs: Any) -> None:
    """Change MiniStack's SQS inside its own process, before it starts."""
    sending = threading.local()
    sqs._act_send_message_batch = _with_system_attributes(sqs._act_send_message_batch, sending)
    sqs._act_send_message = _measured(sqs, sqs._act_send_message, sending)
    sqs._HANDLERS["SendMessageBatch"] = sqs._act_send_message_batch
    sqs._HANDLERS["SendMessage"] = sqs._act_send_message
    sqs._dispatch = _with_legal_ids(sqs, sqs._dispatch)


def _with_legal_ids(sqs: Any, dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse ids with letters that SQS does not take; MiniStack takes any. See `legal_ids`."""

    async def dispatch_or_refuse(action: str, data: dict[str, Any], url: str) -> Any:
        if name := legal_ids.illegal_sqs_id(data):
            raise sqs._Err("InvalidParameterValue", f"{name} has letters that SQS does not take.")
        return await dispatch(action, data, url)

    return dispatch_or_refuse


def _with_system_attributes(send_batch: Callable[..., Any], sending: Any) -> Callable[..., Any]:
    """Let a batch keep its messages' system attributes; MiniStack drops them there.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatchRequestEntry.html
    """

    def send_message_batch(data: dict[str, Any], url: str) -> Any:
        entries = data.get("Entries") or []
        # It sends the entries one by one, in their order.
        sending.system = iter([entry.get("MessageSystemAttributes") for entry in entries])
        try:
            return send_batch(data, url)
        finally:
            del sending.system

    return send_message_batch


def _measured(sqs: Any, send: Callable[..., Any], sending: Any) -> Callable[..., Any]:
    """Take ten attributes at most, and count them as size; MiniStack measures the body alone.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """

    def send_message(data: dict[str, Any], url: str) -> Any:
        system: Iterator[Any] | None = getattr(sending, "system", None)
        if system is not None:
            data = data | {"MessageSystemAttributes": next(system)}
        queue = sqs._get_q(data.get("QueueUrl", url), "sqs:SendMessage")
        attributes = data.get("MessageAttributes") or {}
        if len(attributes) > _MOST_ATTRIBUTES:
            raise sqs._Err(
                "InvalidParameterValue",
                f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum"
                f" [{_MOST_ATTRIBUTES}].",
            )
        limit = int(queue["attributes"].get("MaximumMessageSize", "1048576"))
        body = len(data.get("MessageBody", "").encode())
        if body <= limit < body + size(attributes):
            raise sqs._Err(
                "InvalidParameterValue",
                "One or more parameters are invalid. Reason: Message must be shorter than"
                f" {limit} bytes.",
            )
        return send(data, url)

    return send_message


def size(attributes: dict[str, Any]) -> int:
    """Return what message attributes, binary ones in base64, add to a message's size in bytes."""
    return sum(
        len(name.encode())
        + len(one["DataType"].encode())
        + len(
            base64.b64decode(one["BinaryValue"])
            if "BinaryValue" in one
            else one["StringValue"].encode()
        )
        for name, one in attributes.items()
    )

"""What moto's SQS needs to behave as AWS's FIFO queues do."""

import itertools
from typing import Any
from unittest import mock

from moto.sqs import models as sqs
from moto.sqs.exceptions import EmptyBatchRequest, InvalidParameterValue
from moto.sqs.responses import SQSResponse

from local import legal_ids

# 20 digits, as AWS's.
_FIRST_NUMBER = 10**19
_MOST_ATTRIBUTES = 10


def patches() -> list[Any]:
    """Return what is to be patched for as long as moto is in the place of AWS."""
    add, send_batch = sqs.Queue.add_message, sqs.SQSBackend.send_message_batch
    receive, send = sqs.SQSBackend.receive_message, sqs.SQSBackend.send_message
    return [
        mock.patch.object(sqs.Queue, "add_message", _as_fifo(add)),
        mock.patch.object(sqs.SQSBackend, "send_message", _measured(send)),
        mock.patch.object(sqs.SQSBackend, "send_message_batch", _each_for_itself(send_batch)),
        mock.patch.object(sqs.SQSBackend, "receive_message", _in_order(receive)),
        *(
            mock.patch.object(SQSResponse, name, _legal(getattr(SQSResponse, name)))
            for name in ("receive_message", "send_message", "send_message_batch")
        ),
        mock.patch.object(
            SQSResponse,
            "change_message_visibility_batch",
            _of_some(SQSResponse.change_message_visibility_batch),
        ),
    ]


def _of_some(answer: Any) -> Any:
    """Refuse a batch of none, as AWS does and moto only where it sends or deletes.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
    """

    def answer_or_refuse(response: Any) -> Any:
        if not response._get_param("Entries", []):
            raise EmptyBatchRequest(action="Change")
        return answer(response)

    return answer_or_refuse


def _legal(answer: Any) -> Any:
    """Refuse ids with letters that SQS does not take; moto takes any."""

    def answer_or_refuse(response: Any) -> Any:
        if name := legal_ids.illegal_sqs_id(response._get_params()):
            raise InvalidParameterValue(f"{name} has letters that SQS does not take.")
        return answer(response)

    return answer_or_refuse


def _as_fifo(add: Any) -> Any:
    """Let a queue remember the deduplication ids that it has seen, and number its messages.

    moto forgets the id of a message that was deleted; AWS remembers it for five minutes:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
    And its numbers are random, where AWS's grow:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-key-terms.html
    """
    numbers = itertools.count(_FIRST_NUMBER)

    def add_message(queue: Any, message: Any) -> None:
        if not queue.fifo_queue:
            add(queue, message)
            return
        if message.approximate_receive_count:
            message.deduplication_id = message.id  # SQS itself moves it, and does so on AWS
        seen = queue.__dict__.setdefault("deduplication_ids", {})
        last = seen.get(message.deduplication_id)
        sent = message.sent_timestamp
        if last is not None and sent - last < 1_000 * sqs.DEDUPLICATION_TIME_IN_SECONDS:
            return
        if message.deduplication_id:
            seen[message.deduplication_id] = sent
        message.sequence_number = str(next(numbers))
        add(queue, message)

    return add_message


def _in_order(receive: Any) -> Any:
    """Let a group that is visible again be handed out from its first message on.

    moto takes it for one that is in flight until each of its messages was looked at; so it hands
    out the last one first.
    """

    def receive_message(backend: Any, queue_name: str, *args: Any, **named: Any) -> Any:
        pending = backend.get_queue(queue_name).pending_messages
        pending -= {message for message in pending if message.visible}
        return receive(backend, queue_name, *args, **named)

    return receive_message


def _measured(send: Any) -> Any:
    """Take ten attributes at most, and count them as size; moto measures the body alone.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """

    def send_message(
        backend: Any,
        queue_name: str,
        message_body: str,
        message_attributes: Any = None,
        **more: Any,
    ) -> Any:
        _measure(backend.get_queue(queue_name), message_body, message_attributes or {})
        return send(backend, queue_name, message_body, message_attributes, **more)

    return send_message


def _measure(queue: Any, body: str, attributes: dict[str, Any]) -> None:
    if len(attributes) > _MOST_ATTRIBUTES:
        raise InvalidParameterValue(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum"
            f" [{_MOST_ATTRIBUTES}]."
        )
    size = len(body.encode("utf-8", "surrogatepass")) + sum(
        len(name.encode()) + len(one["DataType"]) + len(_value(one))
        for name, one in attributes.items()
    )
    if size > queue.maximum_message_size:
        raise InvalidParameterValue(
            "One or more parameters are invalid. Reason: Message must be shorter than"
            f" {queue.maximum_message_size} bytes."
        )


def _value(attribute: dict[str, Any]) -> bytes:
    value = attribute.get("BinaryValue", attribute.get("StringValue"))
    return value if isinstance(value, bytes) else str(value).encode()


def _each_for_itself(send_batch: Any) -> Any:
    """Let a message that is too long for its queue fail by itself, and keep system attributes.

    moto refuses its whole batch, and drops the attributes; AWS reports each message for itself:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
    """

    def send_message_batch(backend: Any, queue_name: str, entries: dict[str, Any]) -> Any:
        queue, good, failed = backend.get_queue(queue_name), {}, []
        for index, entry in entries.items():
            try:
                backend._validate_message(
                    queue,
                    entry["MessageBody"],
                    0,
                    entry.get("MessageDeduplicationId"),
                    entry.get("MessageGroupId"),
                )
                _measure(queue, entry["MessageBody"], entry["MessageAttributes"])
            except InvalidParameterValue as error:
                failed.append(
                    {
                        "Id": entry["Id"],
                        "SenderFault": True,
                        "Code": error.code,
                        "Message": error.message,
                    }
                )
            else:
                good[index] = entry
        sent, refused = send_batch(backend, queue_name, good)
        system = {one["Id"]: one.get("MessageSystemAttributes") for one in good.values()}
        for message in sent:
            message.system_attributes = system[message.user_id] or {}
        return sent, [*refused, *failed]

    return send_message_batch

"""Consuming: what happens to one message that the work queue delivered.

A worker may die between any two lines here. What SQS then brings again meets the ledger first, so
a message has its effect once; it leaves the queue only when its effect, the dead-letter queue or
the retry machine has it.
"""

from dataclasses import dataclass
from functools import cached_property

from workflows import ledger, message_types, retry
from workflows.aws import sqs
from workflows.ledger import Verdict
from workflows.message import (
    InvalidMessage,
    Message,
    MessageConflict,
    RedriveLimitReached,
    deduplication_id,
    parse,
    reason,
)
from workflows.settings import settings


class MessageBusy(Exception):
    """Another worker holds the message; SQS will deliver it again."""


@dataclass(frozen=True)
class Delivery:
    """One SQS record: its body as it came, its message group, and SQS's own MessageId."""

    body: str
    group_id: str
    sqs_message_id: str

    @cached_property
    def message(self) -> Message | InvalidMessage:
        """The message in the body, or what is wrong with it."""
        try:
            return parse(self.body, self.group_id)
        except InvalidMessage as error:
            return error

    @property
    def trace_id(self) -> str:
        """The trace of the request that sent the message; of a foreign one, SQS's MessageId."""
        return self.message.trace_id if isinstance(self.message, Message) else self.sqs_message_id


def consume(delivery: Delivery) -> str:
    """Deal with one delivery; return what became of it. Returning means: acknowledge it.

    Raises:
        MessageBusy: leave it on the queue.
        Exception: something did not answer; leave it on the queue.
    """
    message = delivery.message
    if isinstance(message, InvalidMessage):
        return _dead_letter(delivery, delivery.sqs_message_id, reason(message))
    claim = ledger.claim(message)
    match claim.verdict:
        case Verdict.DROP:
            return "DROPPED"
        case Verdict.BUSY:
            raise MessageBusy(message.message_id)
        case Verdict.RETRYING:
            # Started before, unless the worker died just then: the name makes this idempotent.
            retry.start(message, claim.redrives)
            return "RETRYING"
        case Verdict.EXHAUSTED:
            ledger.quarantine(message, reason(RedriveLimitReached()))
            return "QUARANTINED"
        case Verdict.CONFLICT:
            # The row is the other message's, so this one is known by SQS's id only.
            return _dead_letter(delivery, delivery.sqs_message_id, reason(MessageConflict()))
        case Verdict.PROCESS:
            return _process(message, claim.redrives, delivery)


def _process(message: Message, redrives: int, delivery: Delivery) -> str:
    try:
        message_types.process(message)
    except InvalidMessage as error:
        # First the queue, then the ledger: a crash in between leaves a second copy, never none.
        _dead_letter(delivery, deduplication_id(message.message_id, redrives), reason(error))
        ledger.dead(message, reason(error))
        return "DEAD"
    except Exception as error:  # noqa: BLE001 - whatever a type raises, the retry machine decides
        retry.hand_over(message, redrives, error)
        return "RETRYING"
    ledger.processed(message.message_id)
    return "PROCESSED"


def _dead_letter(delivery: Delivery, deduplication: str, why: dict[str, str]) -> str:
    sqs().send_message(
        QueueUrl=settings().dead_letter_queue_url,
        MessageBody=delivery.body,
        MessageGroupId=delivery.group_id,
        MessageDeduplicationId=deduplication,
        MessageAttributes={
            "ReasonType": {"DataType": "String", "StringValue": why["type"]},
            "ReasonMessage": {"DataType": "String", "StringValue": why["message"]},
        },
    )
    return "DEAD"

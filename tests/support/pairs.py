"""Queues for tests that have no environment: the built-in pair, and a registered one."""

from tests.support.cloud import ENVIRONMENT
from workflows.queues.queue import Queue

BUILT_IN = Queue(
    "default",
    source_url=ENVIRONMENT["WORK_QUEUE_URL"],
    dead_letter_url=ENVIRONMENT["DEAD_LETTER_QUEUE_URL"],
)
STANDARD = Queue(
    "orders",
    source_url="https://sqs.us-east-1.amazonaws.com/123456789012/orders",
    dead_letter_url="https://sqs.us-east-1.amazonaws.com/123456789012/orders-dead",
    source_arn="arn:aws:sqs:us-east-1:123456789012:orders",
    dead_letter_arn="arn:aws:sqs:us-east-1:123456789012:orders-dead",
    fifo=False,
    identity="body.id",
)

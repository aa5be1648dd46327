"""Queues for tests that have no environment: the built-in pair, and a registered one."""

from tests.support.cloud import ENVIRONMENT
from workflows.queues.queue import Queue

BUILT_IN = Queue(
    "default",
    source_url=ENVIRONMENT["WORK_QUEUE_URL"],
    dead_letter_url=ENVIRONMENT["DEAD_LETTER_QUEUE_URL"],
)

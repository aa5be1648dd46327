"""Whether a queue can be registered: what its two queues must be, by what SQS says of them."""

import json
import re
from dataclasses import replace

from workflows.messages.ids import DEFAULT_QUEUE
from workflows.queues import addresses, permissions, registry, wrappings
from workflows.queues.queue import Queue, default
from workflows.runtime.refusals import Invalid

# Part of the ids of its messages, which SQS limits.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class BuiltInQueue(Invalid):
    """The queue `default` is the built-in pair: its settings are the template's."""

    code = "built_in_queue"


class UnfitQueue(Invalid):
    """The two queues cannot be one queue with its dead letters."""

    code = "unfit_queue"


def name(text: str) -> str:
    """Return the name of a queue that can be registered, or removed.

    Raises:
        BuiltInQueue: it is the built-in pair's.
        UnfitQueue: no queue can have it.
    """
    if text == DEFAULT_QUEUE:
        raise BuiltInQueue
    if not NAME.fullmatch(text):
        raise UnfitQueue(
            "The name must have 1 to 64 letters, digits, - or _, the first a letter or digit."
        )
    return text


def check(queue: Queue) -> Queue:
    """Check what a queue is made of, by the attributes of both its queues; return it with those.

    Raises:
        UnfitQueue: saying what does not fit.
        workflows.queues.registry.DeadLetterQueueTaken: it is another queue's.
        workflows.queues.permissions.QueueMissing: one is not there.
        workflows.queues.permissions.PermissionMissing: the stack may not do what a run needs.
    """
    if queue.source_arn == queue.dead_letter_arn:
        raise UnfitQueue("The queue would be its own dead-letter queue.")
    for address in (queue.source_arn, queue.dead_letter_arn):
        if queue.fifo != address.endswith(".fifo"):
            raise UnfitQueue("Both queues must be FIFO queues, or both standard queues.")
    _check_others(queue)
    source = permissions.attributes(queue.source_url, queue.source_arn)
    dead_letters = permissions.attributes(queue.dead_letter_url, queue.dead_letter_arn)
    if "RedrivePolicy" in dead_letters and not queue.acknowledge_receives:
        raise UnfitQueue(
            "The dead-letter queue has a redrive policy of its own, so that each look at a message"
            " counts towards its maxReceiveCount. If that is meant: acknowledge_receives."
        )
    permissions.check(queue.source_url, queue.source_arn, permissions.SENDING)
    permissions.check(queue.dead_letter_url, queue.dead_letter_arn, permissions.TAKING)
    if wrappings.S3 in queue.unwrap:
        permissions.check_buckets()
    permissions.check_key(queue.source_arn, source)
    permissions.check_key(queue.dead_letter_arn, dead_letters)
    return replace(queue, retention_seconds=int(dead_letters["MessageRetentionPeriod"]))


def warnings(queue: Queue) -> list[str]:
    """Return in a sentence each what may be meant and is strange, of a queue that was checked."""
    policy = permissions.attributes(queue.source_url, queue.source_arn).get("RedrivePolicy")
    source, dead_letters = queue.source_queue_name, queue.dead_letter_queue_name
    if policy is None:
        return [
            f"{source} has no redrive policy: SQS itself moves nothing to {dead_letters}, so it has"
            " only what somebody else puts there."
        ]
    target = json.loads(policy).get("deadLetterTargetArn")
    if target == queue.dead_letter_arn:
        return []
    return [f"SQS moves the dead letters of {source} to {target}, and not to {dead_letters}."]


def _check_others(queue: Queue) -> None:
    """Let no queue take the messages of another one for its dead letters."""
    ours = addresses.whole(default())
    if {ours.source_arn, ours.dead_letter_arn} & {queue.source_arn, queue.dead_letter_arn}:
        raise UnfitQueue("The built-in queues belong to the queue default.")
    for other in registry.every():
        if other.name == queue.name:
            continue
        if other.dead_letter_arn == queue.dead_letter_arn:
            raise registry.DeadLetterQueueTaken(
                f"The dead-letter queue belongs to the queue {other.name}."
            )
        if queue.dead_letter_arn == other.source_arn:
            raise UnfitQueue(f"The dead-letter queue is the source queue of {other.name}.")

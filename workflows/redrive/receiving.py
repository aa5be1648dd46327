"""Receiving where ten messages might not fit a state: as many are handed on as do fit.

A queue takes messages of up to 1 MiB while most of them are small, so their sizes are measured as
they come. The lane machine receives by itself where ten of the largest fit in any case.
"""

import base64
from typing import Any

from workflows.queues.queue import Queue
from workflows.redrive import in_flight, state_bytes
from workflows.redrive.lane import MOST_AT_ONCE, Lane
from workflows.redrive.verdict import DeadLetter
from workflows.runtime.aws import sqs

# More than a batch takes, and what the lane machine asks for.
_VISIBILITY_SECONDS = 300
# What the client waits for an answer is little longer.
_WAIT_SECONDS = 4
_SYSTEM_ATTRIBUTES = [
    "MessageGroupId",
    "SentTimestamp",
    "AWSTraceHeader",
    "ApproximateReceiveCount",
]


def receive(lane: Lane, queue: Queue, request: dict[str, Any], seconds: int) -> list[DeadLetter]:
    """Return what a lane receives next: messages that fit a state, or one that fits none.

    The others are visible again at once. How many came and fitted decides how many are asked for
    next. May be repeated.

    Args:
        lane: whose poll it is; it is changed.
        queue: which the run redrives.
        request: of the run.
        seconds: how long to wait for a message.
    """
    messages = _poll(lane, queue, seconds)
    count = state_bytes.fitting(messages, lane.carries, request, is_default=queue.is_default)
    lane.size = max(1, count) if count < len(messages) else min(MOST_AT_ONCE, 2 * lane.size)
    kept = messages[: max(1, count)]
    if len(kept) < len(messages):
        rest = [message["ReceiptHandle"] for message in messages[len(kept) :]]
        in_flight.make_visible(rest, queue.dead_letter_url)
    return kept


def fits(message: DeadLetter, lane: Lane, queue: Queue, request: dict[str, Any]) -> bool:
    """Tell whether a state can carry one message."""
    return state_bytes.fitting([message], lane.carries, request, is_default=queue.is_default) == 1


def _poll(lane: Lane, queue: Queue, seconds: int) -> list[DeadLetter]:
    for turn, waits in enumerate(_waits(seconds)):
        asked: Any = {
            "QueueUrl": queue.dead_letter_url,
            "MaxNumberOfMessages": lane.poll,
            "WaitTimeSeconds": waits,
            "VisibilityTimeout": _VISIBILITY_SECONDS,
            "AttributeNames": _SYSTEM_ATTRIBUTES,  # as the machine names them
            "MessageAttributeNames": ["All"],
        }
        if queue.fifo:
            asked["ReceiveRequestAttemptId"] = f"{lane.attempt_id}-{turn}"
        polled = sqs().receive_message(**asked).get("Messages", [])
        if polled:
            return [_as_a_state_has_it(message) for message in polled]
    return []


def _waits(seconds: int) -> list[int]:
    whole, rest = divmod(seconds, _WAIT_SECONDS)
    return [_WAIT_SECONDS] * whole + ([rest] if rest or not whole else [])


def _as_a_state_has_it(message: Any) -> DeadLetter:
    """Return a message as Step Functions has it: binary values in base64, and no digests."""
    found: DeadLetter = {
        "MessageId": message["MessageId"],
        "Body": message["Body"],
        "Attributes": message.get("Attributes", {}),
        "ReceiptHandle": message["ReceiptHandle"],
    }
    attributes = message.get("MessageAttributes")
    if attributes:
        found["MessageAttributes"] = {name: _value(one) for name, one in attributes.items()}
    return found


def _value(attribute: dict[str, Any]) -> dict[str, str]:
    found = {"DataType": attribute["DataType"]}
    if "BinaryValue" in attribute:
        return found | {"BinaryValue": base64.b64encode(attribute["BinaryValue"]).decode()}
    return found | {"StringValue": attribute["StringValue"]}

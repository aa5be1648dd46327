"""The progress of a redrive run while it works: its rate, what remains, and when it may end."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from workflows.queues import permissions
from workflows.queues.queue import Queue
from workflows.redrive import counters, leg_executions, runs
from workflows.redrive.counters import received
from workflows.runtime import clock
from workflows.runtime.aws import sqs


class Progress(BaseModel):
    """How a run goes: messages redriven a second, and what that means for the rest.

    `remaining` is at most what is still to be looked at, by SQS's approximate numbers;
    `eta_seconds` is None while nothing was redriven.
    """

    rate_per_second: float
    remaining: int
    eta_seconds: int | None = None


class LaneRecord(BaseModel):
    """What one of a run's lanes has done so far, counted as the run's.

    `execution_arn` is that of its leg in the last round, if it had one that can be looked at.
    """

    lane: int
    execution_arn: str | None = None
    received: int
    redriven: int
    quarantined: int
    already_processed: int
    discarded: int
    failed: int
    left: int


def lanes(row: dict[str, Any]) -> list[LaneRecord]:
    """Return what each of a run's lanes has done."""
    at_work = dict(zip(row.get("working", ()), leg_executions.of_row(row), strict=False))
    return [
        LaneRecord(
            lane=number,
            execution_arn=at_work.get(number),
            received=received(counts),
            **counts,
        )
        for number, counts in counters.of_lanes(row).items()
    ]


def of(row: dict[str, Any]) -> Progress | None:
    """Return how a run goes; None if it has ended."""
    if row["status"] not in runs.ACTIVE:
        return None
    elapsed = datetime.fromisoformat(clock.now()) - datetime.fromisoformat(row["started_at"])
    rate = int(row["redriven"]) / max(1.0, elapsed.total_seconds())
    remaining = depth(runs.queue_of(row)) - int(row["left"])
    limit = runs.parse_request(row["request"]).get("max_messages")
    if isinstance(limit, int | float):
        remaining = min(remaining, int(limit) - int(row["received"]))
    remaining = max(0, remaining)
    return Progress(
        rate_per_second=round(rate, 2),
        remaining=remaining,
        eta_seconds=round(remaining / rate) if rate else None,
    )


def depth(queue: Queue) -> int:
    """Return about how many messages lie on a dead-letter queue, those in flight included."""
    with permissions.missing_is_told(queue.dead_letter_url):
        attributes = sqs().get_queue_attributes(
            QueueUrl=queue.dead_letter_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
    return sum(map(int, attributes.values()))

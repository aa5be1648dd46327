"""What is told of queues: their settings, how deep they are, what of them is in trouble."""

from typing import Any, Self

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field

from workflows.operator.in_use import in_trouble
from workflows.operator.overview import QueueStatus, depths
from workflows.queues import registry
from workflows.queues.addresses import whole
from workflows.queues.queue import Queue
from workflows.runtime.settings import settings


class QueueSettings(BaseModel):
    """A queue as it is registered: what `PUT /queues/{queue}` takes, its queues by their ARNs."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    queue: str = Field(examples=["orders"])
    source_queue: str
    dead_letter_queue: str
    fifo: bool
    identity: str | None
    type: str | None
    group: str | None
    error: str | None
    body_schema: dict[str, Any] | None = Field(alias="schema")
    max_redrives: int
    max_age_seconds: int | None
    redrive_request: dict[str, Any] | None
    acknowledge_receives: bool
    unwrap: list[str]
    mask: list[str]

    @classmethod
    def of(cls, queue: Queue) -> Self:
        """Return what is told of a queue."""
        return cls(**_told(queue))


class QueueRegistered(QueueSettings):
    """A queue as it is registered now, with `warnings` of what may be meant and is strange."""

    warnings: list[str]

    @classmethod
    def with_warnings(cls, queue: Queue, warnings: list[str]) -> Self:
        """Return what is told of a queue that was registered just now."""
        return cls(**_told(queue), warnings=warnings)


class QueueReport(QueueSettings):
    """A queue, its depths by SQS, and its messages in trouble by the ledger.

    `source` and `dead_letters` are null if SQS does not tell; then `problem` says why.
    """

    source: QueueStatus | None
    dead_letters: QueueStatus | None
    problem: str | None
    dead: int
    quarantined: int
    oldest: str | None


def every() -> list[QueueSettings]:
    """Return all queues, the built-in pair first."""
    return [QueueSettings.of(queue) for queue in registry.every()]


def show(name: str) -> QueueReport:
    """Return a queue and how it is.

    Raises:
        workflows.queues.registry.UnknownQueue: there is none.
    """
    queue = registry.get(name)
    found: dict[str, Any] = {}
    problems = []
    for field, url in (("source", queue.source_url), ("dead_letters", queue.dead_letter_url)):
        try:
            found[field] = QueueStatus.model_validate(depths(url))
        except ClientError as error:
            # It was there when it was registered; the rest can be told all the same.
            found[field] = None
            problems.append(f"{url}: {error.response['Error']['Code']}")
    found["problem"] = "; ".join(problems) or None
    return QueueReport(**_told(queue), **found, **in_trouble(queue).model_dump())


def _told(queue: Queue) -> dict[str, Any]:
    known = whole(queue)
    return {
        "queue": known.name,
        "source_queue": known.source_arn,
        "dead_letter_queue": known.dead_letter_arn,
        "fifo": known.fifo,
        "identity": known.identity or None,
        "type": known.type or None,
        "group": known.group or None,
        "error": known.error or None,
        "schema": known.schema,
        "max_redrives": known.max_redrives or settings().max_redrives,
        "max_age_seconds": known.max_age_seconds,
        "redrive_request": known.redrive_request,
        "acknowledge_receives": known.acknowledge_receives,
        "unwrap": list(known.unwrap),
        "mask": list(known.mask),
    }

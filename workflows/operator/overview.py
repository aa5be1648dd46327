"""The operator's overview: how deep the queues are, how many messages are in trouble."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from workflows.groups import view
from workflows.groups.view import GroupCounts
from workflows.ledger import lost, trouble
from workflows.ledger.status import Trouble
from workflows.queues import permissions
from workflows.queues.queue import Queue
from workflows.runtime import clock, shards
from workflows.runtime.aws import sqs


class QueueStatus(BaseModel):
    """SQS's approximate numbers of messages of one queue."""

    name: str
    visible: int
    in_flight: int
    delayed: int


class DeadLetterQueueStatus(QueueStatus):
    """`oldest_age_seconds`: since the oldest message that the ledger has as DEAD died."""

    oldest_age_seconds: int | None = None


class MessageCounts(BaseModel):
    """Messages in trouble, by the ledger. `lost`: the dead that no queue is known to have."""

    dead: int
    lost: int
    quarantined: int
    retrying: int


class Status(BaseModel):
    """Both queues, the messages in trouble, and the groups that wait."""

    work_queue: QueueStatus
    dead_letter_queue: DeadLetterQueueStatus
    messages: MessageCounts
    groups: GroupCounts


def status(queue: Queue) -> Status:
    """Return the overview of a queue; reading it locks no message group and receives nothing.

    Raises:
        workflows.queues.permissions.QueueMissing: SQS has one of the two not any more.
    """
    asked: list[Callable[[], Any]] = [
        partial(_depths, queue.source_url),
        partial(_depths, queue.dead_letter_url),
        partial(_oldest_age, queue),
        partial(trouble.count, Trouble.DEAD, queue.name),
        partial(trouble.count, Trouble.QUARANTINED, queue.name),
        partial(lost.count_gone, queue.name),
        view.counts if queue.is_default else view.none,
    ]
    work, dead_letters, oldest, dead, quarantined, gone, (groups, retrying) = shards.side_by_side(
        lambda ask: ask(), asked
    )
    return Status(
        work_queue=QueueStatus(**work),
        dead_letter_queue=DeadLetterQueueStatus(**dead_letters, oldest_age_seconds=oldest),
        messages=MessageCounts(dead=dead, lost=gone, quarantined=quarantined, retrying=retrying),
        groups=groups,
    )


def _depths(queue_url: str) -> dict[str, int | str]:
    with permissions.missing_is_told(queue_url):
        return depths(queue_url)


def depths(queue_url: str) -> dict[str, int | str]:
    """Return what `QueueStatus` tells of a queue."""
    attributes = sqs().get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return {
        "name": queue_url.rpartition("/")[2],
        "visible": int(attributes["ApproximateNumberOfMessages"]),
        "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        "delayed": int(attributes["ApproximateNumberOfMessagesDelayed"]),
    }


def _oldest_age(queue: Queue) -> int | None:
    since = trouble.oldest(Trouble.DEAD, queue.name)
    return None if since is None else clock.seconds_since(since)

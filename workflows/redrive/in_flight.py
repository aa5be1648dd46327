"""In flight: what a redrive run leaves out stays so until the run ends.

Given back at once, the same messages would head the next receive, and ten of them would hide the
rest of the queue. While they are in flight SQS hands out nothing behind them in their groups, so
none is overtaken. Their receipt handles are noted in the `Runs` table, ten a record, before that; a
run that ended without a word is found by the index, and if nobody did anything SQS itself would
show them again when the visibility timeout ends.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from workflows.queues.queue import Queue
from workflows.redrive import runs
from workflows.runtime import clock, executions
from workflows.runtime.aws import dynamodb, sqs, stepfunctions
from workflows.runtime.settings import settings

# How long a message that is left stays in flight, if nobody gives it back: SQS takes 12 hours at
# most. A run that goes on for longer meets it again, and leaves it again.
LEFT_SECONDS = 32_400
# A wave of the lane leaves 60 at most, each task tried once more, and a batch of ten messages of
# one group is ten waves.
_EVENTS_OF_A_BATCH = 1_000
# As long as SQS keeps a message: by then nothing is in flight any more.
_NOTED_SECONDS = 1_209_600


def note(run_id: str, queue: Queue, lane: int, number: int, handles: list[str]) -> None:
    """Note the receipt handles of at most ten messages that a lane leaves in flight.

    May be repeated.

    Args:
        run_id: whose the lane is.
        queue: which the run redrives.
        lane: its number.
        number: of the lane's records, from 0.
        handles: what SQS gave with the messages.
    """
    record: Any = {
        "run_id": _key(run_id, lane, number),
        "held_by": run_id,
        "dead_letter_queue": _held(),
        "started_at": clock.now(),
        "receipt_handles": handles,
        "queue_url": queue.dead_letter_url,
        "expires_at": clock.epoch() + _NOTED_SECONDS,
    }
    dynamodb().put_item(TableName=settings().runs_table, Item=record)


def give_back(run_id: str, lane: int, records: int) -> int:
    """Make visible what the records of a lane name; return how many messages.

    May be repeated: a record goes only when its messages were made visible.

    Args:
        run_id: whose the lane is.
        lane: its number.
        records: how many it is known to have; a leg that was stopped may have made more.
    """
    total = 0
    for number in itertools.count():
        given_back = _give_back_record(_key(run_id, lane, number))
        if given_back == 0 and number >= records:
            return total
        total += given_back
    raise AssertionError("unreachable")


def elsewhere(left: int, queue: Queue) -> int:
    """Return about how many messages are in flight beside the `left` ones of a run.

    They hide themselves and all that is behind them in their groups: another reader has them, or a
    run that was stopped.
    """
    found = sqs().get_queue_attributes(
        QueueUrl=queue.dead_letter_url,
        AttributeNames=["ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return max(0, int(found["ApproximateNumberOfMessagesNotVisible"]) - left)


def recover() -> list[str]:
    """Give back what ended runs have left in flight; return the ids of those runs."""
    active: dict[str, bool] = {}
    for record in _records():
        run_id = record["held_by"]
        if run_id not in active:
            active[run_id] = runs.is_active(run_id)
        if not active[run_id]:
            _give_back_record(record["run_id"])
    return [run_id for run_id, works in active.items() if not works]


def give_back_batch(execution_arn: str, queue: Queue) -> int:
    """Make visible what a lane's execution had received last; return how many messages it tried.

    None while it works: it notices that its run is over, and comes to an end. None of "", for a run
    that ended before its first leg.

    One that fails gives its batch back itself. One that was ended from outside cannot, and nobody
    noted the receipt handles: its history has them. Of what it deleted nothing comes back.
    """
    if executions.execution_status(execution_arn) in (None, "RUNNING"):
        return 0
    handles = _last_received(execution_arn)
    if handles:
        make_visible(handles, queue.dead_letter_url)
    return len(handles)


def _last_received(execution_arn: str) -> list[str]:
    for event in _newest_events(execution_arn):
        answer = json.loads(event.get("taskSucceededEventDetails", {}).get("output") or "{}")
        if not isinstance(answer, dict):
            continue
        # SQS answers by itself, or by the function that measures what comes.
        received = answer if "Messages" in answer else answer.get("Payload")
        if isinstance(received, dict) and received.get("Messages"):
            return [message["ReceiptHandle"] for message in received["Messages"]]
    return []


def _newest_events(execution_arn: str) -> Iterator[Any]:
    pages: Any = (
        stepfunctions()
        .get_paginator("get_execution_history")
        .paginate(
            executionArn=execution_arn,
            reverseOrder=True,
            PaginationConfig={"MaxItems": _EVENTS_OF_A_BATCH, "PageSize": 100},
        )
    )
    with suppress(stepfunctions().exceptions.ExecutionDoesNotExist):
        for page in pages:
            yield from page["events"]


def _key(run_id: str, lane: int, number: int) -> str:
    return f"HELD#{run_id}#{lane}.{number}"


def _held() -> str:
    # Of all queues: a sweep finds also what is held of one that was taken out of the registry.
    return f"HELD#{settings().dead_letter_queue_name}"


def _records() -> Iterator[dict[str, Any]]:
    pages = (
        dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings().runs_table,
            IndexName=runs.BY_START_INDEX,
            KeyConditionExpression="dead_letter_queue = :held",
            ExpressionAttributeValues={":held": _held()},
        )
    )
    for page in pages:
        yield from page["Items"]


def _give_back_record(key: str) -> int:
    table: Any = {"TableName": settings().runs_table, "Key": {"run_id": key}}
    record: Any = dynamodb().get_item(**table, ConsistentRead=True).get("Item")
    if record is None:
        return 0
    handles = record["receipt_handles"]
    # An older record is of the only queue that there was.
    url = record.get("queue_url", settings().dead_letter_queue_url)
    if make_visible(handles, url):  # else the sweep tries it again
        dynamodb().delete_item(**table)
    return len(handles)


def make_visible(handles: list[str], queue_url: str) -> bool:
    """Make at most ten messages visible; tell whether SQS failed with none by its own fault."""
    # A handle that is out of date fails alone, by ours, and its message is visible already.
    answer = sqs().change_message_visibility_batch(
        QueueUrl=queue_url,
        Entries=[
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for index, handle in enumerate(handles)
        ],
    )
    return all(failed["SenderFault"] for failed in answer.get("Failed", []))

"""In flight: what a redrive run leaves out stays so until the run ends.

Given back at once, the same messages would head the next receive, and ten of them would hide the
rest of the queue. While they are in flight SQS hands out nothing behind them in their groups, so
none is overtaken. The machine notes their receipt handles in the `Runs` table, ten a record; a run
that ended without a word is found by the index, and if nobody did anything SQS itself would show
them again when the visibility timeout ends.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from workflows.redrive import runs
from workflows.runtime.aws import dynamodb, sqs, stepfunctions
from workflows.runtime.settings import settings

# A turn of the machine leaves 75 at most, each task tried once more, and a batch of ten messages of
# one group is ten turns.
_EVENTS_OF_A_BATCH = 1_000


def give_back(run_id: str, records: int) -> int:
    """Make visible what the first `records` records of a run name; return how many messages.

    May be repeated: a record goes only when its messages were made visible.
    """
    return sum(_give_back_record(_key(run_id, number)) for number in range(records))


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


def give_back_batch(execution_arn: str) -> int:
    """Make visible what an execution had received last; return how many messages it tried.

    One that fails gives its batch back itself. One that was ended from outside cannot, and nobody
    noted the receipt handles: its history has them. Of what it deleted nothing comes back.
    """
    handles = _last_received(execution_arn)
    if handles:
        _make_visible(handles)
    return len(handles)


def _last_received(execution_arn: str) -> list[str]:
    for event in _newest_events(execution_arn):
        answer = json.loads(event.get("taskSucceededEventDetails", {}).get("output") or "{}")
        if isinstance(answer, dict) and answer.get("Messages"):
            return [message["ReceiptHandle"] for message in answer["Messages"]]
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


def _key(run_id: str, number: int) -> str:
    return f"HELD#{run_id}#{number}"


def _records() -> Iterator[dict[str, Any]]:
    pages = (
        dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings().runs_table,
            IndexName=runs.BY_START_INDEX,
            KeyConditionExpression="dead_letter_queue = :held",
            ExpressionAttributeValues={":held": f"HELD#{settings().dead_letter_queue_name}"},
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
    _make_visible(handles)
    dynamodb().delete_item(**table)
    return len(handles)


def _make_visible(handles: list[str]) -> None:
    # A handle that is out of date fails alone, and its message is visible already.
    sqs().change_message_visibility_batch(
        QueueUrl=settings().dead_letter_queue_url,
        Entries=[
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for index, handle in enumerate(handles)
        ],
    )

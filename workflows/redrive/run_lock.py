"""The lock of a dead-letter queue: one run redrives it at a time.

A row of the `Runs` table, and a lease. A run renews it with every batch and after each wait; one
whose execution was stopped, failed or timed out loses it at once to whoever asks next, and at the
latest when the lease ends. It names the run's execution.
"""

from contextlib import suppress
from typing import Any

from workflows.queues.queue import Queue
from workflows.runtime import clock, executions
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.settings import settings

# Between taking the lock and StartExecution lies one call; after this long it is not coming.
START_GRACE_SECONDS = 60


def find(queue: Queue) -> dict[str, Any] | None:
    """Return the row of a queue's lock, or None if nobody has it."""
    answer = dynamodb().get_item(
        TableName=settings().runs_table, Key={"run_id": key(queue)}, ConsistentRead=True
    )
    return answer.get("Item")


# A lock whose run is dead may be taken or freed only as it was seen: who has it since renewed it.
_AS_SEEN = "holder = :seen_holder AND execution_arn = :seen_execution AND lease_until = :seen_lease"


def take(run_id: str, queue: Queue, dead: dict[str, Any] | None) -> dict[str, Any] | None:
    """Take the lock if it is free, outlived or still the `dead` run's; return the row if not."""
    part = taking(run_id, queue, clock.epoch())["Update"]
    if dead:
        part["ConditionExpression"] += f" OR ({_AS_SEEN})"
        part["ExpressionAttributeValues"] |= _seen(dead)
    try:
        dynamodb().update_item(**part, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return plain(error.response)
    return None


def taking(run_id: str, queue: Queue, now: int) -> dict[str, Any]:
    """Return the part of a transaction that takes the lock for a run if it is free or outlived."""
    return {
        "Update": {
            "TableName": settings().runs_table,
            "Key": {"run_id": key(queue)},
            "UpdateExpression": "SET holder = :run_id, lease_until = :until, acquired_at = :now,"
            " execution_arn = :execution",
            "ConditionExpression": "attribute_not_exists(run_id) OR holder = :run_id"
            " OR lease_until < :now",
            "ExpressionAttributeValues": {
                ":run_id": run_id,
                ":until": now + settings().run_lease_seconds,
                ":now": now,
                ":execution": execution_of(run_id),
            },
        }
    }


def releasing(run_id: str, queue: Queue) -> dict[str, Any]:
    """Return the part of a transaction that gives the lock back; none may be another's by then."""
    return {
        "Delete": {
            "TableName": settings().runs_table,
            "Key": {"run_id": key(queue)},
            "ConditionExpression": "attribute_not_exists(run_id) OR holder = :run_id",
            "ExpressionAttributeValues": {":run_id": run_id},
        }
    }


def release(run_id: str, queue: Queue) -> None:
    """Give the lock back, if this run still has it."""
    with suppress(dynamodb().exceptions.ConditionalCheckFailedException):  # another has it already
        dynamodb().delete_item(**releasing(run_id, queue)["Delete"])


def free(dead: dict[str, Any]) -> bool:
    """Free the lock if it is still the `dead` run's; return whether it is free."""
    try:
        dynamodb().delete_item(
            TableName=settings().runs_table,
            Key={"run_id": dead["run_id"]},
            ConditionExpression=f"attribute_not_exists(run_id) OR ({_AS_SEEN})",
            ExpressionAttributeValues=_seen(dead),
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        return False
    return True


def is_alive(lock: dict[str, Any]) -> bool:
    """Tell whether the execution that a lock names works, or may still begin."""
    status = executions.execution_status(lock["execution_arn"])
    if status is None:
        return clock.epoch() - int(lock.get("acquired_at", 0)) < START_GRACE_SECONDS
    return status == "RUNNING"


def execution_of(run_id: str) -> str:
    """Return the ARN that a run's execution has or will have."""
    return executions.arn_of(settings().redrive_state_machine_arn, run_id)


def _seen(lock: dict[str, Any]) -> dict[str, Any]:
    return {
        ":seen_holder": lock["holder"],
        ":seen_execution": lock["execution_arn"],
        ":seen_lease": lock["lease_until"],
    }


def key(queue: Queue) -> str:
    """Return under which `run_id` the `Runs` table has the lock of a queue."""
    return f"LOCK#{queue.key}"

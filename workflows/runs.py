"""The `Runs` table: one row a redrive run, and for each dead-letter queue the lock of its run.

The lock is a lease. A run renews it with every batch; a run whose execution was stopped, failed or
timed out loses it at once to whoever asks next, and at the latest when the lease ends.
"""

from datetime import datetime
from typing import Any

from workflows import audit, clock, paging, retry
from workflows.aws import dynamodb, plain, transact
from workflows.settings import settings

# The index that lists the runs of a dead-letter queue by time; lock rows are not in it.
BY_START_INDEX = "ByStartIndex"
COUNTERS = (
    "received",
    "redriven",
    "quarantined",
    "already_processed",
    "discarded",
    "failed",
)
# Between taking the lock and StartExecution lies one call; after this long it is not coming.
_START_GRACE_SECONDS = 60


class RunActive(Exception):
    """Another run holds the dead-letter queue."""

    def __init__(self, run_id: str) -> None:
        """Take the id of the active run."""
        super().__init__(f"Run {run_id} is active on this dead-letter queue.")
        self.run_id = run_id


class RunNotFound(Exception):
    """There is no such run."""


def dead_letter_queue() -> str:
    """Return the name of the dead-letter queue."""
    return settings().dead_letter_queue_url.rpartition("/")[2]


def acquire(run_id: str, trigger: str, actor: audit.Actor, asked: dict[str, Any]) -> dict[str, Any]:
    """Take the dead-letter queue's lock for a run, record the run and who `asked`; return its row.

    Raises:
        RunActive: the lock is held and its run is alive.
    """
    holder = _try_lock(run_id, None)
    if holder is not None:
        if _alive(holder):
            raise RunActive(holder["holder"])
        # Its execution ended without releasing the lock; only the first to notice gets it.
        if _try_lock(run_id, holder["holder"]) is not None:
            raise RunActive(holder["holder"])
        abandoned = _find(holder["holder"])
        if abandoned is not None:
            _settle(abandoned)
    row = {
        "run_id": run_id,
        "dead_letter_queue": dead_letter_queue(),
        "status": "RUNNING",
        "trigger": trigger,
        "requested_by": actor.email,
        "started_at": clock.now(),
        "execution_arn": _execution_arn(run_id),
    } | dict.fromkeys(COUNTERS, 0)
    about: dict[str, Any] = {"run_id": run_id, "execution_arn": row["execution_arn"]}
    record = audit.entry(actor, "start_run", result="STARTED", input=asked, **about)
    transact([{"Put": {"TableName": settings().runs_table, "Item": row}}, record])
    return row


def abandon(run_id: str, why: str) -> None:
    """Release a run's lock and mark the run FAILED, after it could not be started."""
    _end(run_id, "FAILED", why)
    _release(run_id)


def _release(run_id: str) -> None:
    try:
        dynamodb().delete_item(
            TableName=settings().runs_table,
            Key={"run_id": _lock_key()},
            ConditionExpression="holder = :run_id",
            ExpressionAttributeValues={":run_id": run_id},
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        return  # Somebody else has it already.


def get(run_id: str) -> dict[str, Any]:
    """Return a run's row; one whose execution ended without a word is set right first.

    Raises:
        RunNotFound: no run has that id.
    """
    row = _find(run_id)
    if row is None:
        raise RunNotFound(f"There is no run {run_id}.")
    return _settle(row)


def page(limit: int, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most `limit` runs, newest first, and the cursor of the next page or None.

    Raises:
        workflows.paging.InvalidCursor: the cursor is not ours.
    """
    start = paging.start(
        cursor, run_id=None, dead_letter_queue=dead_letter_queue(), started_at=None
    )
    answer: Any = dynamodb().query(
        TableName=settings().runs_table,
        IndexName=BY_START_INDEX,
        KeyConditionExpression="dead_letter_queue = :queue",
        ExpressionAttributeValues={":queue": dead_letter_queue()},
        ScanIndexForward=False,
        Limit=limit,
        **start,
    )
    rows = [_settle(row) for row in answer["Items"]]
    return rows, paging.cursor(answer.get("LastEvaluatedKey"))


def recover() -> str | None:
    """Free the lock if its run's execution ended without a word; return that run's id.

    The executions' status events are best effort, so this is also called on a schedule.
    """
    lock: Any = dynamodb().get_item(
        TableName=settings().runs_table, Key={"run_id": _lock_key()}, ConsistentRead=True
    )
    if "Item" not in lock or _alive(lock["Item"]):
        return None
    run_id = str(lock["Item"]["holder"])
    row = _find(run_id)
    if row is not None:
        _settle(row)
    _release(run_id)
    return run_id


def _find(run_id: str) -> dict[str, Any] | None:
    answer = dynamodb().get_item(
        TableName=settings().runs_table, Key={"run_id": run_id}, ConsistentRead=True
    )
    row = answer.get("Item")
    return row if row is not None and "dead_letter_queue" in row else None  # a lock is no run


def _try_lock(run_id: str, expected_holder: str | None) -> dict[str, Any] | None:
    """Take the lock if it is free, outlived or `expected_holder`'s; return the row if not."""
    now = clock.epoch()
    try:
        dynamodb().update_item(
            TableName=settings().runs_table,
            Key={"run_id": _lock_key()},
            UpdateExpression="SET holder = :run_id, lease_until = :until, acquired_at = :now",
            ConditionExpression="attribute_not_exists(run_id) OR lease_until < :now"
            " OR holder = :expected",
            ExpressionAttributeValues={
                ":run_id": run_id,
                ":until": now + settings().run_lease_seconds,
                ":now": now,
                ":expected": expected_holder or run_id,
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return plain(error.response)
    return None


def _alive(lock: dict[str, Any]) -> bool:
    status = retry.execution_status(_execution_arn(lock["holder"]))
    if status is None:
        return clock.epoch() - int(lock.get("acquired_at", 0)) < _START_GRACE_SECONDS
    return status == "RUNNING"


def _settle(row: dict[str, Any]) -> dict[str, Any]:
    if row["status"] != "RUNNING":
        return row
    status = retry.execution_status(_execution_arn(row["run_id"]))
    if status is None and _age_seconds(row) >= _START_GRACE_SECONDS:
        return _end(row["run_id"], "FAILED", "The execution never began.") or row
    if status in (None, "RUNNING"):
        return row
    # A machine that ended by itself wrote the row after we read it: the condition keeps its word.
    return _end(row["run_id"], status, "The execution was ended from outside.") or row


def _age_seconds(row: dict[str, Any]) -> float:
    age = datetime.fromisoformat(clock.now()) - datetime.fromisoformat(row["started_at"])
    return age.total_seconds()


def _end(run_id: str, status: str, why: str) -> dict[str, Any] | None:
    try:
        answer: Any = dynamodb().update_item(
            TableName=settings().runs_table,
            Key={"run_id": run_id},
            UpdateExpression="SET #status = :status, finished_at = :now, failure = :why",
            ConditionExpression="#status = :running",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":status": status,
                ":running": "RUNNING",
                ":now": clock.now(),
                ":why": why,
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return plain(error.response) or None
    return dict(answer["Attributes"])


def _execution_arn(run_id: str) -> str:
    machine = settings().redrive_state_machine_arn
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{run_id}"


def _lock_key() -> str:
    return f"LOCK#{dead_letter_queue()}"

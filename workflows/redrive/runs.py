"""The `Runs` table: one row a redrive run, from its start to however it ended.

A row names the execution that does the work now: a long run goes on in one execution after the
other. The same table has each dead-letter queue's lock, see `workflows/redrive/run_lock.py`.
"""

import json
from typing import Any

from workflows.ledger import audit
from workflows.redrive import run_lock
from workflows.runtime import clock, executions, paging
from workflows.runtime.aws import dynamodb, transact
from workflows.runtime.refusals import Conflict, NotFound
from workflows.runtime.settings import settings
from workflows.runtime.strict_json import loads

# The index that lists the runs of a dead-letter queue by time; lock rows are not in it.
BY_START_INDEX = "ByStartIndex"
COUNTERS = (
    "received",
    "redriven",
    "quarantined",
    "already_processed",
    "discarded",
    "failed",
    "left",
)
# A run whose execution still works; CANCELLING until it notices.
ACTIVE = ("RUNNING", "CANCELLING")
# A run that came to its own end, and left nothing undone.
_CLOSED = ("SUCCEEDED", "HALTED", "CANCELLED")


class RunActive(Conflict):
    """Another run holds the dead-letter queue."""

    code = "run_active"

    def __init__(self, run_id: str) -> None:
        """Take the id of the active run."""
        super().__init__(f"Run {run_id} is active on this dead-letter queue.")
        self.run_id = run_id


class RunNotFound(NotFound):
    """There is no such run."""

    code = "run_not_found"


class RunEnded(Conflict):
    """The run has ended, so there is nothing to cancel."""

    code = "run_ended"


def acquire(
    run_id: str, trigger: str, actor: audit.Actor, request: dict[str, Any]
) -> dict[str, Any]:
    """Take the dead-letter queue's lock for a run, record it and who started it; return its row.

    Raises:
        RunActive: the lock is held and its run is alive.
    """
    holder = run_lock.take(run_id, None)
    if holder is not None:
        if run_lock.is_alive(holder):
            raise RunActive(holder["holder"])
        # Its execution ended without releasing the lock; only the first to notice gets it.
        if run_lock.take(run_id, holder) is not None:
            raise RunActive(holder["holder"])
        abandoned = _find(holder["holder"])
        if abandoned is not None:
            _settle(abandoned)
    row: dict[str, Any] = {
        "run_id": run_id,
        "dead_letter_queue": settings().dead_letter_queue_name,
        "status": "RUNNING",
        "trigger": trigger,
        "requested_by": actor.email,
        "request": json.dumps(request),
        "trace_id": actor.trace_id,
        "started_at": clock.now(),
        "owned_at": clock.epoch(),
        "execution_arn": run_lock.first_execution(run_id),
    } | dict.fromkeys(COUNTERS, 0)
    about: dict[str, Any] = {"run_id": run_id, "execution_arn": row["execution_arn"]}
    record = audit.entry(actor, "start_run", result="STARTED", input=request, **about)
    transact([{"Put": {"TableName": settings().runs_table, "Item": row}}, record])
    return row


def abandon(row: dict[str, Any], why: str) -> None:
    """Mark the run that has this row FAILED and release its lock, after it could not be started.

    A run that has begun since goes on: only the answer of its start was lost.
    """
    if _end(row, "FAILED", why)["status"] not in ACTIVE:
        run_lock.release(row["run_id"])


def get(run_id: str) -> dict[str, Any]:
    """Return a run's row; one whose execution ended without a word is set right first.

    Raises:
        RunNotFound: no run has that id.
    """
    row = _find(run_id)
    if row is None:
        raise RunNotFound(f"There is no run {run_id}.")
    return _settle(row)


def cancel(run_id: str, actor: audit.Actor) -> dict[str, Any]:
    """Ask a run to stop and return its row; the machine notices within one batch.

    Raises:
        RunNotFound: no run has that id.
        RunEnded: it is over.
    """
    row = get(run_id)
    about: dict[str, Any] = {
        "input": {},
        "run_id": run_id,
        "execution_arn": row["execution_arn"],
    }
    change = _change(run_id, "SET #status = :cancelling", "#status = :running")
    record = audit.entry(actor, "cancel_run", result="CANCELLING", **about)
    if transact([change, record]) is not None:
        # As it is now: another may have cancelled it since we looked.
        status = get(run_id)["status"]
        if status != "CANCELLING":
            raise RunEnded(f"Run {run_id} has ended: {status}.")
        audit.unchanged(actor, "cancel_run", **about)
    return get(run_id)


def is_wanted(run_id: str) -> bool:
    """Tell whether a run goes on: it has not ended, and nobody cancelled it."""
    row = _find(run_id)
    return row is not None and row["status"] == "RUNNING"


def is_active(run_id: str) -> bool:
    """Tell whether a run's execution still works."""
    row = _find(run_id)
    return row is not None and _settle(row)["status"] in ACTIVE


def was_abandoned(run_id: str) -> bool:
    """Tell whether a run ended before its own end, so that nobody does what it left undone."""
    row = _find(run_id)
    return row is None or _settle(row)["status"] not in ACTIVE + _CLOSED


def parse_request(text: str) -> dict[str, Any]:
    """Return what a run was asked for; {} for what is no request: the console takes anything."""
    try:
        request = loads(text)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def page(limit: int, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most `limit` runs, newest first, and the cursor of the next page or None.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not ours.
    """
    start = paging.start(
        cursor, run_id=None, dead_letter_queue=settings().dead_letter_queue_name, started_at=None
    )
    answer: Any = dynamodb().query(
        TableName=settings().runs_table,
        IndexName=BY_START_INDEX,
        KeyConditionExpression="dead_letter_queue = :queue",
        ExpressionAttributeValues={":queue": settings().dead_letter_queue_name},
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
    lock = run_lock.find()
    if lock is None or run_lock.is_alive(lock):
        return None
    run_id = str(lock["holder"])
    row = _find(run_id)
    if row is not None:
        _settle(row)
    return run_id if run_lock.free(lock) else None


def _find(run_id: str) -> dict[str, Any] | None:
    answer = dynamodb().get_item(
        TableName=settings().runs_table, Key={"run_id": run_id}, ConsistentRead=True
    )
    row = answer.get("Item")
    return row if row is not None and "trigger" in row else None  # a lock is no run


def _settle(row: dict[str, Any]) -> dict[str, Any]:
    if row["status"] not in ACTIVE:
        return row
    status = executions.execution_status(row["execution_arn"])
    if status is None and clock.epoch() - int(row["owned_at"]) >= run_lock.START_GRACE_SECONDS:
        return _end(row, "FAILED", "The execution never began.")
    if status in (None, "RUNNING"):
        return row
    if status == "SUCCEEDED":
        return _end(row, "FAILED", "The execution ended without closing its record.")
    return _end(row, status, "The execution was ended from outside.")


def _end(seen: dict[str, Any], status: str, why: str) -> dict[str, Any]:
    """End a run for an execution that did not, and return its row as it is then.

    Refused if the machine had the last word since the row was `seen`: it closed the row, the run
    goes on in another execution, or it has begun (only then has a row `expires_at`).
    """
    run_id = seen["run_id"]
    begun = "attribute_exists" if "expires_at" in seen else "attribute_not_exists"
    change = _change(
        run_id,
        "SET #status = :status, finished_at = :now, failure = :why",
        "#status IN (:running, :cancelling)"
        f" AND execution_arn = :execution AND owned_at = :owned_at AND {begun}(expires_at)",
        {
            ":status": status,
            ":why": why,
            ":now": clock.now(),
            ":execution": seen["execution_arn"],
            ":owned_at": seen["owned_at"],
        },
    )
    # The machine accounts for the ends that it lives to see; this one it did not.
    starter = audit.Actor(seen["requested_by"], seen["trigger"], "", seen.get("trace_id", run_id))
    about: dict[str, Any] = {"run_id": run_id, "execution_arn": seen["execution_arn"]}
    record = audit.entry(starter, "end_run", result=status, input={"reason": why}, **about)
    transact([change, record])
    return _find(run_id) or seen


def _change(
    run_id: str, expression: str, condition: str, values: dict[str, Any] | None = None
) -> dict[str, Any]:
    known = {":running": "RUNNING", ":cancelling": "CANCELLING"}
    return {
        "Update": {
            "TableName": settings().runs_table,
            "Key": {"run_id": run_id},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": known | (values or {}),
        }
    }

"""The `Runs` table: one row a redrive run, from its start to however it ended.

A row names the run's execution. The same table has each dead-letter queue's lock, see
`run_lock.py`, and what runs leave in flight, see `in_flight.py`.
"""

import json
from functools import lru_cache
from typing import Any

from workflows.ledger import audit
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.queues import queue as queues
from workflows.queues import registry
from workflows.queues.queue import Queue
from workflows.redrive import counters, run_lock
from workflows.runtime import clock, executions, paging
from workflows.runtime.aws import dynamodb, transact
from workflows.runtime.refusals import Conflict, NotFound
from workflows.runtime.settings import settings
from workflows.runtime.strict_json import loads

# The index that lists the runs of a dead-letter queue by time; lock rows are not in it. It has keys
# alone: each wave of a run writes its row, and would write the index, too.
BY_START_INDEX = "ByStartIndex"
# A run whose execution still works; CANCELLING until it notices.
ACTIVE = ("RUNNING", "CANCELLING")
# The newest: between two sweeps few runs end.
_OF_LATE = 50
# A run that came to its own end, and left nothing undone.
_CLOSED = ("SUCCEEDED", "HALTED", "CANCELLED")


class RunNotFound(NotFound):
    """There is no such run."""

    code = "run_not_found"


class RunEnded(Conflict):
    """The run has ended, so there is nothing to cancel."""

    code = "run_ended"


def get(run_id: str) -> dict[str, Any]:
    """Return a run's row; one whose execution ended without a word is set right first.

    Raises:
        RunNotFound: no run has that id.
    """
    row = find(run_id)
    if row is None:
        raise RunNotFound(f"There is no run {run_id}.")
    return set_right(row)


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
        "queue": queue_of(row).name,
    }
    cancelling = change(run_id, "SET #status = :cancelling", "#status = :running")
    record = audit.entry(actor, "cancel_run", result="CANCELLING", **about)
    if transact([cancelling, record]) is not None:
        # As it is now: another may have cancelled it since we looked.
        status = get(run_id)["status"]
        if status != "CANCELLING":
            raise RunEnded(f"Run {run_id} has ended: {status}.")
        audit.unchanged(actor, "cancel_run", **about)
    return get(run_id)


def is_active(run_id: str) -> bool:
    """Tell whether a run's execution still works."""
    row = find(run_id)
    return row is not None and set_right(row)["status"] in ACTIVE


def queue_of(row: dict[str, Any]) -> Queue:
    """Return the queue of a run, as it was when the run began."""
    return Queue.of(json.loads(row["queue"])) if "queue" in row else queues.default()


def registration(run_id: str, name: str) -> Queue:
    """Return the queue of that name as a run began with it.

    A run goes by what its record says to its end, so that is read once a process.
    """
    return queues.default() if name == DEFAULT_QUEUE else _registration(run_id)


@lru_cache(maxsize=64)
def _registration(run_id: str) -> Queue:
    row = find(run_id)
    if row is None or "queue" not in row:
        raise RunNotFound(f"There is no run {run_id} of a registered queue.")
    return queue_of(row)


def parse_request(text: str) -> dict[str, Any]:
    """Return what a run was asked for; {} for what is no request: the console takes anything."""
    try:
        request = loads(text)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def page(limit: int, cursor: str | None, queue: Queue) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most `limit` runs of a queue, 100 at most, newest first, and a cursor.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not ours.
    """
    start = paging.start(cursor, run_id=None, dead_letter_queue=queue.key, started_at=None)
    answer: Any = dynamodb().query(
        TableName=settings().runs_table,
        IndexName=BY_START_INDEX,
        KeyConditionExpression="dead_letter_queue = :queue",
        ExpressionAttributeValues={":queue": queue.key},
        ScanIndexForward=False,
        Limit=limit,
        **start,
    )
    rows = [set_right(row) for row in _whole([str(key["run_id"]) for key in answer["Items"]])]
    return rows, paging.cursor(answer.get("LastEvaluatedKey"))


def page_of(name: str, limit: int, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Return a `page` of a queue's runs by its name; also of one that nobody registered.

    Raises UnknownQueue if no run was asked for either: a schedule's or a console's has failed.
    """
    try:
        return page(limit, cursor, registry.get(name))
    except registry.UnknownQueue:
        if not (found := page(limit, cursor, queues.unknown(name)))[0]:
            raise
        return found


def abandoned() -> list[dict[str, Any]]:
    """Return the runs of late that ended before their own end, and left something undone."""
    return [row for row in of_late() if row["status"] not in ACTIVE + _CLOSED]


def of_late() -> list[dict[str, Any]]:
    """Return the newest runs of every queue: between two sweeps few runs end."""
    return [row for queue in registry.every() for row in page(_OF_LATE, None, queue)[0]]


def _whole(run_ids: list[str]) -> list[dict[str, Any]]:
    """Return the rows of those runs that are known, in their order, read consistently."""
    table, found = settings().runs_table, dict[str, dict[str, Any]]()
    keys = [{"run_id": run_id} for run_id in run_ids]
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True}} if keys else {}
    while wanted:
        answer: Any = dynamodb().batch_get_item(RequestItems=wanted)
        found |= {row["run_id"]: counters.added_up(row) for row in answer["Responses"][table]}
        wanted = answer.get("UnprocessedKeys")
    return [found[run_id] for run_id in run_ids if run_id in found]


def find(run_id: str) -> dict[str, Any] | None:
    """Return a run's row as it is, or None."""
    answer = dynamodb().get_item(
        TableName=settings().runs_table, Key={"run_id": run_id}, ConsistentRead=True
    )
    row = answer.get("Item")
    if row is None or "trigger" not in row:
        return None  # a lock is no run
    return counters.added_up(row)


def set_right(row: dict[str, Any]) -> dict[str, Any]:
    """Set a row right whose execution ended without a word, and return it as it is then."""
    if row["status"] not in ACTIVE:
        return row
    status = executions.execution_status(row["execution_arn"])
    if status is None and clock.epoch() - int(row["owned_at"]) >= run_lock.START_GRACE_SECONDS:
        return end(row, "FAILED", "The execution never began.")
    if status in (None, "RUNNING"):
        return row
    if status == "SUCCEEDED":
        return end(row, "FAILED", "The execution ended without closing its record.")
    return end(row, status, "The execution was ended from outside.")


def end(seen: dict[str, Any], status: str, failure: str) -> dict[str, Any]:
    """End a run for an execution that did not, and return its row as it is then.

    Refused if the machine had the last word since the row was `seen`: it closed the row, or it has
    begun (only then has a row `expires_at`).
    """
    run_id = seen["run_id"]
    begun = "attribute_exists" if "expires_at" in seen else "attribute_not_exists"
    ending = change(
        run_id,
        "SET #status = :status, finished_at = :now, failure = :failure",
        "#status IN (:running, :cancelling)"
        f" AND execution_arn = :execution AND owned_at = :owned_at AND {begun}(expires_at)",
        {
            ":status": status,
            ":failure": failure,
            ":now": clock.now(),
            ":execution": seen["execution_arn"],
            ":owned_at": seen["owned_at"],
        },
    )
    # The machine accounts for the ends that it lives to see; this one it did not.
    starter = audit.Actor(seen["requested_by"], seen["trigger"], "", seen.get("trace_id", run_id))
    about: dict[str, Any] = {"run_id": run_id, "execution_arn": seen["execution_arn"]}
    about["queue"] = queue_of(seen).name
    record = audit.entry(starter, "end_run", result=status, input={"reason": failure}, **about)
    transact([ending, record])
    return find(run_id) or seen


def change(
    run_id: str, expression: str, condition: str, values: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the part of a transaction that changes a run's record.

    Args:
        run_id: whose it is.
        expression: how; it may use `#status`, `:running` and `:cancelling`, and the `values`.
        condition: when; likewise.
        values: of the other placeholders.
    """
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

"""Which run owns the dead-letter queue: its lock and its record, taken and given up.

A run whose execution ended without a word owns it until somebody asks: the next run, or the sweep.
"""

import json
from typing import Any

from workflows.ledger import audit
from workflows.redrive import run_lock, runs
from workflows.runtime import clock
from workflows.runtime.aws import transact
from workflows.runtime.refusals import Conflict
from workflows.runtime.settings import settings


class RunActive(Conflict):
    """Another run holds the dead-letter queue."""

    code = "run_active"

    def __init__(self, run_id: str) -> None:
        """Take the id of the active run."""
        super().__init__(f"Run {run_id} is active on this dead-letter queue.")
        self.run_id = run_id


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
        abandoned = runs.find(holder["holder"])
        if abandoned is not None:
            runs.set_right(abandoned)
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
    } | dict.fromkeys(runs.COUNTERS, 0)
    about: dict[str, Any] = {"run_id": run_id, "execution_arn": row["execution_arn"]}
    record = audit.entry(actor, "start_run", result="STARTED", input=request, **about)
    transact([{"Put": {"TableName": settings().runs_table, "Item": row}}, record])
    return row


def abandon(row: dict[str, Any], failure: str) -> None:
    """Mark the run that has this row FAILED and release its lock, after it could not be started.

    A run that has begun since goes on: only the answer of its start was lost.
    """
    if runs.end(row, "FAILED", failure)["status"] not in runs.ACTIVE:
        run_lock.release(row["run_id"])


def recover() -> str | None:
    """Free the lock if its run's execution ended without a word; return that run's id.

    The executions' status events are best effort, so this is also called on a schedule.
    """
    lock = run_lock.find()
    if lock is None or run_lock.is_alive(lock):
        return None
    run_id = str(lock["holder"])
    row = runs.find(run_id)
    if row is not None:
        runs.set_right(row)
    return run_id if run_lock.free(lock) else None

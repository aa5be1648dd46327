"""Which run owns the dead-letter queue: its lock and its record, taken and given up.

A run whose execution ended without a word owns it until somebody asks: the next run, or the sweep.
"""

import json
from typing import Any

from workflows.ledger import audit, writes
from workflows.queues.queue import Queue
from workflows.redrive import counters, run_lock, run_record, runs
from workflows.redrive.run import Run
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
    run_id: str, queue: Queue, trigger: str, actor: audit.Actor, request: dict[str, Any]
) -> dict[str, Any]:
    """Take the dead-letter queue's lock for a run, record it and who started it; return its row.

    Raises:
        RunActive: the lock is held and its run is alive.
    """
    holder = run_lock.take(run_id, queue, None)
    if holder is not None:
        if run_lock.is_alive(holder):
            raise RunActive(holder["holder"])
        # Its execution ended without releasing the lock; only the first to notice gets it.
        if run_lock.take(run_id, queue, holder) is not None:
            raise RunActive(holder["holder"])
        abandoned = runs.find(holder["holder"])
        if abandoned is not None:
            runs.set_right(abandoned)
    row: dict[str, Any] = (
        {
            "run_id": run_id,
            "dead_letter_queue": queue.key,
            "status": "RUNNING",
            "trigger": trigger,
            "requested_by": actor.email,
            "request": json.dumps(request),
            "trace_id": actor.trace_id,
            "started_at": clock.now(),
            "owned_at": clock.epoch(),
            "execution_arn": run_lock.execution_of(run_id),
        }
        | dict.fromkeys(counters.NAMES, 0)
        | _registered(queue)
    )
    about: dict[str, Any] = {"run_id": run_id, "execution_arn": row["execution_arn"]}
    record = audit.entry(actor, "start_run", result="STARTED", input=request, **about)
    transact([{"Put": {"TableName": settings().runs_table, "Item": row}}, record])
    return row


def known(run: Run) -> dict[str, Any] | None:
    """Return the record of a run, if it has one, and let the run be of whom the record says.

    Only the API writes one before the machine begins, for the person whose token it has checked.
    """
    row = runs.find(run.run_id)
    if row is not None:
        run.trigger = row["trigger"]
        run.requested_by = row.get("requested_by", run.requested_by)
        run.trace_id = row.get("trace_id", run.run_id)
    return row


class LeaseLost(Exception):
    """The lock of the dead-letter queue is another run's by now."""


def claim(run: Run, queue: Queue) -> bool:
    """Take the lock for a run whose machine has begun, and its record; tell whether it has them.

    A run of the API has both already. The lock is a lease: a run that was stopped loses it by time.
    A run whose record is closed does nothing more. May be repeated.
    """
    now = clock.epoch()
    first = (
        {
            "status": "RUNNING",
            "trigger": run.trigger,
            "requested_by": run.requested_by,
            "request": json.dumps(run.request),
            "trace_id": run.trace_id,
            "started_at": clock.now(),
        }
        | dict.fromkeys(counters.NAMES, 0)
        | _registered(queue)
    )
    each = {
        "dead_letter_queue": queue.key,
        "execution_arn": run.execution_arn,
        "owned_at": now,
        "expires_at": writes.expiry(),
    }
    taken = run_lock.taking(run.run_id, queue, now)
    return transact([taken, run_record.begun(run.run_id, first, each)]) is None


def _registered(queue: Queue) -> dict[str, str]:
    """Return what a run's record keeps of its queue, so that the run goes by it to its end."""
    return {} if queue.is_default else {"queue": json.dumps(queue.as_dict())}


def close(run: Run, at: str) -> None:
    """Close a run's record, give its lock back and account for it: all, or nothing.

    May be repeated with the same `at`.

    Raises:
        LeaseLost: nothing was written, because the lock is another run's, or the record is closed.
    """
    parts = [
        run_record.closed(run, at),
        run_lock.releasing(run.run_id, run.queue),
        _account(run, at),
    ]
    if transact(parts) is not None and not run_record.was_closed(run.run_id, at):
        raise LeaseLost


def close_failed(run: Run, at: str) -> None:
    """Close what is still to be closed of a run that failed, and account for it in any case.

    A run that began without the API and failed before it had a record has none, and one that
    somebody closed stays closed. Whose lock is another's by now has failed by that. May be repeated
    with the same `at`.
    """
    run.status = "FAILED"
    parts = [
        run_record.closed(run, at),
        run_lock.releasing(run.run_id, run.queue),
        _account(run, at),
    ]
    refusals = transact(parts)
    if refusals is None or run_record.was_closed(run.run_id, at):
        return
    has_record, has_lock, _ = (refusal["Code"] == "None" for refusal in refusals)
    if not has_lock and run.failure != "LeaseLost":
        run.reason, run.failure = run.reason or f"{run.failure}.", "LeaseLost"
    parts = [run_record.closed(run, at)] * has_record + [
        run_lock.releasing(run.run_id, run.queue)
    ] * has_lock
    transact([*parts, _account(run, at)])  # refused where a try before wrote it


def account_for_skipped(run: Run, at: str) -> None:
    """Account for a run that did nothing, because there was nothing to do or another does it."""
    told = {"request": json.dumps(run.request), "reason": run.reason}
    transact([_entry(run, "skip_run", at, told)])  # refused where it was written before


def _account(run: Run, at: str) -> dict[str, Any]:
    counters = {"received": run.received} | run.counts
    return _entry(run, "end_run", at, {"request": json.dumps(run.request)}, counters)


def _entry(
    run: Run,
    action: audit.Action,
    at: str,
    told: dict[str, Any],
    counters: dict[str, int] | None = None,
) -> dict[str, Any]:
    actor = audit.Actor(run.requested_by, run.trigger, "", run.trace_id)
    about: dict[str, Any] = {"run_id": run.run_id, "execution_arn": run.execution_arn}
    return audit.entry(
        actor, action, result=run.status, input=told, counters=counters, once_at=at,
        queue=run.queue.name, **about,
    )  # fmt: skip


def abandon(row: dict[str, Any], failure: str) -> None:
    """Mark the run that has this row FAILED and release its lock, after it could not be started.

    A run that has begun since goes on: only the answer of its start was lost.
    """
    if runs.end(row, "FAILED", failure)["status"] not in runs.ACTIVE:
        run_lock.release(row["run_id"], runs.queue_of(row))


def recover(queue: Queue) -> str | None:
    """Free a queue's lock if its run's execution ended without a word; return that run's id.

    The executions' status events are best effort, so this is also called on a schedule.
    """
    lock = run_lock.find(queue)
    if lock is None or run_lock.is_alive(lock):
        return None
    run_id = str(lock["holder"])
    row = runs.find(run_id)
    if row is not None:
        runs.set_right(row)
    return run_id if run_lock.free(lock) else None

"""How each redrive run ended: one log line and one count of what it did, whichever way it ended.

The machine closes the run's record, and `runs.py` that of a run whose execution was ended from
outside. Whoever learns of the end first marks the record, then tells: told once or, by a crash
in between, not at all, but never twice.
"""

from typing import Any

from workflows.redrive import counters, runs
from workflows.runtime import clock, telemetry
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

FAILED = ("FAILED", "ABORTED", "TIMED_OUT")


def note(run_id: str) -> None:
    """Log and count how a run ended, if it has and nobody did so before."""
    row = _mark(run_id)
    if row is None:
        return
    counts = {name: int(row.get(name, 0)) for name in counters.NAMES}  # an older row has fewer
    failed = row["status"] in FAILED
    telemetry.count("MessagesReprocessed", counts["redriven"])
    telemetry.count("MessagesQuarantined", counts["quarantined"])
    telemetry.count("Errors", counts["failed"] + failed)
    took = clock.read(row["finished_at"]) - clock.read(row["started_at"])
    telemetry.ended(
        "end_run",
        str(row.get("trace_id", run_id)),
        row["status"] if failed else None,
        run_id=run_id,
        queue_name=runs.queue_of(row).dead_letter_queue_name,
        run_status=row["status"],
        **counts,
        **({"failure": row["failure"]} if failed and "failure" in row else {}),
        duration=round(took.total_seconds(), 3),
    )


def untold() -> list[dict[str, Any]]:
    """Return the runs of late whose end was not noted: the events of executions are best effort."""
    return [
        row for row in runs.of_late() if row["status"] not in runs.ACTIVE and "noted_at" not in row
    ]


def _mark(run_id: str) -> dict[str, Any] | None:
    try:
        answer: Any = dynamodb().update_item(
            TableName=settings().runs_table,
            Key={"run_id": run_id},
            UpdateExpression="SET noted_at = :now",
            ConditionExpression="attribute_exists(finished_at) AND attribute_not_exists(noted_at)",
            ExpressionAttributeValues={":now": clock.now()},
            ReturnValues="ALL_NEW",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        return None
    return counters.added_up(answer["Attributes"])

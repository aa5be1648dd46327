"""What a run writes into its record itself: that it begins, where it works, how it ends."""

from typing import Any

from workflows.redrive import counters, runs
from workflows.redrive.run import Run
from workflows.runtime.aws import transact


def begun(run_id: str, first: dict[str, Any], each: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a transaction that lets a run's record say that its execution works.

    Args:
        run_id: whose record it is.
        first: columns that are written if they are not there yet.
        each: columns that are written anyway.
    """
    names = [*first, *each]
    sets = [f"#{name} = if_not_exists(#{name}, :{name})" for name in first]
    sets += [f"#{name} = :{name}" for name in each]
    values = {f":{name}": value for name, value in (first | each).items()}
    part = runs.change(
        run_id,
        f"SET {', '.join(sets)}",
        "attribute_not_exists(#status) OR #status IN (:running, :cancelling)",
        values,
    )
    part["Update"]["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
    return part


def closed(run: Run, at: str) -> dict[str, Any]:
    """Return the part of a transaction that closes a run's record, with its last counters."""
    ends = (
        {
            "status": run.status,
            "finished_at": at,
            "reason": run.reason,
            "received": run.received,
        }
        | run.counts
        | counters.columns(run.lanes)
    )
    if run.status == "FAILED":
        ends["failure"] = run.failure
    else:
        ends |= {"in_flight": run.in_flight, "missing": run.missing}
    part = runs.change(
        run.run_id,
        f"SET {', '.join(f'#{name} = :{name}' for name in ends)}",
        "#status IN (:running, :cancelling) OR #finished_at = :finished_at",
        {f":{name}": value for name, value in ends.items()},
    )
    part["Update"]["ExpressionAttributeNames"] = {f"#{name}": name for name in ends}
    return part


def note_round(run: Run) -> None:
    """Note which lanes work for a run now, or soon, so that their batches can be given back."""
    part = runs.change(
        run.run_id,
        "SET #round = :round, working = :working",
        "#status IN (:running, :cancelling)",
        {":round": run.round, ":working": run.working},
    )
    part["Update"]["ExpressionAttributeNames"]["#round"] = "round"
    transact([part])  # refused where the run was ended: whoever did so has looked


def was_closed(run_id: str, at: str) -> bool:
    """Tell whether a run's record was closed at that moment."""
    row = runs.find(run_id)
    return row is not None and row.get("finished_at") == at

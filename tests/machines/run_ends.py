"""How a run ended is told alike wherever it is told: by its output, its record, its audit and lock.

Asked after every scenario, on both engines, so that no scenario has to ask for itself.
"""

import json
from typing import Any

from tests.support.redrive_runs import COUNTERS, LOCK, audited, held_records
from tests.support.stack_fixtures import Execution, row
from tests.support.world import World

_FROM_OUTSIDE = "The execution was ended from outside."
# Of these runs nothing can be told, or the sweep tells it.
_ENDED_BY_THE_SWEEP = [
    f"record {{'status': 'FAILED', 'failure': '{_FROM_OUTSIDE}'}},"
    " execution {'status': 'FAILED', 'failure': 'Sqs.First'}"
]
UNTOLD = {
    "failure_that_cannot_be_accounted_for": ["no word of Some.ServiceException"],
    "failure_that_cannot_be_recorded": _ENDED_BY_THE_SWEEP,
}
_TELLING = ("status", "reason", "in_flight", "missing")


def differently_told(world: World) -> list[str]:
    """Return what is told otherwise in one place than in another, of every run of a scenario."""
    return [what for run in _runs(world) for what in _contradictions(world, run)]


def _runs(world: World) -> list[Execution]:
    redrives = set()
    for arn in world.machines.values():
        client = world.stack.client("stepfunctions")
        definition = client.describe_state_machine(stateMachineArn=arn)["definition"]
        if json.loads(definition)["StartAt"] == "BeginRun":
            redrives.add(arn.replace(":stateMachine:", ":execution:"))
    return [run for run in world.executions if run.arn.rpartition(":")[0] in redrives]


def _contradictions(world: World, run: Execution) -> list[str]:
    output = run.output if run.status == "SUCCEEDED" else {}
    run_id = output.get("run_id", run.name)
    record = world.run_row(run_id)
    ends = [r for r in audited(world.stack, run_id) if r["action"] in ("end_run", "skip_run")]
    if output.get("status") == "SKIPPED":
        return _skipped(run, ends)
    if not output and not record and not ends:
        return [f"no word of {run.error}"]
    status = output.get("status", run.status)
    found = [] if [e["result"] for e in ends] == [status] else [f"audited {ends}"]
    return found + (_recorded(world, run, record, ends) if record else [])


def _recorded(world: World, run: Execution, record: dict[str, Any], ends: list[Any]) -> list[str]:
    if run.status == "SUCCEEDED":
        told, expected = _told(record), _told(run.output)
    else:
        told = {n: str(record.get(n)).removeprefix("States.") for n in ("status", "failure")}
        expected = {"status": run.status, "failure": run.error or _FROM_OUTSIDE}
    output = run.output if run.status == "SUCCEEDED" else {}
    counts = [_counts(by) for by in (*(end.get("counters") for end in ends), output) if by]
    checks = {
        f"record {told}, execution {expected}": told == expected,
        f"audited for {ends}": {e["execution_arn"] for e in ends} <= {run.arn},
        f"counted {counts}": all(count == _counts(record) for count in counts),
        "ended before it began": record.get("started_at", "") < record["finished_at"],
        "has its lock still": row(world.stack, "Runs", LOCK).get("holder") != record["run_id"],
        "holds messages still": not held_records(world.stack, record["run_id"]),
    }
    return [what for what, holds in checks.items() if not holds]


def _skipped(run: Execution, ends: list[Any]) -> list[str]:
    if [(e["action"], e["result"], e["input"]["reason"]) for e in ends] != [
        ("skip_run", "SKIPPED", run.output["reason"])
    ]:
        return [f"audited {ends}"]
    return []


def _told(by: dict[str, Any]) -> dict[str, Any]:
    return {name: by[name] for name in _TELLING if by.get(name)}


def _counts(told: dict[str, Any]) -> dict[str, int]:
    return {name: int(told[name]) for name in COUNTERS if told.get(name)}

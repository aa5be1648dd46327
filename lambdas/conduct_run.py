"""`BeginRun`, `DecideNext`, `FinishRun` and `FailRun` of the redrive state machine.

What the machine does next is decided in `workflows/redrive`; none of this touches a message but to
make it visible again.
"""

from contextlib import suppress
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

from workflows.redrive import beginning, course, in_flight, legs, ownership
from workflows.redrive.legs import Told
from workflows.redrive.run import Run, new
from workflows.runtime import clock, telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take the step that `event["do"]` names, and return what the machine goes on with.

    `begin` takes {execution: {Id, Name, Input}, at, waves}, and `decide` {run, leg}; both return
    the run. `finish` takes {run, at} and returns what the run did, `fail` {run, leg, failure, at},
    and what `begin` took for a run that never began; it returns {failure, reason}. `at` is when the
    state was entered, so that a second try is known for one.

    Raises:
        workflows.redrive.ownership.LeaseLost: a run cannot finish without its lock.
    """
    step = event["do"]
    run = _run(event)
    told = Told.model_validate(event["leg"]) if event.get("leg") else None
    with telemetry.action(f"{step}_run", run.trace_id, run_id=run.run_id) as details:
        at = clock.text(clock.read(event["at"])) if "at" in event else ""
        if step == "begin":
            given = event["execution"]["Input"]
            run = beginning.begin(run.run_id, run.execution_arn, given, at, event["waves"])
        elif step == "decide":
            run = course.decide(run, told)
        elif step == "finish":
            _give_back(run)
            ownership.close(run, at)
            return _did(run)
        else:
            if told is not None:
                run.lane = legs.count(run.run_id, run.lane, told)
            _give_back(run)
            ownership.close_failed(run, at)
            return {"failure": run.failure, "reason": run.reason}
        details |= {"next": run.next, "failure": run.failure, "reason": run.reason}
        return run.model_dump()


def _run(event: dict[str, Any]) -> Run:
    if event.get("run"):
        run = Run.model_validate(event["run"])
    else:
        execution = event["execution"]
        run = new(execution["Name"], execution["Id"], execution["Input"])
    run.failure = event.get("failure") or run.failure
    return run


def _give_back(run: Run) -> None:
    # If this fails for good, the sweep does it, or else SQS nine hours after.
    with suppress(ClientError):
        in_flight.give_back(run.run_id, run.lane.number, run.lane.records)


def _did(run: Run) -> dict[str, Any]:
    told = {"run_id": run.run_id, "status": run.status, "received": run.lane.received}
    also = {"in_flight": run.in_flight, "missing": run.missing, "reason": run.reason}
    return told | run.lane.counts | {name: value for name, value in also.items() if value}

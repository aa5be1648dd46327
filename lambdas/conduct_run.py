"""`BeginRun`, `DecideNext`, `FinishRun` and `FailRun` of a redrive run, and `SettleLeg` of a lane.

What the machine does next is decided in `workflows/redrive`; none of this touches a message but to
make it visible again.
"""

from contextlib import suppress
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

from workflows.redrive import beginning, course, in_flight, legs, ownership
from workflows.redrive.legs import Result, Told
from workflows.redrive.run import Run, new
from workflows.runtime import clock, telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take the step that `event["do"]` names, and return what the machine goes on with.

    `begin` takes {execution: {Id, Name, Input}, at, waves}, and `decide` {run, legs}; both return
    the run. `finish` takes {run, at} and returns what the run did, `fail` {run, legs, failure, at},
    and what `begin` took for a run that never began; it returns {failure, reason}. `at` is when the
    state was entered, so that a second try is known for one. `settle` is a lane's: it takes
    {run_id, trace_id, leg} and returns {lane}.

    Raises:
        workflows.redrive.ownership.LeaseLost: a run cannot finish without its lock.
    """
    step = event["do"]
    if step == "settle":
        with telemetry.action("settle_leg", event["trace_id"], run_id=event["run_id"]):
            lane = legs.settle(event["run_id"], Told.model_validate(event["leg"]))
            return {"lane": lane.model_dump()}
    run = _run(event)
    results = [Result.model_validate(heard) for heard in event.get("legs", ())]
    with telemetry.action(f"{step}_run", run.trace_id, run_id=run.run_id) as details:
        at = clock.text(clock.read(event["at"])) if "at" in event else ""
        if step == "begin":
            given = event["execution"]["Input"]
            run = beginning.begin(run.run_id, run.execution_arn, given, at, event["waves"])
        elif step == "decide":
            run = course.decide(run, results)
        elif step == "finish":
            _give_back(run)
            ownership.close(run, at)
            return _did(run)
        else:
            for lane, result in zip(run.at_work, results, strict=False):
                run.lanes[lane.number] = legs.count(run.run_id, lane, result)
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
        if event["do"] == "fail":  # `begin` looks by itself
            ownership.known(run)
    run.failure = event.get("failure") or run.failure
    return run


def _give_back(run: Run) -> None:
    # If this fails for good, the sweep does it, or else SQS nine hours after.
    with suppress(ClientError):
        for lane in run.lanes:
            in_flight.give_back(run.run_id, lane.number, lane.records)


def _did(run: Run) -> dict[str, Any]:
    told = {"run_id": run.run_id, "status": run.status, "received": run.received}
    also = {"in_flight": run.in_flight, "missing": run.missing, "reason": run.reason}
    return told | run.counts | {name: value for name, value in also.items() if value}

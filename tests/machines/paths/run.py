"""Running every test case of the mock configuration file once, and what came out of it."""

import contextlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from local.deadline import DeadlineMissed, wait_until
from local.machines import MACHINES
from tests.machines.paths import coverage, lane_cases, redrive_cases, retry_cases
from tests.machines.paths.case import Case
from tests.machines.paths.coverage import Branch
from tests.support.endpoint import PLACEHOLDERS, Deployed, machines
from tests.support.history import Step, read

CASES = [*retry_cases.CASES, *redrive_cases.CASES, *lane_cases.CASES]
_SECONDS = 540.0  # an endpoint that does not shorten the waits needs six minutes


@dataclass(frozen=True)
class Outcome:
    """How an execution ended, and the way it took; still RUNNING if it did not end in time."""

    case: Case
    arn: str
    machine: Deployed
    status: str
    error: str | None
    output: dict[str, Any]
    steps: list[Step]

    def path(self) -> list[str]:
        """Return the states it entered, with what the case allows to be repeated only once."""
        again, states = list(self.case.again), []
        for step in self.steps:
            states.append(step.state)
            if again and states[-len(again) :] == again == states[-2 * len(again) : -len(again)]:
                del states[-len(again) :]
        return states

    def taken(self) -> set[Branch]:
        """Return what it has taken of its machine."""
        execution = coverage.Execution(self.arn, self.machine.arn, self.steps)
        return coverage.taken(self.machine.definition, execution)


def run_all(engine: Any) -> dict[str, Outcome]:
    """Run all cases at once on whatever gives `client("stepfunctions")`."""
    stepfunctions = engine.client("stepfunctions")
    with machines(stepfunctions) as deployed:
        arns = {str(case): _start(stepfunctions, deployed[case.machine], case) for case in CASES}
        running = list(arns.values())

        def all_ended() -> bool:
            while running and _describe(stepfunctions, running[-1])["status"] != "RUNNING":
                running.pop()
            return not running

        with contextlib.suppress(DeadlineMissed):  # each case's own test tells
            wait_until(all_ended, _SECONDS, "all executions end", interval=0.2)
        return {
            str(case): _outcome(stepfunctions, case, arns[str(case)], deployed[case.machine])
            for case in CASES
        }


def covered(outcomes: dict[str, Outcome]) -> tuple[dict[str, set[Branch]], dict[str, set[Branch]]]:
    """Return, for each file of `statemachines/`, what there is to take and what was taken."""
    possible: dict[str, set[Branch]] = {}
    for machine in MACHINES.values():
        every = coverage.branches(machine.definition(PLACEHOLDERS))
        possible.setdefault(machine.file, set()).update(every)
    done: dict[str, set[Branch]] = {}
    for outcome in outcomes.values():
        done.setdefault(MACHINES[outcome.case.machine].file, set()).update(outcome.taken())
    return possible, done


def _start(stepfunctions: Any, machine: Deployed, case: Case) -> str:
    name = case.execution_name or f"{case.name[:40]}-{uuid.uuid4()}"
    try:
        started = stepfunctions.start_execution(
            stateMachineArn=f"{machine.arn}#{case.name}", name=name, input=json.dumps(case.given)
        )
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        # It has this name always. On a machine that is still the same an earlier one is as good.
        if machine.new:
            raise
        return f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}"
    return str(started["executionArn"])


def _describe(stepfunctions: Any, arn: str) -> Any:
    return stepfunctions.describe_execution(executionArn=arn)


def _outcome(stepfunctions: Any, case: Case, arn: str, machine: Deployed) -> Outcome:
    end = _describe(stepfunctions, arn)
    return Outcome(
        case=case,
        arn=arn,
        machine=machine,
        status=end["status"],
        error=end.get("error"),
        output=json.loads(end["output"]) if end["status"] == "SUCCEEDED" else {},
        steps=read(stepfunctions, arn),
    )

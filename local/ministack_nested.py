"""Where MiniStack's nested executions differ from AWS's: a part of `ministack_quirks`.

Those of `startExecution.sync:2`, and Express ones by `aws-sdk:sfn:startSyncExecution`.
https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
"""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

_parent: ContextVar[dict[str, Any] | None] = ContextVar("parent", default=None)


def patch(stepfunctions: Any) -> None:
    """Change MiniStack's Step Functions inside its own process, before it starts."""
    _know_the_parent(stepfunctions)
    _hand_on_test_cases(stepfunctions)
    _fail_as_aws_does(stepfunctions)


def _know_the_parent(stepfunctions: Any) -> None:
    execute = stepfunctions._execute_task

    def execute_and_know(state: Any, given: Any, execution: Any, context: Any) -> Any:
        token = _parent.set(execution)
        try:
            return execute(state, given, execution, context)
        finally:
            _parent.reset(token)

    stepfunctions._execute_task = execute_and_know


def _hand_on_test_cases(stepfunctions: Any) -> None:
    """Let a nested execution have its parent's test case, if its machine has one of that name.

    Then one case mocks a run and its lanes. All nested executions of a parent count together.
    AWS's Step Functions Local has nothing of the kind: there the parent's task is mocked.
    """
    start, run = stepfunctions._start_sync_execution, stepfunctions._run_execution

    def start_with_case(data: dict[str, Any]) -> Any:
        case = (_parent.get() or {}).get("testCase")
        machine = stepfunctions._state_machines.get(data["stateMachineArn"], {}).get("name")
        cases = stepfunctions._sfn_mock_config.get("StateMachines", {}).get(machine, {})
        if case and case in cases.get("TestCases", {}):
            data = data | {"stateMachineArn": f"{data['stateMachineArn']}#{case}"}
        return start(data)

    def run_with_counts(arn: str) -> None:
        parent, execution = _parent.get(), stepfunctions._executions.get(arn)
        if parent and execution and parent.get("testCase") == execution.get("testCase"):
            execution["mockAttempts"] = parent["mockAttempts"]
        run(arn)

    stepfunctions._start_sync_execution = start_with_case
    stepfunctions._run_execution = run_with_counts


def _fail_as_aws_does(stepfunctions: Any) -> None:
    """Refuse a name that was used, and call any bad end of a nested execution States.TaskFailed.

    MiniStack takes the name again, overwrites what had it, and hands on the child's own error. Of
    Express executions two may have one name, on AWS too.
    """
    invoke = stepfunctions._invoke_nested_start_execution_sync

    def invoke_or_fail(resource: str, given: dict[str, Any]) -> Any:
        _refuse_used_name(stepfunctions, given)
        return _named(stepfunctions, invoke, resource, given)

    stepfunctions._invoke_nested_start_execution_sync = invoke_or_fail


def _refuse_used_name(stepfunctions: Any, given: dict[str, Any]) -> None:
    machine = stepfunctions._state_machines.get(given.get("StateMachineArn"), {})
    end = f":{machine.get('name')}:{given.get('Name')}"
    if given.get("Name") and any(arn.endswith(end) for arn in stepfunctions._executions):
        cause = f"Execution Already Exists: '{given['Name']}'"
        raise stepfunctions._ExecutionError("StepFunctions.ExecutionAlreadyExistsException", cause)


def _named(stepfunctions: Any, invoke: Callable[..., Any], resource: str, given: Any) -> Any:
    try:
        return invoke(resource, given)
    except stepfunctions._ExecutionError as error:
        cause = json.dumps({"Error": error.error, "Cause": error.cause})
        raise stepfunctions._ExecutionError("States.TaskFailed", cause) from None

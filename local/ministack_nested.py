"""Where MiniStack's `startExecution.sync:2` differs from AWS's: a part of `ministack_quirks`.

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
    request, run = stepfunctions._nested_start_execution_request, stepfunctions._run_execution

    def request_with_case(given: Any) -> Any:
        found = request(given)
        case = (_parent.get() or {}).get("testCase")
        machine = stepfunctions._state_machines.get(found["stateMachineArn"], {}).get("name")
        cases = stepfunctions._sfn_mock_config.get("StateMachines", {}).get(machine, {})
        if case and case in cases.get("TestCases", {}):
            found["stateMachineArn"] += f"#{case}"
        return found

    def run_with_counts(arn: str) -> None:
        parent, execution = _parent.get(), stepfunctions._executions.get(arn)
        if parent and execution and parent.get("testCase") == execution.get("testCase"):
            execution["mockAttempts"] = parent["mockAttempts"]
        run(arn)

    stepfunctions._nested_start_execution_request = request_with_case
    stepfunctions._run_execution = run_with_counts


def _fail_as_aws_does(stepfunctions: Any) -> None:
    """Refuse a name that was used, and call any bad end of a nested execution States.TaskFailed.

    MiniStack takes the name again, overwrites what had it, and hands on the child's own error.
    """
    start, invoke = (
        stepfunctions._start_sync_execution,
        stepfunctions._invoke_nested_start_execution_sync,
    )

    def start_once(data: dict[str, Any]) -> Any:
        machine = stepfunctions._state_machines.get(data["stateMachineArn"].partition("#")[0], {})
        used = (
            arn
            for arn in stepfunctions._executions
            if arn.endswith(f":{machine.get('name')}:{data.get('name')}")
        )
        if data.get("name") and any(used):
            text = f"Execution Already Exists: '{data['name']}'"
            return stepfunctions.error_response_json("ExecutionAlreadyExists", text, 400)
        return start(data)

    def invoke_or_fail(resource: str, given: Any) -> Any:
        return _named(stepfunctions, invoke, resource, given)

    stepfunctions._start_sync_execution = start_once
    stepfunctions._invoke_nested_start_execution_sync = invoke_or_fail


def _named(stepfunctions: Any, invoke: Callable[..., Any], resource: str, given: Any) -> Any:
    try:
        return invoke(resource, given)
    except stepfunctions._ExecutionError as error:
        if error.error == "ExecutionAlreadyExists":
            name = f"StepFunctions.{error.error}Exception"
            raise stepfunctions._ExecutionError(name, error.cause) from None
        cause = json.dumps({"Error": error.error, "Cause": error.cause})
        raise stepfunctions._ExecutionError("States.TaskFailed", cause) from None

"""Where MiniStack's Step Functions differ from AWS's: a part of `ministack_quirks`, which see."""

import copy
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from local import legal_ids, mock_config


def patch(stepfunctions: Any) -> None:
    """Change MiniStack's Step Functions inside its own process, before it starts."""
    _refuse_test_cases_that_mock_nothing(stepfunctions)
    _count_mocked_invocations_as_aws_does(stepfunctions)
    _tell_assigned_variables_as_aws_does(stepfunctions)
    _time_expressions_by_their_own_work()
    _refuse_names_as_aws_does(stepfunctions)


def _refuse_names_as_aws_does(stepfunctions: Any) -> None:
    """Refuse names that no execution may have; MiniStack takes any. See `legal_ids`."""
    start = stepfunctions._start_execution

    def start_or_refuse(data: dict[str, Any]) -> Any:
        name = data.get("name")
        if name and not legal_ids.is_execution_name(name):
            return stepfunctions.error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        return start(data)

    stepfunctions._start_execution = start_or_refuse


def _refuse_test_cases_that_mock_nothing(stepfunctions: Any) -> None:
    """Start no execution whose test case is not there, or names what its machine does not have.

    MiniStack runs it, and calls the services. What AWS's Step Functions Local says is not written;
    the name of the error is LocalStack's.
    """

    def known_only(start: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def start_known(data: Any) -> Any:
            arn, mark, case = str(data.get("stateMachineArn", "")).partition("#")
            if machine := mark and stepfunctions._state_machines.get(arn):
                wrong = mock_config.case_mistakes(
                    stepfunctions._sfn_mock_config,
                    machine["name"],
                    mock_config.tasks(machine["definition"]),
                    case,
                )
                if wrong:
                    return stepfunctions.error_response_json("InvalidName", " ".join(wrong), 400)
            return start(data)

        return start_known

    for name in ("_start_execution", "_start_sync_execution"):
        setattr(stepfunctions, name, known_only(getattr(stepfunctions, name)))


def _count_mocked_invocations_as_aws_does(stepfunctions: Any) -> None:
    """Let a mocked response stand for one invocation of its task, a retry included.

    MiniStack takes one response for each entry of the state, throws an error at all retries of that
    entry, does not evaluate the arguments, notes no event, and calls the service when there is no
    response left. AWS asks for a response for every invocation and fails the execution without:
    https://docs.aws.amazon.com/step-functions/latest/dg/sfn-local-mock-cfg-file.html

    One thing is added for tests that want the service after its first answers: a response that has
    neither `Return` nor `Throw` calls it.
    """
    execute, find = stepfunctions._execute_task, stepfunctions._get_mock_response
    running = threading.local()

    def execute_and_know(state: Any, given: Any, execution: Any, context: Any) -> Any:
        running.task = (execution, context)
        try:
            return execute(state, given, execution, context)
        finally:
            running.task = None

    def answer_or(invoke: Callable[..., Any]) -> Callable[..., Any]:
        def invoke_or_answer(*arguments: Any) -> Any:
            response = _next_response(stepfunctions, find, getattr(running, "task", None))
            if "Throw" in response:
                thrown = response["Throw"]
                raise stepfunctions._ExecutionError(thrown["Error"], thrown["Cause"])
            if "Return" in response:
                return copy.deepcopy(response["Return"])
            return invoke(*arguments)

        return invoke_or_answer

    stepfunctions._execute_task = execute_and_know
    stepfunctions._get_mock_response = lambda *_: None  # not at the entry of a state
    for name in ("_invoke_resource", "_invoke_resource_with_timeout", "_invoke_with_callback"):
        setattr(stepfunctions, name, answer_or(getattr(stepfunctions, name)))


def _next_response(
    stepfunctions: Any, find: Callable[..., Any], task: tuple[Any, Any] | None
) -> dict[str, Any]:
    """Return the response for this invocation of a task, {} to call the service.

    Raises:
        LookupError: the state is mocked, and no response is left. Nothing catches that, so the
            execution fails.
    """
    execution, context = task or ({}, {})
    case = execution.get("testCase")
    if not case:
        return {}
    machine, state = context["StateMachine"]["Name"], context["State"]["Name"]
    machines = stepfunctions._sfn_mock_config.get("StateMachines", {})
    if state not in machines.get(machine, {}).get("TestCases", {}).get(case, {}):
        return {}
    counted = execution["mockAttempts"]
    number = counted.get(state, 0)
    counted[state] = number + 1
    response: dict[str, Any] | None = find(machine, case, state, number)
    if response is None:
        raise LookupError(f"{case}: no mocked response for invocation {number} of {state}")
    return response


def _tell_assigned_variables_as_aws_does(stepfunctions: Any) -> None:
    """Put the variables that a state assigned, each as JSON text, into its StateExited event.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StateExitedEventDetails.html
    """
    assign, add_event = stepfunctions._apply_state_assign, stepfunctions._add_event
    left = threading.local()

    def assign_and_note(state: Any, given: Any, context: Any, *found: Any, **named: Any) -> None:
        assign(state, given, context, *found, **named)
        variables = (context or {}).get("variables", {})
        names = [name for name in state.get("Assign") or {} if name in variables]
        left.assigned = {name: json.dumps(variables[name]) for name in names}

    def add_event_with_variables(execution: Any, kind: str, details: Any = None) -> Any:
        if kind.endswith(("StateEntered", "StateExited")):
            assigned = getattr(left, "assigned", None)
            if assigned and kind.endswith("StateExited"):
                details["stateExitedEventDetails"]["assignedVariables"] = assigned
            left.assigned = None
        return add_event(execution, kind, details)

    stepfunctions._apply_state_assign = assign_and_note
    stepfunctions._add_event = add_event_with_variables


def _time_expressions_by_their_own_work() -> None:
    """Let the second that an expression has be a second of its own thread's work.

    MiniStack goes by the clock, but runs all executions in one process: where a hundred are under
    way, what takes 20 ms may take more than a second, and fails now and then by luck.
    """
    from jsonata.timebox import Timebox

    begin, check = Timebox.__init__, Timebox.check_runaway

    def begin_own(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        self.began = time.thread_time()

    def check_own(self: Any) -> None:
        worked = round((time.thread_time() - self.began) * 1_000)
        self.time = Timebox.current_milli_time() - worked
        check(self)

    Timebox.__init__, Timebox.check_runaway = begin_own, check_own

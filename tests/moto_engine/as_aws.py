"""What moto needs to run this application's machines as AWS does; each is a gap of moto 5.2.5.

Nothing here knows the application: a machine that behaves otherwise than on AWS is mended here, not
in its ASL. `docs/testing.md` lists the differences that are left.
"""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any
from unittest import mock

import jsonata
from moto.dynamodb.models import DynamoDBBackend
from moto.sqs import models as sqs
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
    state_task_service_aws_sdk,
    state_task_service_dynamodb,
    state_task_service_sfn,
    state_task_service_sqs,
)
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from tests.moto_engine import statements

Begin = Callable[[str, str, Callable[[], None]], None]
Before = Callable[[str, str], bool]
Mocks = Callable[[str, str], dict[str, Any] | None]
Invoke = Callable[[str, Any], dict[str, Any]]


@contextmanager
def as_aws(*, begin: Begin, invoke: Invoke, mocked: Mocks, before_state: Before) -> Iterator[None]:
    """Mend moto for a while, inside `mock_aws`.

    Args:
        begin: called for an execution that is started, with its ARN, the test case that was named
            after the machine's ARN (or ""), and a function that runs it to its end; moto would run
            it in a thread at once.
        invoke: does `lambda:invoke`, given the function's name and the payload; answers as Lambda
            does, `{"Payload"}` with `FunctionError` if it failed.
        mocked: tells, for an execution's ARN and a state's name, what the state's next try meets
            instead of the service: `{"Return": …}`, `{"Throw": {"Error", "Cause"}}` or None.
        before_state: called with an execution's ARN and the name of the state that is next; False
            stops the execution there, as StopExecution does. Waits take no time.
    """
    with ExitStack() as patches:
        for patch in (
            *_expressions(),
            *_executions(begin),
            *_tasks(invoke, mocked),
            *_pace(before_state),
            mock.patch.object(DynamoDBBackend, "batch_execute_statement", statements.execute),
            mock.patch.object(sqs.Queue, "add_message", _remembering(sqs.Queue.add_message)),
        ):
            patches.enter_context(patch)
        yield


# JSONata. moto leaves its evaluation to a JVM that it does not bring, and pastes variables into
# the source, strings unescaped.


def _expressions() -> list[Any]:
    return [
        mock.patch.object(string_expression.StringJSONata, "_eval_body", _evaluate),
        mock.patch.object(string_expression.StringVariableSample, "_eval_body", _evaluate),
    ]


def _evaluate(self: Any, env: Any) -> None:
    store = env.variable_store
    states = {name: value for name, value in env.states._states_data.items() if value is not None}
    bindings = store._outer_scope | store._inner_scope | {"states": states}
    try:
        value = _compiled(self.expression).evaluate(None, copy.deepcopy(bindings))
        if value is None:
            raise ValueError("returned nothing (undefined)")
    except Exception as error:
        cause = f"The JSONata expression '{self.expression}' {error}"
        raise _failed(env, "States.QueryEvaluationError", cause) from error
    env.stack.append(_plain(value))


@cache
def _compiled(expression: str) -> Any:
    return jsonata.Jsonata(expression.strip().removeprefix("{%").removesuffix("%}"))


def _plain(value: Any) -> Any:
    """Return a value without JSONata's own kinds of list, and 3 for 3.0, as JSON has it."""
    return json.loads(json.dumps(value), parse_float=_number)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


def _failed(env: Any, error: str, cause: str) -> FailureEventException:
    details: Any = {"taskFailedEventDetails": {"error": error, "cause": cause}}
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=ErrorName(error),
            event_type=HistoryEventType.TaskFailed,
            event_details=details,
        )
    )


@cache
def _client_of(region: str, service: str) -> Any:
    return boto_client_for(region, service)


def _client(region: str, service: str, state_credentials: Any = None) -> Any:
    """Return the one client of a service; moto makes one for each task."""
    return _client_of(region, service)


# Executions. moto starts each in a thread, and parses the machine each time.


def _executions(begin: Begin) -> list[Any]:
    start_execution = StepFunctionsParserBackend.start_execution
    environment = ExecutionWorker._get_evaluation_environment
    case = ContextVar("case", default="")

    def start_case(self: Any, state_machine_arn: str, name: str, *args: Any) -> Any:
        machine_arn, _, named = state_machine_arn.partition("#")
        case.set(named)
        return start_execution(self, machine_arn, name, *args)

    def one_environment(self: Any) -> Any:
        if self.env is None:
            self.env = environment(self)
        return self.env

    def start(self: Any) -> None:
        one_environment(self)  # so that it can be stopped before it runs
        arn = self._evaluation_details.execution_details.arn
        begin(arn, case.get(), self._execution_logic)

    return [
        mock.patch.object(StepFunctionsParserBackend, "start_execution", start_case),
        mock.patch.object(ExecutionWorker, "_get_evaluation_environment", one_environment),
        mock.patch.object(ExecutionWorker, "start", start),
        mock.patch.object(AmazonStateLanguageParser, "parse", _parse),
    ]


_parse = cache(AmazonStateLanguageParser.parse)


# Tasks


def _tasks(invoke: Invoke, mocked: Mocks) -> list[Any]:
    service = state_task_service.StateTaskService
    evaluate = service._eval_execution

    def evaluate_or_mock(self: Any, env: Any) -> None:
        arn = env.states.context_object.context_object_data["Execution"]["Id"]
        response = mocked(arn, self.name)
        if response is None:
            evaluate(self, env)
        elif "Throw" in response:
            raise _failed(env, response["Throw"]["Error"], response["Throw"].get("Cause", ""))
        else:
            env.stack.append(copy.deepcopy(response["Return"]))

    def invoke_function(parameters: dict[str, Any], **_: Any) -> dict[str, Any]:
        return invoke(parameters["FunctionName"], json.loads(parameters["Payload"]))

    names = {"sqs": "Sqs", "cloudwatch": "CloudWatch"}
    clients = [
        mock.patch.object(module, "boto_client_for", _client)
        for module in (
            state_task_service_aws_sdk,
            state_task_service_dynamodb,
            state_task_service_sfn,
            state_task_service_sqs,
        )
    ]
    return [
        *clients,
        mock.patch.object(service, "_eval_execution", evaluate_or_mock),
        mock.patch.object(lambda_eval_utils, "_invoke_lambda_function", invoke_function),
        mock.patch.dict(state_task_service_aws_sdk._SERVICE_ERROR_NAMES, names),
    ]


# Pace


def _pace(before_state: Before) -> list[Any]:
    evaluate = CommonStateField._eval_body

    def evaluate_or_stop(self: Any, env: Any) -> None:
        arn = env.states.context_object.context_object_data["Execution"]["Id"]
        if before_state(arn, self.name):
            evaluate(self, env)
        else:
            env.set_stop(stop_date=None, cause=None, error=None)

    return [
        mock.patch.object(CommonStateField, "_eval_body", evaluate_or_stop),
        mock.patch.object(wait_function.WaitFunction, "_wait_interval", mock.Mock()),
        mock.patch.object(retrier_decl, "time", mock.Mock()),
    ]


# Deduplication. moto forgets the id of a message that was deleted; AWS remembers it for five
# minutes: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html


def _remembering(add: Any) -> Any:
    def add_message(queue: Any, message: Any) -> None:
        if message.approximate_receive_count:
            message.deduplication_id = message.id  # SQS itself moves it, and does so on AWS
        seen = queue.__dict__.setdefault("deduplication_ids", {})
        last = seen.get(message.deduplication_id)
        sent = message.sent_timestamp
        if last is not None and sent - last < 1_000 * sqs.DEDUPLICATION_TIME_IN_SECONDS:
            return
        if message.deduplication_id:
            seen[message.deduplication_id] = sent
        add(queue, message)

    return add_message

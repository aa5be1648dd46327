"""What moto needs to run this application's machines as AWS does; each is a gap of moto 5.2.5.

Nothing here knows the application: a machine that behaves otherwise than on AWS is mended here, not
in its ASL. `docs/testing.md` lists the differences that are left.
"""

import base64
import copy
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import Any
from unittest import mock

import jsonata
from moto.dynamodb.models import DynamoDBBackend
from moto.stepfunctions.exceptions import InvalidName
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
    ErrorEqualsDecl,
)
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.state_task import (
    lambda_eval_utils,
    state_task_lambda,
)
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
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from local import legal_ids
from tests.engines.moto_engine import history, map_items, queues, quick, statements

Begin = Callable[[str, str, Callable[[], None]], None]
Before = Callable[[str, str], bool | str]
Mocks = Callable[[str, str], dict[str, Any] | None]
Invoke = Callable[[str, Any], dict[str, Any]]
Task = Callable[[str, str, Callable[[], None]], str | None]
Wait = Callable[[float], None]

TIMED_OUT = "TIMED_OUT"


@contextmanager
def as_aws(
    *,
    begin: Begin,
    invoke: Invoke,
    mocked: Mocks,
    task: Task,
    before_state: Before,
    wait: Wait,
    next_item: map_items.Choose,
) -> Iterator[None]:
    """Mend moto for a while, inside `mock_aws`.

    Args:
        begin: called for an execution that is started, with its ARN, the test case that was named
            after the machine's ARN (or ""), and a function that runs it to its end; moto would run
            it in a thread at once.
        invoke: does `lambda:invoke`, given the function's name and the payload; answers as Lambda
            does, `{"Payload"}` with `FunctionError` if it failed.
        mocked: tells, for an execution's ARN and a state's name, what the state's next try meets
            instead of the service: `{"Return": …}`, `{"Throw": {"Error", "Cause"}}` or None.
        task: does one try of a state's task that is not mocked, given the execution's ARN, the
            state's name, and a function that does it; returns the name of an error that the state
            meets instead of the answer, or None.
        before_state: called with an execution's ARN and the name of the state that is next; False
            stops the execution there, as StopExecution does, and `TIMED_OUT` as its timeout does.
        wait: lets so many seconds pass at once: a Wait's, or those between two tries of a task.
        next_item: which item of a Map goes on, as `map_items` wants it.
    """
    with ExitStack() as patches:
        for patch in (
            *quick.patches(),
            *_expressions(),
            *_executions(begin),
            *_tasks(invoke, mocked, task),
            *_pace(before_state, wait),
            mock.patch.object(DynamoDBBackend, "batch_execute_statement", statements.execute),
            *_limits(),
            *queues.patches(),
            *history.patches(),
            *map_items.patches(next_item),
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
        value = compiled(self.expression).evaluate(None, quick.copy_of_json(bindings))
        if value is None:
            raise ValueError("returned nothing (undefined)")
    except Exception as error:
        cause = f"The JSONata expression '{self.expression}' {error}"
        raise _failed(env, "States.QueryEvaluationError", cause) from error
    env.stack.append(_plain(value))


class _Expression(jsonata.Jsonata):  # type: ignore[misc]  # it ships no types
    """An expression that tells the time of its own evaluation.

    jsonata-python asks the one for it that was compiled last in the thread.
    """

    def evaluate(self, given: Any, bindings: Any = None) -> Any:
        jsonata.Jsonata.CURRENT.jsonata = self
        return super().evaluate(given, bindings)


@cache
def compiled(expression: str) -> Any:
    """Return a JSONata expression, written as in a machine, ready to be evaluated."""
    found = _Expression(expression.strip().removeprefix("{%").removesuffix("%}"))
    # Those that are used of what Step Functions adds to JSONata.
    found.register_lambda("uuid", lambda: str(uuid.uuid4()))
    found.register_lambda("hash", _hash)
    found.register_lambda("parse", json.loads)
    return found


def _hash(text: str, algorithm: str) -> str:
    return hashlib.new(algorithm.replace("-", ""), text.encode()).hexdigest()


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
    client = _client_of(region, service)
    return _Synchronous(client) if service == "stepfunctions" else client


class _Synchronous:
    """Step Functions' client, able to start an Express execution and wait for its end.

    moto has none of that kind; whatever is started while another execution waits for it runs at
    once. https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartSyncExecution.html
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def start_sync_execution(self, **given: Any) -> Any:
        asked = {name[0].lower() + name[1:]: value for name, value in given.items()}
        started = self._client.start_execution(**asked)
        found = self._client.describe_execution(executionArn=started["executionArn"])
        return {
            name[0].upper() + name[1:]: found[name] for name in _OF_SYNCHRONOUS if name in found
        }


_OF_SYNCHRONOUS = ("executionArn", "name", "status", "input", "output", "error", "cause")


# Executions. moto starts each in a thread, and parses the machine each time.


def _executions(begin: Begin) -> list[Any]:
    start_execution = StepFunctionsParserBackend.start_execution
    environment = ExecutionWorker._get_evaluation_environment
    stop = Execution.stop
    case = ContextVar("case", default="")

    def start_case(self: Any, state_machine_arn: str, name: str, *args: Any) -> Any:
        if name and not legal_ids.is_execution_name(name):
            raise InvalidName(f"Invalid Name: '{name}'")
        machine_arn, _, named = state_machine_arn.partition("#")
        case.set(named)
        return start_execution(self, machine_arn, name, *args)

    def one_environment(self: Any) -> Any:
        if self.env is None:
            self.env = environment(self)
            self.env.event_manager.whole = self.env  # which all items of a Map have in common
        return self.env

    def start(self: Any) -> None:
        one_environment(self)  # so that it can be stopped before it runs
        arn = self._evaluation_details.execution_details.arn
        begin(arn, case.get(), self._execution_logic)

    def stop_at_once(self: Any, *args: Any, **named: Any) -> None:
        # moto tells of the end only when the state has ended that is at work, a lane's whole leg.
        stop(self, *args, **named)
        if self.exec_status == ExecutionStatus.RUNNING:
            self.exec_status = ExecutionStatus.ABORTED

    return [
        mock.patch.object(StepFunctionsParserBackend, "start_execution", start_case),
        mock.patch.object(ExecutionWorker, "_get_evaluation_environment", one_environment),
        mock.patch.object(ExecutionWorker, "start", start),
        mock.patch.object(Execution, "stop", stop_at_once),
        mock.patch.object(AmazonStateLanguageParser, "parse", _parse),
    ]


_parse = cache(AmazonStateLanguageParser.parse)


# Tasks


def _tasks(invoke: Invoke, mocked: Mocks, task: Task) -> list[Any]:
    service = state_task_service.StateTaskService
    evaluate = service._eval_execution

    def evaluate_or_mock(self: Any, env: Any) -> None:
        arn = env.states.context_object.context_object_data["Execution"]["Id"]
        response = mocked(arn, self.name)
        if response is None:
            height = len(env.stack)
            error = task(arn, self.name, lambda: evaluate(self, env))
            if error is not None:
                del env.stack[height:]
                raise _failed(env, error, "made up")
        elif "Throw" in response:
            raise _failed(env, response["Throw"]["Error"], response["Throw"].get("Cause", ""))
        else:
            env.stack.append(copy.deepcopy(response["Return"]))

    def invoke_function(parameters: dict[str, Any], **_: Any) -> dict[str, Any]:
        return invoke(parameters["FunctionName"], json.loads(parameters["Payload"]))

    names = {"sqs": "Sqs", "cloudwatch": "CloudWatch"}
    sdk = state_task_service_aws_sdk.StateTaskServiceAwsSdk
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
        mock.patch.object(
            state_task_service_sfn.StateTaskServiceSfn, "_normalise_parameters", _as_boto3_writes
        ),
        mock.patch.object(
            state_task_service_sfn.StateTaskServiceSfn, "_normalise_response", _as_aws_writes
        ),
        mock.patch.object(lambda_eval_utils, "_invoke_lambda_function", invoke_function),
        mock.patch.object(sdk, "_normalise_parameters", _as_boto3_reads),
        mock.patch.object(sdk, "_normalise_response", _as_json_writes),
        mock.patch.dict(state_task_service_aws_sdk._SERVICE_ERROR_NAMES, names),
    ]


def _as_boto3_reads(self: Any, parameters: Any, *_: Any, **__: Any) -> None:
    """Turn binary values of message attributes into bytes, in place.

    A state has them in base64, as SQS's JSON has them; moto hands the text on to boto3:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html
    """
    for part in parameters.values() if isinstance(parameters, dict) else parameters:
        if isinstance(part, dict) and isinstance(part.get("BinaryValue"), str):
            part["BinaryValue"] = base64.b64decode(part["BinaryValue"])
        elif isinstance(part, dict | list):
            _as_boto3_reads(self, part)


def _as_json_writes(self: Any, response: Any, *_: Any, **__: Any) -> None:
    """Turn the bytes of an answer into base64, in place."""
    for key, part in list(response.items() if isinstance(response, dict) else enumerate(response)):
        if isinstance(part, bytes):
            response[key] = base64.b64encode(part).decode()
        elif isinstance(part, dict | list):
            _as_json_writes(self, part)


def _as_boto3_writes(self: Any, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
    """Rename a `states:` task's arguments; moto hands StateMachineArn on to boto3 as it is."""
    for name in list(parameters):
        parameters[name[0].lower() + name[1:]] = parameters.pop(name)
    if "input" in parameters and not isinstance(parameters["input"], str):
        parameters["input"] = json.dumps(parameters["input"])


def _as_aws_writes(self: Any, response: dict[str, Any], *_: Any, **__: Any) -> None:
    """Write a `states:` task's answer as AWS does, in place: moto leaves boto3's names and times.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
    """
    for name in list(response):
        value = response.pop(name)
        if isinstance(value, datetime):
            value = int(value.timestamp() * 1_000)
        response[name[0].upper() + name[1:]] = value


# Pace


def _pace(before_state: Before, wait: Wait) -> list[Any]:
    evaluate = CommonStateField._eval_body

    def evaluate_or_stop(self: Any, env: Any) -> None:
        map_items.rest()
        arn = env.states.context_object.context_object_data["Execution"]["Id"]
        goes_on, whole = before_state(arn, self.name), env.event_manager.whole
        if goes_on == TIMED_OUT:
            whole.set_timed_out()
        elif goes_on:
            evaluate(self, env)
        else:
            whole.set_stop(stop_date=None, cause=None, error=None)

    def wait_interval(self: Any, env: Any, wait_seconds: float) -> None:
        wait(wait_seconds)

    return [
        mock.patch.object(CommonStateField, "_eval_body", evaluate_or_stop),
        mock.patch.object(wait_function.WaitFunction, "_wait_interval", wait_interval),
        mock.patch.object(retrier_decl, "time", mock.Mock(sleep=wait)),
    ]


# Limits. A state's 256 KiB are bytes of UTF-8. A task's result that exceeds them is caught by its
# own name and by States.ALL (recorded on AWS by others); nothing else catches States.Runtime:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html


_STATE_BYTES = 256 * 1_024
_TERMINAL = {"States.Runtime"}


def _limits() -> list[Any]:
    matches = ErrorEqualsDecl._eval_body

    def matches_or_ends(self: Any, env: Any) -> None:
        name = env.stack[-1].error_name
        if name in _TERMINAL and name not in {one.error_name for one in self.error_names}:
            env.stack.pop()
            env.stack.append(False)
        else:
            matches(self, env)

    return [
        mock.patch.object(ErrorEqualsDecl, "_eval_body", matches_or_ends),
        *(
            mock.patch.object(module, "is_within_size_quota", _fits)
            for module in (state, state_task_lambda, state_task_service)
        ),
    ]


def _fits(value: Any) -> bool:
    """Tell whether a value fits a state; moto counts é as the six bytes of its escape."""
    text = value if isinstance(value, str) else to_json_str(value)
    if not text.isascii() or "\\u" not in text:
        return len(text.encode()) <= _STATE_BYTES
    whole = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    return len(whole.encode("utf-8", "surrogatepass")) <= _STATE_BYTES

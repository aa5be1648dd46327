"""The shipped `retry.asl.json`, executed in process: its very arguments, conditions and catchers.

So a test can put anything between two states. What it calls is moto's AWS; `lambda:invoke` calls
the handler. Waits take no time, and so do the intervals between retries.
"""

import json
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.stack import ROOT
from tests.engines.moto_engine.as_aws import compiled
from tests.support.cloud import ENVIRONMENT
from tests.support.invocations import CONTEXT

_SUBSTITUTIONS = {
    "MessagesTable": ENVIRONMENT["MESSAGES_TABLE"],
    "GroupsTable": ENVIRONMENT["GROUPS_TABLE"],
    "DeadLetterQueueUrl": ENVIRONMENT["DEAD_LETTER_QUEUE_URL"],
    "OnDeadLetter": "hold",
    "ProcessMessageFunctionArn": "process",
    "MaxAttempts": ENVIRONMENT["MAX_ATTEMPTS"],
    "MaxMessageBytes": ENVIRONMENT["MAX_MESSAGE_BYTES"],
    "BackoffBaseSeconds": "1",
    "BackoffCapSeconds": "1",
}
_TASKS = {
    "arn:aws:states:::dynamodb:getItem": ("dynamodb", "get_item", "DynamoDB."),
    "arn:aws:states:::dynamodb:updateItem": ("dynamodb", "update_item", "DynamoDB."),
    "arn:aws:states:::dynamodb:deleteItem": ("dynamodb", "delete_item", "DynamoDB."),
    "arn:aws:states:::aws-sdk:dynamodb:updateItem": ("dynamodb", "update_item", "DynamoDb."),
    "arn:aws:states:::aws-sdk:dynamodb:query": ("dynamodb", "query", "DynamoDb."),
    "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems": (
        "dynamodb",
        "transact_write_items",
        "DynamoDb.",
    ),
    "arn:aws:states:::aws-sdk:sqs:sendMessage": ("sqs", "send_message", "Sqs."),
    "arn:aws:states:::states:startExecution": (
        "stepfunctions",
        "start_execution",
        "StepFunctions.",
    ),
}
_LAMBDA = "arn:aws:states:::lambda:invoke"


class StateFailed(Exception):
    """A task ended with an error, named as Step Functions names it."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class RetryInProcess:
    """One execution. `states` are those it entered; `state` is the next one, None at the end."""

    def __init__(self, execution_arn: str, given: dict[str, Any]) -> None:
        self.machine = definition()
        self.state: str | None = self.machine["StartAt"]
        self.states: list[str] = []
        self._input: Any = given
        self._variables: dict[str, Any] = {}
        self._context = {
            "Execution": {"Id": execution_arn, "Name": execution_arn.rpartition(":")[2]},
            "StateMachine": {"Id": ENVIRONMENT["RETRY_STATE_MACHINE_ARN"]},
        }

    def run(self, until: str | None = None) -> list[str]:
        """Execute to the end, or to just before a state; return all states entered."""
        while self.state is not None and self.state != until:
            self.step()
        return self.states

    def step(self) -> None:
        """Execute the next state."""
        assert self.state is not None
        self.states.append(self.state)
        state = self.machine["States"][self.state]
        match state["Type"]:
            case "Succeed" | "Fail":
                self.state = None
            case "Choice":
                self._choose(state)
            case "Task":
                try:
                    result = self._try(state)
                except StateFailed as failed:
                    self._catch(state, failed)
                else:
                    self._go_on(state, {"result": result})
            case _:
                self._go_on(state, {})

    def _choose(self, state: dict[str, Any]) -> None:
        taken = (c for c in state["Choices"] if self._value(c["Condition"], {}) is True)
        default = {"Next": state["Default"], "Assign": state.get("Assign", {})}
        way = next(taken, default)
        self._variables |= self._value(way.get("Assign", {}), {})
        self.state = way["Next"]

    def _try(self, state: dict[str, Any]) -> Any:
        arguments = self._value(state["Arguments"], {})
        tries: dict[int, int] = {}
        for _ in range(20):
            try:
                return _call(state["Resource"], arguments)
            except StateFailed as failed:
                index, retrier = _matching(state.get("Retry", []), failed.error)
                tries[index] = tries.get(index, 0) + 1
                if retrier is None or tries[index] > retrier["MaxAttempts"]:
                    raise
        raise AssertionError("a task is retried for ever")

    def _catch(self, state: dict[str, Any], failed: StateFailed) -> None:
        _, catcher = _matching(state.get("Catch", []), failed.error)
        if catcher is None:
            raise failed
        output = {"Error": failed.error, "Cause": ""}
        self._go_on({"Output": output} | catcher, {"errorOutput": output})

    def _go_on(self, state: dict[str, Any], found: dict[str, Any]) -> None:
        # Both from the old variables, as Step Functions has it.
        assigned = self._value(state.get("Assign", {}), found)
        self._input = self._value(state.get("Output", self._input), found)
        self._variables |= assigned
        self.state = state["Next"]

    def _value(self, template: Any, found: dict[str, Any]) -> Any:
        if isinstance(template, dict):
            return {name: self._value(value, found) for name, value in template.items()}
        if isinstance(template, list):
            return [self._value(value, found) for value in template]
        if not (isinstance(template, str) and template.startswith("{%")):
            return template
        states = {"input": self._input, "context": self._context} | found
        value = compiled(template).evaluate(None, self._variables | {"states": states})
        assert value is not None, f"States.QueryEvaluationError: {template}"
        return value


@cache
def definition() -> dict[str, Any]:
    """Return the machine with the values of the template's substitutions."""
    text = (ROOT / "statemachines" / "retry.asl.json").read_text(encoding="utf-8")
    for name, value in _SUBSTITUTIONS.items():
        text = text.replace("${" + name + "}", value)
    return dict(json.loads(text))


@cache
def client(service: str) -> Any:
    """Return the client that the machine calls a service with."""
    return boto3.client(service)  # type: ignore[call-overload]  # any service


def _call(resource: str, arguments: dict[str, Any]) -> Any:
    if resource == _LAMBDA:
        from lambdas import process_message

        try:
            return {"Payload": process_message.handler(arguments["Payload"], CONTEXT)}
        except Exception as error:
            raise StateFailed(type(error).__name__) from error
    service, method, prefix = _TASKS[resource]
    if method == "start_execution":
        arguments = {
            "stateMachineArn": arguments["StateMachineArn"],
            "name": arguments["Name"],
            "input": json.dumps(arguments["Input"]),
        }
    try:
        answer = getattr(client(service), method)(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise StateFailed(prefix + code.removesuffix("Exception") + "Exception") from error
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _matching(handlers: list[dict[str, Any]], error: str) -> tuple[int, dict[str, Any] | None]:
    for index, handler in enumerate(handlers):
        if {error, "States.ALL"} & set(handler["ErrorEquals"]):
            return index, handler
    return -1, None

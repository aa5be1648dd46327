"""What becomes of a task that fails, as on AWS; each is a gap of moto 5.2.5.

- moto calls whatever ends a DynamoDB task, and did not come from boto3, AmazonDynamoDBException:
  also a result that is too large for a state, and a mocked error.
- A Catch that leads to its own state goes, on moto, where the state leads when nothing fails.
- An execution that was stopped goes on waiting, on moto, for the one that it has started.
"""

from typing import Any
from unittest import mock

from moto.stepfunctions.parser.asl.component.common.catch.catch_outcome import CatchOutcome
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback,
    state_task_service_dynamodb,
)
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField

_DynamoDBTask = state_task_service_dynamodb.StateTaskServiceDynamoDB
_Callback = state_task_service_callback.StateTaskServiceCallback
_from_error = _DynamoDBTask._from_error
_await_others = _Callback._eval_integration_pattern
_set_next = CommonStateField._set_next


def patches() -> list[Any]:
    """Return the patches, each a context manager."""
    return [
        mock.patch.object(_DynamoDBTask, "_from_error", _failure),
        mock.patch.object(CommonStateField, "_set_next", _set_next_or_caught),
        mock.patch.object(_Callback, "_eval_integration_pattern", _await_unless_stopped),
    ]


def _failure(self: Any, env: Any, ex: Exception) -> Any:
    if isinstance(ex, FailureEventException):
        return ex.failure_event
    return _from_error(self, env, ex)


def _set_next_or_caught(self: Any, env: Any) -> None:
    if not (env.stack and env.stack[-1] == CatchOutcome.Caught):  # its Next is set already
        _set_next(self, env)


def _await_unless_stopped(self: Any, env: Any, *args: Any, **named: Any) -> None:
    if env.is_running():
        _await_others(self, env, *args, **named)

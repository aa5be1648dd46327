"""EventBridge → this function: no fence and no redrive lock outlives its execution."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Json, ValidationError

from workflows import recovery
from workflows.messages.ids import Identifier
from workflows.runtime import telemetry


class _Input(BaseModel):
    group_id: Identifier


class _Execution(BaseModel):
    input: Json[_Input]  # AWS leaves out one that is too large


class _StatusChange(BaseModel):
    detail: _Execution


def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Take an execution's status change, which may name one group, or a tick of the schedule.

    Whatever names no group, of any shape, is a reason to look at everything: that is always safe.
    """
    try:
        with telemetry.action("recover_executions", context.aws_request_id) as details:
            if group_id := _group_of(event):
                found = recovery.recover_group(group_id)
            else:
                found = recovery.recover(lambda: context.get_remaining_time_in_millis() / 1_000)
            details.update(found.model_dump())
            return found.model_dump()
    finally:
        telemetry.flush()


def _group_of(event: Any) -> str | None:
    try:
        return _StatusChange.model_validate(event).detail.input.group_id
    except ValidationError:
        return None

"""EventBridge → this function: log and count how a redrive run ended."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Json, ValidationError

from workflows.redrive import run_ends
from workflows.runtime import telemetry


class _Output(BaseModel):
    run_id: str


class _Execution(BaseModel):
    output: Json[_Output]


class _StatusChange(BaseModel):
    detail: _Execution


def handler(event: Any, context: LambdaContext) -> None:
    """Take the status change of an execution that succeeded.

    One that skipped its run has ended none. What names no run is for the sweep.
    """
    try:
        change = _StatusChange.model_validate(event)
    except ValidationError:
        return
    try:
        run_ends.note(change.detail.output.run_id)
    finally:
        telemetry.flush()

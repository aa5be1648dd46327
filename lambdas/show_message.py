"""`GET /messages/{message_id}`: what the ledger knows of a message."""

from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import answers, app, caller, problems, serve, trace_id
from workflows import ledger, telemetry


class Reason(BaseModel):
    """Why a message is in trouble: the error's class and what it said."""

    type: str
    message: str


class LedgerRecord(BaseModel):
    """A message's record. `attempts` counts since the last redrive; times are ISO 8601 in UTC."""

    message_id: str
    group_id: str
    type: str
    status: str
    attempts: int
    redrives: int
    reason: Reason | None = None
    fingerprint: str | None = None
    submitted_by: str | None = None
    trace_id: str | None = None
    first_sent_at: str
    updated_at: str | None = None
    processed_at: str | None = None
    execution_arns: list[str] = []


@app.get(
    "/messages/<message_id>",
    summary="Show a message's record",
    description="Needs the role `producer`. Never shows the message's body.",
    tags=["Messages"],
    responses=answers(200, LedgerRecord, "The record.") | problems(401, 403, 404, 422),
)
def show_message(message_id: Annotated[str, Path(max_length=256)]) -> LedgerRecord:
    """Show one record."""
    caller("producer")
    with telemetry.action("show_message", trace_id(), message_id=message_id):
        return LedgerRecord.model_validate(ledger.get(message_id))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

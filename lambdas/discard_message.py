"""`POST /messages/{message_id}/discard`: give a dead or quarantined message up for good."""

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import acting, answers, app, problems, serve, trace_id
from workflows import telemetry
from workflows.discard import DiscardRequest, discard


class Discarded(BaseModel):
    """The message's last state."""

    message_id: str
    group_id: str
    status: Literal["DISCARDED"]


@app.post(
    "/messages/<message_id>/discard",
    summary="Give a dead or quarantined message up for good",
    description="Needs the role `operator`. The record and the body stay until the ledger forgets"
    " them; a copy on the dead-letter queue is deleted by the next run; the group goes on.",
    tags=["Messages"],
    responses=answers(200, Discarded, "Discarded, now or before.")
    | problems(401, 403, 404, 409, 422),
)
def discard_message(
    message_id: Annotated[str, Path(max_length=256)], request: Annotated[DiscardRequest, Body()]
) -> Discarded:
    """Discard in the caller's name."""
    asked = request.model_dump()
    with (
        acting("discard_message", asked, message_id=message_id) as actor,
        telemetry.action("discard_message", trace_id(), message_id=message_id),
    ):
        return Discarded.model_validate(discard(message_id, request, actor))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

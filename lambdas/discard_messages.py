"""`POST /messages/{message_id}/discard` and `POST /messages/discard`: give messages up for good."""

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.acting import acting
from lambdas.api import PathId, app, caller, serve, trace_id
from lambdas.bulk_answer import Results, answer
from lambdas.responses import answers, problems
from workflows.ledger.status import Status
from workflows.operator import bulk
from workflows.operator.discard import DiscardRequest, DiscardSelection, discard
from workflows.runtime import telemetry


class Discarded(BaseModel):
    """The message's last state."""

    message_id: str
    group_id: str
    status: Literal[Status.DISCARDED]


@app.post(
    "/messages/<message_id>/discard",
    summary="Give a dead or quarantined message up for good",
    description="Needs the role `operator`. The record and the body stay until the ledger forgets"
    " them; a copy on the dead-letter queue is deleted by the next run; the group goes on. Also for"
    " a message that is still `PROCESSING` a quarter of an hour after its worker died: it may have"
    " had its effect.",
    tags=["Messages"],
    responses=answers(200, Discarded, "Discarded, now or before.")
    | problems(401, 403, 404, 409, 422),
)
def discard_message(message_id: PathId, request: Annotated[DiscardRequest, Body()]) -> Discarded:
    """Discard in the caller's name."""
    asked = request.model_dump()
    with (
        acting("discard_message", asked, message_id=message_id) as actor,
        telemetry.operation("discard_message", trace_id(), message_id=message_id),
    ):
        return Discarded.model_validate(discard(message_id, request, actor))


@app.post(
    "/messages/discard",
    summary="Give many dead or quarantined messages up for good",
    description="Needs the role `operator`. Every message that the filter selects, each as by"
    " itself: the answer tells what became of each.",
    tags=["Messages"],
    responses=answers(200, Results, "What became of each.") | problems(401, 403, 404, 422),
)
def discard_messages(request: Annotated[DiscardSelection, Body()]) -> Results:
    """Discard what is selected, in the caller's name."""
    caller("operator")
    each_one = DiscardRequest(reason=request.reason)

    def act(message_id: str) -> dict[str, Any]:
        with acting("discard_message", each_one.model_dump(), message_id=message_id) as actor:
            return discard(message_id, each_one, actor)

    with telemetry.operation("discard_messages", trace_id()) as details:
        return answer(*bulk.each(request, act), details)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

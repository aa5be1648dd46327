"""`PATCH /messages/{message_id}` and `PATCH /messages`: another payload for dead messages."""

from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from lambdas.acting import acting
from lambdas.api import PathId, app, caller, serve, trace_id
from lambdas.bulk_answer import Results, answer
from lambdas.responses import answers, problems
from workflows.ledger.status import Status
from workflows.operator import bulk
from workflows.operator.edit import EditRequest, EditSelection, asked, edit, merge
from workflows.runtime import telemetry


class Edited(BaseModel):
    """The message where it was; it may be redriven while `redrives` is below `redrive_limit`.

    `redrive_limit` is null if the payload was that one already and the message was never mended.
    """

    message_id: str = Field(examples=["payment-2"])
    group_id: str = Field(examples=["acct-7"])
    status: str = Field(
        examples=[Status.DEAD],
        description="`DEAD` or `QUARANTINED`; `REDRIVEN` if a run that was stopped may have sent"
        " it; another one if the message has gone on since.",
    )
    payload_hash: str = Field(
        description="SHA-256 of type, group and payload, as"
        " spelled; of a registered queue's message, of the body."
    )
    redrives: int = Field(examples=[1])
    redrive_limit: int | None = Field(default=None, examples=[4])


@app.patch(
    "/messages/<message_id>",
    summary="Give a dead or quarantined message another payload",
    description="Needs the role `operator`. The payload is validated as when sending. Id, type,"
    " group and first-sent time stay, and so does the message where it lies, with a new budget of"
    " redrives: retry it, or start a run. The first body is kept. A payload that means the same"
    ' (`10`, `"10.00"`) changes nothing. A message of a registered queue is its body: `payload`'
    " writes it as JSON, `body` is sent as it is; it must fit the queue's schema and keep its"
    " identity, and its attributes stay. Of the built-in queue's, one that was not sent as an"
    " envelope of this API (its id begins with `sqs:`) cannot be edited.",
    tags=["Messages"],
    responses=answers(200, Edited, "Edited, now or before.")
    | problems(401, 403, 404, 409, 413, 422),
)
def edit_message(message_id: PathId, request: Annotated[EditRequest, Body()]) -> Edited:
    """Edit in the caller's name."""
    with (
        acting("edit_message", asked(request.content), message_id=message_id) as actor,
        telemetry.operation("edit_message", trace_id(), message_id=message_id),
    ):
        return Edited.model_validate(edit(message_id, request.content, actor))


@app.patch(
    "/messages",
    summary="Change the payloads of many dead or quarantined messages",
    description="Needs the role `operator`. Applies a JSON merge patch (RFC 7396) to the payload of"
    " every message that the filter selects, each as by itself: the answer tells what became of"
    " each. Messages that the patch would not change are passed over. A message of a registered"
    " queue is its body, which must be a JSON object.",
    tags=["Messages"],
    responses=answers(200, Results, "What became of each.") | problems(401, 403, 404, 422),
)
def edit_messages(request: Annotated[EditSelection, Body()]) -> Results:
    """Edit what is selected, in the caller's name."""
    caller("operator")

    def act(message_id: str) -> dict[str, Any] | None:
        with acting("edit_message", asked(request.merge), message_id=message_id) as actor:
            return merge(message_id, request.merge, actor)

    with telemetry.operation("edit_messages", trace_id()) as details:
        return answer(*bulk.each(request, act), details)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

"""`POST /messages/{message_id}/retry` and `POST /messages/retry`: send dead messages again now."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from lambdas.acting import acting
from lambdas.api import PathId, app, caller, location, serve, trace_id
from lambdas.bulk_answer import Results, answer
from lambdas.responses import answers, problems
from workflows.ledger.status import Status
from workflows.operator import bulk
from workflows.operator.retry_by_hand import RetryRequest, RetrySelection, retry
from workflows.runtime import telemetry


class Retried(BaseModel):
    """The message as it was sent; `redrives` counts this one."""

    message_id: str = Field(examples=["payment-2"])
    group_id: str = Field(examples=["acct-7"])
    status: Literal[Status.REDRIVEN]
    redrives: int = Field(examples=[1])


@app.post(
    "/messages/<message_id>/retry",
    summary="Send a dead or quarantined message again now",
    description="Needs the role `operator`. From quarantine, or when it is out of redrives, only"
    " with `reset_redrives`, which gives it a new budget. If it holds its group it passes, and the"
    " group follows; else it waits behind the message that does. Safe to repeat: what was counted"
    " and perhaps not sent is sent again as the same copy. The copy on the dead-letter queue is"
    " deleted by the next run. A message that was not sent as an envelope of this API (its id"
    " begins with `sqs:`) cannot be retried.",
    tags=["Messages"],
    responses=answers(202, Retried, "On the work queue.") | problems(401, 403, 404, 409, 422),
)
def retry_message(
    message_id: PathId,
    request: Annotated[RetryRequest | None, Body()] = None,
) -> Response[Retried]:
    """Retry in the caller's name; without a body, with nothing reset."""
    wanted = request or RetryRequest()
    with (
        acting("retry_message", wanted.model_dump(), message_id=message_id) as actor,
        telemetry.operation("retry_by_hand", trace_id(), message_id=message_id),
    ):
        row = retry(message_id, wanted, actor)
    return Response(
        status_code=HTTPStatus.ACCEPTED,
        content_type="application/json",
        body=Retried.model_validate(row),
        headers=location(f"/messages/{message_id}"),
    )


@app.post(
    "/messages/retry",
    summary="Send many dead or quarantined messages again now",
    description="Needs the role `operator`. Every message that the filter selects, longest in"
    " trouble first, each as by itself: the answer tells what became of each.",
    tags=["Messages"],
    responses=answers(200, Results, "What became of each.") | problems(401, 403, 404, 422),
)
def retry_messages(request: Annotated[RetrySelection, Body()]) -> Results:
    """Retry what is selected, in the caller's name."""
    caller("operator")
    wanted = RetryRequest(reset_redrives=request.reset_redrives)

    def act(message_id: str) -> dict[str, Any]:
        with acting("retry_message", wanted.model_dump(), message_id=message_id) as actor:
            return retry(message_id, wanted, actor)

    with telemetry.operation("retry_messages", trace_id()) as details:
        return answer(*bulk.each(request, act), details)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

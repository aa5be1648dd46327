"""`POST /messages/dlq/reprocess`: start a redrive run."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import acting, answers, app, problems, serve, trace_id
from workflows import redrive, telemetry


class RunStarted(BaseModel):
    """The run's id, under which its progress is found, and its execution."""

    run_id: str
    execution_arn: str
    status: Literal["RUNNING"]


@app.post(
    "/messages/dlq/reprocess",
    summary="Start a redrive run",
    description="Needs the role `operator`. One run at a time: 409 while another is active.",
    tags=["Redrive"],
    responses=answers(202, RunStarted, "The run has started.") | problems(401, 403, 409, 422),
)
def reprocess_dead_letters(
    request: Annotated[redrive.RedriveRequest | None, Body()] = None,
) -> Response[RunStarted]:
    """Start a run in the caller's name."""
    request = request or redrive.RedriveRequest()
    with (
        acting("start_run", request.model_dump(exclude_none=True)) as actor,
        telemetry.action("reprocess_dlq", trace_id()) as details,
    ):
        run = redrive.start(request, actor)
        details |= {"run_id": run["run_id"]}
    return Response(
        status_code=HTTPStatus.ACCEPTED,
        content_type="application/json",
        body=RunStarted.model_validate(run),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

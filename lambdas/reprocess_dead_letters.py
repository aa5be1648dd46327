"""`POST /messages/dlq/reprocess`: start a redrive run."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.acting import acting
from lambdas.api import app, caller, location, serve, trace_id
from lambdas.responses import answers, problems
from workflows.queues import registry
from workflows.redrive import requests
from workflows.redrive.plan import Plan
from workflows.runtime import telemetry

_EXAMPLES: Any = {
    "plan": {"summary": "What would happen; nothing does", "value": {"dry_run": True}},
    "plan of some": {
        "summary": "What would happen to payments that died of a frozen account, oldest first",
        "value": {"dry_run": True, "filter": {"reason": "AccountFrozen", "older_than": "PT1H"}},
    },
    "canary": {
        "summary": "Five first, then ten, then twenty, at most 20 a second",
        "value": {"max_per_second": 20, "canary": {"messages": 5, "watch_seconds": 120}},
    },
    "everything": {"summary": "All there is, as fast as it goes", "value": {}},
}


class RunStarted(BaseModel):
    """The run's id, under which its progress is found, and its execution."""

    run_id: str
    execution_arn: str
    status: Literal["RUNNING"]


@app.post(
    "/messages/dlq/reprocess",
    summary="Start a redrive run, or plan one",
    description="Needs the role `operator`. One run at a time: 409 while another is active."
    " With `dry_run` nothing happens: the answer is the plan, and a run that presents its"
    " `plan_hash` starts only if it would still do the same (else 409 `plan_changed`).",
    tags=["Redrive"],
    responses=answers(202, RunStarted, "The run has started.")
    | answers(200, Plan, "The plan, for `dry_run`.")
    | problems(401, 403, 404, 409, 422),
)
def reprocess_dead_letters(
    request: Annotated[requests.RedriveRequest | None, Body(openapi_examples=_EXAMPLES)] = None,
) -> Response[RunStarted | Plan]:
    """Start or plan a run in the caller's name."""
    wanted = request or requests.RedriveRequest()
    caller("operator")
    queue = registry.get(wanted.queue).dead_letter_queue_name
    if wanted.dry_run:
        with telemetry.operation("plan_dlq", trace_id(), queue_name=queue):
            return Response(
                status_code=HTTPStatus.OK,
                content_type="application/json",
                body=requests.dry_run(wanted),
            )
    with (
        acting("start_run", wanted.options()) as actor,
        telemetry.operation("reprocess_dlq", trace_id(), queue_name=queue) as details,
    ):
        run = requests.start(wanted, actor)
        details |= {"run_id": run["run_id"]}
    return Response(
        status_code=HTTPStatus.ACCEPTED,
        content_type="application/json",
        body=RunStarted.model_validate(run),
        headers=location(f"/messages/dlq/reprocess/{run['run_id']}"),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

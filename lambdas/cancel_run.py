"""`DELETE /messages/dlq/reprocess/{run_id}`: stop a redrive run."""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.acting import acting
from lambdas.api import PathId, app, location, serve, trace_id
from lambdas.responses import answers, problems
from lambdas.run_record import RunRecord
from workflows.redrive import runs
from workflows.runtime import telemetry


@app.delete(
    "/messages/dlq/reprocess/<run_id>",
    summary="Cancel a redrive run",
    description="Needs the role `operator`. The run stops within one batch: what it had received is"
    " dealt with, what it left out is visible again, its counters stay true and the lock is free."
    " Its status is `CANCELLING` until then. Start another run to go on.",
    tags=["Redrive"],
    responses=answers(202, RunRecord, "The run will stop.") | problems(401, 403, 404, 409, 422),
)
def cancel_run(run_id: PathId) -> Response[RunRecord]:
    """Cancel in the caller's name."""
    with (
        acting("cancel_run", {}, run_id=run_id) as actor,
        telemetry.operation("cancel_run", trace_id(), run_id=run_id),
    ):
        return Response(
            status_code=HTTPStatus.ACCEPTED,
            content_type="application/json",
            body=RunRecord.model_validate(runs.cancel(run_id, actor)),
            headers=location(f"/messages/dlq/reprocess/{run_id}"),
        )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

"""`GET /messages/dlq/reprocess`: the redrive runs, newest first."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import app, caller, serve, trace_id
from lambdas.page_query import Cursor, Limit
from lambdas.queue_query import OfQueue
from lambdas.responses import answers, problems
from lambdas.run_record import RunRecord
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.redrive import runs
from workflows.runtime import telemetry


class RunPage(BaseModel):
    """Runs, newest first; ask again with `cursor` for the next page, if there is one."""

    runs: list[RunRecord]
    cursor: str | None = None


@app.get(
    "/messages/dlq/reprocess",
    summary="List redrive runs",
    description="Needs the role `operator`.",
    tags=["Redrive"],
    responses=answers(200, RunPage, "A page of runs.") | problems(401, 403, 404, 422),
)
def list_runs(
    limit: Limit = 20,
    cursor: Cursor = None,
    queue: OfQueue = DEFAULT_QUEUE,
) -> RunPage:
    """List a page of runs."""
    caller("operator")
    with telemetry.operation("list_runs", trace_id()):
        rows, following = runs.page_of(queue, limit, cursor)
        return RunPage(runs=[RunRecord.model_validate(row) for row in rows], cursor=following)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

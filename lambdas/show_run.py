"""`GET /messages/dlq/reprocess/{run_id}`: how a redrive run goes or went."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.api import PathId, app, caller, serve, trace_id
from lambdas.responses import answers, problems
from lambdas.run_record import RunRecord
from workflows.redrive import outcome, progress, runs
from workflows.redrive.outcome import Outcome
from workflows.redrive.progress import LaneRecord, Progress
from workflows.runtime import telemetry


class RunReport(RunRecord):
    """A run: what each lane did, what became of its messages and, while it works, how it goes."""

    lanes: list[LaneRecord]
    outcome: Outcome
    progress: Progress | None = None


@app.get(
    "/messages/dlq/reprocess/<run_id>",
    summary="Show a redrive run",
    description="Needs the role `operator`. The counters move with every batch; `outcome` tells"
    " what became of what it redrove, also long after; `progress` is there while it works.",
    tags=["Redrive"],
    responses=answers(200, RunReport, "The run.") | problems(401, 403, 404, 422),
)
def show_run(run_id: PathId) -> RunReport:
    """Show one run."""
    caller("operator")
    with telemetry.operation("show_run", trace_id(), run_id=run_id):
        run = runs.get(run_id)
        return RunReport.model_validate(
            run
            | {
                "lanes": progress.lanes(run),
                "outcome": outcome.count(
                    run_id,
                    int(run["redriven"]),
                    is_default=runs.queue_of(run).is_default,
                ),
                "progress": progress.of(run),
            }
        )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

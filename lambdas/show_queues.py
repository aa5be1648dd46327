"""`GET /queues` and `GET /queues/{queue}`: which queues runs may redrive, and how they are."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import PathId, app, serve, trace_id
from lambdas.readers import reader_of_all
from lambdas.responses import answers, problems
from workflows.operator import queue_report
from workflows.operator.queue_report import QueueReport, QueueSettings
from workflows.runtime import telemetry


class QueueList(BaseModel):
    """All queues, the built-in pair first, the others by name."""

    queues: list[QueueSettings]


@app.get(
    "/queues",
    summary="List the queues",
    description="Needs the role `producer`. The built-in pair is `default`.",
    tags=["Queues"],
    responses=answers(200, QueueList, "All queues.") | problems(401, 403),
)
def list_queues() -> QueueList:
    """List all."""
    reader_of_all()
    with telemetry.operation("list_queues", trace_id()):
        return QueueList(queues=queue_report.every())


@app.get(
    "/queues/<queue>",
    summary="Show a queue and how it is",
    description="Needs the role `producer`. SQS's numbers are approximate; the messages in trouble"
    " are counted in the ledger.",
    tags=["Queues"],
    responses=answers(200, QueueReport, "The queue.") | problems(401, 403, 404),
)
def show_queue(queue: PathId) -> QueueReport:
    """Show one."""
    reader_of_all()
    with telemetry.operation("show_queue", trace_id(), queue=queue):
        return queue_report.show(queue)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

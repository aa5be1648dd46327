"""`GET /messages/status`: the queues and the messages in trouble."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.api import app, serve, trace_id
from lambdas.queue_query import OfQueue
from lambdas.readers import reader_of_all
from lambdas.responses import answers, problems
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.operator.overview import Status, status
from workflows.queues import registry
from workflows.runtime import telemetry


@app.get(
    "/messages/status",
    summary="Show both queues and the messages in trouble",
    description="Needs the role `producer`. SQS's numbers are approximate; the messages in trouble"
    " are counted in the ledger.",
    tags=["Messages"],
    responses=answers(200, Status, "The overview.") | problems(401, 403, 404, 422),
)
def show_status(queue: OfQueue = DEFAULT_QUEUE) -> Status:
    """Show the overview."""
    reader_of_all()
    found = registry.get(queue)
    names = {
        "queue_name": found.source_queue_name,
        "dead_letter_queue_name": found.dead_letter_queue_name,
    }
    with telemetry.operation("get_status", trace_id(), **names):
        return status(found)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

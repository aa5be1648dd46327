"""`PUT /queues/{queue}` and `DELETE /queues/{queue}`: which queues runs may redrive."""

from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.acting import acting
from lambdas.api import PathId, app, serve, trace_id
from lambdas.responses import answers, problems
from workflows.operator import register
from workflows.operator.queue_report import QueueRegistered, QueueSettings
from workflows.operator.register import QueueRequest
from workflows.runtime import telemetry

_EXAMPLES: Any = {
    "least": {
        "summary": "Two queues of this account, by name",
        "value": {"source_queue": "orders", "dead_letter_queue": "orders-dead-letters"},
    },
    "orders": {
        "summary": "What identifies an order, of what type it is and what it must look like",
        "value": {
            "source_queue": "orders",
            "dead_letter_queue": "orders-dead-letters",
            "identity": "body.order.id",
            "type": "attributes.event || 'order'",
            "error": "attributes.ErrorType",
            "schema": {"type": "object", "required": ["order"]},
            "max_redrives": 2,
            "redrive_request": {"max_per_second": 20},
        },
    },
}
ForceIdentity = Annotated[
    bool, Query(alias="force", description="Though messages in trouble are known by another one.")
]
Force = Annotated[
    bool, Query(description="Remove it though a run is active or messages are in trouble.")
]


@app.put(
    "/queues/<queue>",
    summary="Register a queue, or change what is said of it",
    description="Needs the role `operator`. Queues of SQS by name, URL or ARN, both standard or"
    " both FIFO, also of another account; the template's parameter `RedriveQueueArns` must name"
    " them. The request is the whole: what it leaves out is unset. Refused with 422 if a run could"
    " not work with the queues: `unfit_queue`, `queue_missing`, `permission_missing`,"
    " `dead_letter_queue_taken`. 409 `queue_in_use` if `identity`, or the `unwrap` of what it"
    " reads, is another one while messages are in trouble, each of which would be met as an unknown"
    " one, unless `force=true`. What may be meant and is strange is told in `warnings`. The"
    " settings of `default`, the built-in pair, are the template's.",
    tags=["Queues"],
    responses=answers(201, QueueRegistered, "Registered.")
    | answers(200, QueueRegistered, "Changed.")
    | problems(401, 403, 409, 422),
)
def register_queue(
    queue: PathId,
    request: Annotated[QueueRequest, Body(openapi_examples=_EXAMPLES)],
    force: ForceIdentity = False,
) -> Response[QueueRegistered]:
    """Register in the caller's name."""
    with (
        acting("register_queue", register.asked(queue, request, force)) as actor,
        telemetry.operation("register_queue", trace_id(), queue=queue),
    ):
        found, is_new, warnings = register.register(queue, request, actor, force=force)
    return Response(
        status_code=HTTPStatus.CREATED if is_new else HTTPStatus.OK,
        content_type="application/json",
        body=QueueRegistered.with_warnings(found, warnings),
    )


@app.delete(
    "/queues/<queue>",
    summary="Remove a queue from the registry",
    description="Needs the role `operator`. The queues of SQS, and the messages on them, stay as"
    " they are. 409 `queue_in_use` while a run is active on the queue or messages of it are in"
    " trouble, unless `force=true`.",
    tags=["Queues"],
    responses=answers(200, QueueSettings, "Removed; what it was.")
    | problems(401, 403, 404, 409, 422),
)
def remove_queue(queue: PathId, force: Force = False) -> QueueSettings:
    """Remove in the caller's name."""
    with (
        acting("remove_queue", {"queue": queue, "force": force}) as actor,
        telemetry.operation("remove_queue", trace_id(), queue=queue),
    ):
        return QueueSettings.of(register.remove(queue, force, actor))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

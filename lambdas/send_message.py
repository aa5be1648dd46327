"""`POST /messages/send`: record a message and put it on the work queue."""

from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.api import app, caller, location, serve, trace_id
from lambdas.responses import answers, problems
from workflows.messages import isolation
from workflows.messages.ids import Identifier
from workflows.runtime import telemetry
from workflows.runtime.settings import settings
from workflows.send import InvalidRequest, SendRequest, Sent, send

_PAYMENT = {"account_id": "acct-7", "kind": "credit", "amount": "12.34", "currency": "EUR"}
_EXAMPLES: Any = {
    "transaction": {"value": {"type": "transaction", "payload": _PAYMENT}},
    "with an id": {
        "summary": "Safe to repeat under its id",
        "value": {"type": "transaction", "message_id": "payment-2", "payload": _PAYMENT},
    },
}


@app.post(
    "/messages/send",
    summary="Send a message",
    description="Needs the role `producer`. Safe to repeat under the same `message_id`: the same"
    " message is sent once, another one under that id is refused. It is the same if its payload"
    ' means the same, however it is spelled: `10`, `10.0` and `"10.00"` are one amount.',
    tags=["Messages"],
    responses=answers(202, Sent, "Queued.")
    | answers(200, Sent, "A duplicate of a message sent before; `status` is where that one is.")
    | problems(401, 403, 409, 413, 422),
)
def send_message(
    request: Annotated[SendRequest, Body(openapi_examples=_EXAMPLES)],
    idempotency_key: Annotated[
        Identifier | None,
        Header(alias="Idempotency-Key", description="Taken as `message_id`."),
    ] = None,
) -> Response[Sent]:
    """Send for whoever may; 202 only when SQS has the message."""
    sender = caller("producer")
    if idempotency_key and request.message_id not in (None, idempotency_key):
        raise InvalidRequest("Idempotency-Key: is not the message_id of the body")
    if idempotency_key:
        request = request.model_copy(update={"message_id": idempotency_key})
    queue = settings().work_queue_name
    with telemetry.operation("send_message", trace_id(), queue_name=queue) as details:
        scope = isolation.scope(sender.email, sender.roles)
        sent = send(request, sender.email, trace_id(), scope)
        details |= {"message_id": scope + sent.message_id, "duplicate": sent.duplicate}
    if not sent.duplicate:
        telemetry.count("MessagesSent")
    return Response(
        status_code=HTTPStatus.OK if sent.duplicate else HTTPStatus.ACCEPTED,
        content_type="application/json",
        body=sent,
        headers={} if sent.duplicate else location(f"/messages/{sent.message_id}"),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

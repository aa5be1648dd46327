"""`PUT /types/{type}` and `DELETE /types/{type}`: message types whose effects are functions."""

from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.acting import acting
from lambdas.api import PathId, app, serve, trace_id
from lambdas.responses import answers, problems
from workflows.operator import register_type
from workflows.operator.register_type import TypeRequest, TypeSettings
from workflows.runtime import telemetry

_EXAMPLES: Any = {
    "least": {
        "summary": "A function of this account, by name",
        "value": {"function": "ship-order"},
    },
    "order": {
        "summary": "What an order must look like, and whose orders keep their order",
        "value": {
            "function": "ship-order",
            "schema": {"type": "object", "required": ["order_id", "customer"]},
            "group": "customer",
            "max_age_seconds": 86_400,
            "invalid_errors": ["OrderCancelled"],
        },
    },
}

Force = Annotated[bool, Query(description="Remove it though messages of it are in trouble.")]


@app.put(
    "/types/<type>",
    summary="Register a message type, or change what is said of it",
    description="Needs the role `operator`. A Lambda function by name or ARN, which the template's"
    " parameter `EffectFunctionArns` must name, is invoked with each message of the type: a return"
    " is success, an error called `InvalidMessage`, or as one of `invalid_errors`, is final, any"
    " other one is retried. The request is the whole: what it leaves out is unset. It holds for all"
    " within ten seconds. 422 `permission_missing` or `function_missing`, 409 `built_in_type`.",
    tags=["Types"],
    responses=answers(201, TypeSettings, "Registered.")
    | answers(200, TypeSettings, "Changed.")
    | problems(401, 403, 409, 422),
)
def register(
    type: PathId,  # noqa: A002 - the path's word
    request: Annotated[TypeRequest, Body(openapi_examples=_EXAMPLES)],
) -> Response[TypeSettings]:
    """Register in the caller's name."""
    with (
        acting("register_type", register_type.asked(type, request)) as actor,
        telemetry.operation("register_type", trace_id(), type=type),
    ):
        found, is_new = register_type.register(type, request, actor)
    return Response(
        status_code=HTTPStatus.CREATED if is_new else HTTPStatus.OK,
        content_type="application/json",
        body=TypeSettings.of(found),
    )


@app.delete(
    "/types/<type>",
    summary="Remove a registered message type",
    description="Needs the role `operator`. Messages of it that are under way will be dead letters,"
    " `UnknownType`. 409 `type_in_use` while messages of it are in trouble, unless `force=true`.",
    tags=["Types"],
    responses=answers(200, TypeSettings, "Removed; what it was.")
    | problems(401, 403, 404, 409, 422),
)
def remove(type: PathId, force: Force = False) -> TypeSettings:  # noqa: A002
    """Remove in the caller's name."""
    with (
        acting("remove_type", {"type": type, "force": force}) as actor,
        telemetry.operation("remove_type", trace_id(), type=type),
    ):
        return TypeSettings.of(register_type.remove(type, force, actor))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

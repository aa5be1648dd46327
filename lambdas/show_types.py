"""`GET /types` and `GET /types/{type}`: which messages can be sent."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import PathId, app, caller, serve, trace_id
from lambdas.responses import answers, problems
from workflows.operator import register_type
from workflows.operator.register_type import TypeSettings
from workflows.runtime import telemetry


class TypeList(BaseModel):
    """All message types, the built-in ones first, then by name."""

    types: list[TypeSettings]


@app.get(
    "/types",
    summary="List the message types",
    description="Needs the role `producer`.",
    tags=["Types"],
    responses=answers(200, TypeList, "All types.") | problems(401, 403),
)
def list_types() -> TypeList:
    """List all."""
    caller("producer")
    with telemetry.operation("list_types", trace_id()):
        return TypeList(types=register_type.every())


@app.get(
    "/types/<type>",
    summary="Show a message type",
    description="Needs the role `producer`.",
    tags=["Types"],
    responses=answers(200, TypeSettings, "The type.") | problems(401, 403, 404),
)
def show_type(type: PathId) -> TypeSettings:  # noqa: A002 - the path's word
    """Show one."""
    caller("producer")
    with telemetry.operation("show_type", trace_id(), type=type):
        return register_type.show(type)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

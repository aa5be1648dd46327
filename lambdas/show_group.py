"""`GET /groups/{group_id}`: a fenced group and the messages parked behind its fence."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.api import PathId, app, caller, serve, trace_id
from lambdas.responses import answers, problems
from workflows.groups import view
from workflows.messages import isolation
from workflows.runtime import telemetry


@app.get(
    "/groups/<group_id>",
    summary="Show a fenced group and its parked messages in order",
    description="Needs the role `producer`. 404 for a group that is not fenced.",
    tags=["Groups"],
    responses=answers(200, view.FencedGroup, "The group.") | problems(401, 403, 404, 422),
)
def show_group(group_id: PathId) -> view.FencedGroup:
    """Show one group."""
    reader = caller("producer")
    scope = isolation.scope(reader.email, reader.roles)
    with telemetry.operation("show_group", trace_id(), group_id=scope + group_id):
        return view.show(group_id, scope)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

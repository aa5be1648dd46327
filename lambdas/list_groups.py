"""`GET /groups?fenced=true`: the message groups that wait behind a failed message."""

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import app, serve, trace_id
from lambdas.page_query import Cursor, Limit
from lambdas.readers import reader_of_all
from lambdas.responses import answers, problems
from workflows.groups import view
from workflows.runtime import telemetry


class GroupPage(BaseModel):
    """Fenced groups, longest fenced first; ask again with `cursor` for the next page."""

    groups: list[view.Group]
    cursor: str | None = None


@app.get(
    "/groups",
    summary="List the fenced groups",
    description="Needs the role `producer`. Only fenced groups are known, so `fenced` can only be"
    " `true`.",
    tags=["Groups"],
    responses=answers(200, GroupPage, "A page of groups.") | problems(401, 403, 422),
)
def list_groups(
    fenced: Annotated[Literal["true"], Query(description="Only fenced groups.")] = "true",
    limit: Limit = 20,
    cursor: Cursor = None,
) -> GroupPage:
    """List a page of groups."""
    reader_of_all()
    with telemetry.operation("list_groups", trace_id()):
        found, following = view.page(limit, cursor)
        return GroupPage(groups=found, cursor=following)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

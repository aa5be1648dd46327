"""`GET /audit`: who did what, newest first."""

from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from lambdas.api import app, caller, serve, trace_id
from lambdas.page_query import Cursor, Limit
from lambdas.responses import answers, problems
from workflows.ledger import audit
from workflows.messages.ids import QueueName
from workflows.runtime import telemetry

_TIME = "A date, or an ISO 8601 time with its zone."


class AuditRecord(BaseModel):
    """One action: who, in which role, when, from where, what, and how it ended."""

    entry: str = Field(description="The record's own id; it sorts by time.")
    at: str = Field(description="ISO 8601 in UTC.")
    actor: str = Field(description="An e-mail, `schedule`, `console` or an AWS identity's ARN.")
    role: str | None = None
    source_ip: str | None = None
    action: str = Field(description="`start_run`, `discard_message` and so on.")
    message_id: str | None = None
    queue: str | None = None
    run_id: str | None = None
    input: dict[str, Any] = Field(
        {}, description="What came with the request, a filter with its values; never a payload."
    )
    result: str = Field(
        description="What it led to, `UNCHANGED` if it was so before, or the error's class name."
    )
    counters: dict[str, int] | None = Field(None, description="Of a run that ended.")
    execution_arn: str | None = None
    trace_id: str | None = None


class AuditPage(BaseModel):
    """Records, newest first; ask again with `cursor` for the next page, if there is one."""

    records: list[AuditRecord]
    cursor: str | None = None


@app.get(
    "/audit",
    summary="List who did what",
    description="Needs the role `operator`. Records cannot be changed or deleted. Without `from`"
    " it shows the 30 days before `to`; the two may lie 366 days apart. `actor`, `message_id`"
    " and `queue` may be given together. With `queue` a page may have fewer records than its limit,"
    " and a cursor all the same.",
    tags=["Audit"],
    responses=answers(200, AuditPage, "A page of records.") | problems(401, 403, 422),
)
def list_audit(
    since: Annotated[str | None, Query(alias="from", description=_TIME)] = None,
    until: Annotated[
        str | None, Query(alias="to", description=f"{_TIME} A date counts to its end. Usually now.")
    ] = None,
    actor: Annotated[
        str | None, Query(min_length=1, max_length=320, description="E-mail, in lower case.")
    ] = None,
    message_id: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    queue: Annotated[
        QueueName | None,
        Query(description="Done to this queue, its messages or its runs; `default` is built in."),
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> AuditPage:
    """List a page of records."""
    caller("operator")
    with telemetry.operation("list_audit", trace_id()):
        records, following = audit.page(
            since,
            until,
            actor=actor,
            message_id=message_id,
            queue=queue,
            limit=limit,
            cursor=cursor,
        )
        return AuditPage(
            records=[AuditRecord.model_validate(record) for record in records], cursor=following
        )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

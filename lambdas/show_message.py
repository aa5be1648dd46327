"""`GET /messages/{message_id}`: what the ledger knows of a message."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import PathId, app, caller, serve, trace_id
from lambdas.responses import answers, problems
from workflows.ledger import journey, lookup
from workflows.ledger.journey import Event
from workflows.messages import isolation
from workflows.operator import failures
from workflows.operator.failures import Reason
from workflows.runtime import telemetry


class LedgerRecord(BaseModel):
    """A message's record; times are ISO 8601 in UTC.

    `attempts` counts since the last redrive, `attempts_total` over all of them. `edited` tells
    whether its payload is another than was sent. `journey` is what became of it, step by step.
    """

    message_id: str
    group_id: str
    type: str
    status: str
    attempts: int
    attempts_total: int | None = None
    redrives: int
    redrives_left: int | None = None
    edited: bool = False
    reason: Reason | None = None
    fingerprint: str | None = None
    submitted_by: str | None = None
    trace_id: str | None = None
    first_sent_at: str
    updated_at: str | None = None
    processed_at: str | None = None
    execution_arns: list[str] = []
    journey: list[Event] = []


@app.get(
    "/messages/<message_id>",
    summary="Show a message's record",
    description="Needs the role `producer`. Never shows the message's body. What the message's"
    " queue masks is shown to operators only, and as `***` to others.",
    tags=["Messages"],
    responses=answers(200, LedgerRecord, "The record.") | problems(401, 403, 404, 422),
)
def show_message(message_id: PathId) -> LedgerRecord:
    """Show one record."""
    reader = caller("producer")
    scope = isolation.scope(reader.email, reader.roles)
    with telemetry.operation("show_message", trace_id(), message_id=scope + message_id):
        row = lookup.get(scope + message_id, shown_as=message_id)
        seen = row if "operator" in reader.roles else failures.masked(row)
        return LedgerRecord.model_validate(
            seen
            | {
                "message_id": message_id,
                "group_id": seen["group_id"].removeprefix(scope),
                # Their names begin as the ledger's ids do.
                "execution_arns": [] if scope else seen.get("execution_arns", []),
                "fingerprint": lookup.fingerprint_of(seen),
                "redrives_left": lookup.redrives_left(row),
                "edited": bool(row.get("superseded_hashes")),
                "journey": journey.told(seen),
            }
        )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

"""`GET /messages/quarantine`: the messages that no run touches any more."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import app, serve, trace_id
from lambdas.page_query import Cursor, Limit
from lambdas.queue_query import OfQueue
from lambdas.readers import reader_of_all
from lambdas.responses import answers, problems
from lambdas.trouble_query import (
    ByFingerprint,
    ByGroup,
    ByReason,
    ByType,
    NewerThan,
    OlderThan,
)
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.operator import failures
from workflows.operator.failures import QuarantinedMessage
from workflows.queues import registry
from workflows.runtime import telemetry


class QuarantinePage(BaseModel):
    """Quarantined messages, longest there first; ask again with `cursor` for the next page."""

    messages: list[QuarantinedMessage]
    cursor: str | None = None


@app.get(
    "/messages/quarantine",
    summary="List quarantined messages",
    description="Needs the role `producer`; only who has the role `operator` sees the bodies. A"
    " page with large bodies may be shorter than `limit`.",
    tags=["Trouble"],
    responses=answers(200, QuarantinePage, "A page of messages.") | problems(401, 403, 404, 422),
)
def list_quarantine(
    group_id: ByGroup = None,
    message_type: ByType = None,
    reason: ByReason = None,
    fingerprint: ByFingerprint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    queue: OfQueue = DEFAULT_QUEUE,
) -> QuarantinePage:
    """List a page of quarantined messages."""
    reader = reader_of_all()
    with telemetry.operation("list_quarantine", trace_id()):
        wanted = Filter(
            group_id=group_id,
            type=message_type,
            reason=reason,
            fingerprint=fingerprint,
            older_than=older_than,
            newer_than=newer_than,
        )
        found, following = failures.quarantined(
            wanted, limit, cursor, registry.get(queue), masked="operator" not in reader.roles
        )
        return QuarantinePage(messages=found, cursor=following)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

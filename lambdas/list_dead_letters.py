"""`GET /messages/dlq` and `GET /messages/dlq/groups`: the dead letters, one by one and alike."""

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
from workflows.operator.failures import DeadLetter, FailureGroups
from workflows.queues import registry
from workflows.runtime import telemetry


class DeadLetterPage(BaseModel):
    """Dead letters, longest dead first; ask again with `cursor` for the next page."""

    messages: list[DeadLetter]
    cursor: str | None = None


@app.get(
    "/messages/dlq",
    summary="List dead letters",
    description="Needs the role `producer`. Read from the ledger: no message is received, no group"
    " locked. A message that SQS itself moved to the queue is in the list once a run has met it.",
    tags=["Trouble"],
    responses=answers(200, DeadLetterPage, "A page of dead letters.")
    | problems(401, 403, 404, 422),
)
def list_dead_letters(
    group_id: ByGroup = None,
    message_type: ByType = None,
    reason: ByReason = None,
    fingerprint: ByFingerprint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    queue: OfQueue = DEFAULT_QUEUE,
) -> DeadLetterPage:
    """List a page of dead letters."""
    reader = reader_of_all()
    with telemetry.operation("list_dead_letters", trace_id()):
        wanted = Filter(
            group_id=group_id,
            type=message_type,
            reason=reason,
            fingerprint=fingerprint,
            older_than=older_than,
            newer_than=newer_than,
        )
        found, following = failures.dead_letters(
            wanted, limit, cursor, registry.get(queue), masked="operator" not in reader.roles
        )
        return DeadLetterPage(messages=found, cursor=following)


@app.get(
    "/messages/dlq/groups",
    summary="Group the dead letters by what failed",
    description="Needs the role `producer`. By fingerprint: the error's class, its message without"
    " numbers and ids, and the message's type.",
    tags=["Trouble"],
    responses=answers(200, FailureGroups, "The groups, largest first.")
    | problems(401, 403, 404, 422),
)
def group_dead_letters(queue: OfQueue = DEFAULT_QUEUE) -> FailureGroups:
    """Group all dead letters of a queue."""
    reader = reader_of_all()
    with telemetry.operation("group_dead_letters", trace_id()):
        return failures.causes(registry.get(queue), masked="operator" not in reader.roles)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return serve(event, context)

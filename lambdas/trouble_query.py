"""The query parameters of the lists of messages in trouble: the columns of a filter."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from workflows.messages.filters import NEWER_THAN, OLDER_THAN, Fingerprint, Id, Moment

ByGroup = Annotated[Id | None, Query(description="Of this message group only.")]
ByType = Annotated[Id | None, Query(alias="type", description="Of this message type only.")]
ByReason = Annotated[
    Id | None, Query(description="Of this error class only.", examples=["AccountFrozen"])
]
ByFingerprint = Annotated[
    Fingerprint | None, Query(description="As `GET /messages/dlq/groups` shows it.")
]
OlderThan = Annotated[Moment | None, Query(description=OLDER_THAN, examples=["PT2H"])]
NewerThan = Annotated[Moment | None, Query(description=NEWER_THAN, examples=["P1D"])]

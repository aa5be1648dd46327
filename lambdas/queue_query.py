"""The query parameter of what is asked about one queue."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from workflows.messages.ids import QueueName

OfQueue = Annotated[
    QueueName, Query(alias="queue", description="Of this queue; `default` is the built-in pair.")
]

"""The stream of `Audit` → this function: each record is kept in the bucket of `AuditBucketName`."""

from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.ledger import audit_copy
from workflows.runtime import telemetry

_processor = BatchProcessor(event_type=EventType.DynamoDBStreams)


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Keep the records of a batch; those that could not be kept come again."""
    try:
        return process_partial_response(
            event=event, record_handler=_keep, processor=_processor, context=context
        )
    finally:
        telemetry.flush()


def _keep(record: DynamoDBRecord) -> None:
    stream: Any = record.dynamodb
    event: Any = record.event_name
    was, now = (stream.old_image or {}), (stream.new_image or {})
    if event.name != "INSERT":
        # First, because somebody may have made of it what cannot be kept.
        trace_id = str(was.get("trace_id") or now.get("trace_id") or record.event_id)
        telemetry.ended("copy_audit", trace_id, "AuditChanged", change=event.name)
        telemetry.count("AuditChanged")
    audit_copy.keep(event.name, str(record.event_id), was, now)

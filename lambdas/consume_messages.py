"""Work queue → this function: process messages, in order inside each message group."""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.consume import Batch, Delivery, MessageBusy
from workflows.messages.carried import Carried
from workflows.runtime import telemetry
from workflows.runtime.settings import settings

# A failure sends back the rest of its own group only; the other groups go on.
_processor = SqsFifoPartialProcessor(skip_group_on_error=True)
_processor.raise_on_entire_batch_failure = False


def _delivery(record: dict[str, Any]) -> Delivery:
    attributes = record["attributes"]
    return Delivery(
        body=record["body"],
        group_id=attributes.get("MessageGroupId", ""),
        sqs_message_id=record["messageId"],
        sequence_number=attributes.get("SequenceNumber", ""),
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        carried=_carried(record),
    )


def _carried(record: dict[str, Any]) -> Carried:
    # Lambda's event writes SQS's names with a small first letter, and binary values in base64.
    attributes = record.get("messageAttributes") or {}
    return Carried.of(
        {
            name: {part[:1].upper() + part[1:]: value for part, value in one.items()}
            for name, one in attributes.items()
        },
        record["attributes"].get("AWSTraceHeader", ""),
    )


def _consume(batch: Batch, record: SQSRecord) -> None:
    delivery = _delivery(record.raw_event)
    try:
        queue = settings().work_queue_name
        with telemetry.operation("consume_message", delivery.trace_id, queue_name=queue) as details:
            details |= {"sqs_message_id": record.message_id}
            details |= {"outcome": batch.consume(delivery)}
    except MessageBusy:
        raise
    except Exception:
        telemetry.count("Errors")
        raise


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Consume a batch; answer which records SQS must deliver again."""
    try:
        batch = Batch([_delivery(record) for record in event["Records"]])
        return process_partial_response(
            event=event,
            record_handler=partial(_consume, batch),
            processor=_processor,
            context=context,
        )
    finally:
        telemetry.flush()

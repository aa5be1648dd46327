"""Work queue → this function: process messages, in order inside each message group."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows import telemetry
from workflows.consume import Delivery, MessageBusy, consume

# A failure sends back the rest of its own group only; the other groups go on.
_processor = SqsFifoPartialProcessor(skip_group_on_error=True)
_processor.raise_on_entire_batch_failure = False


def _consume(record: SQSRecord) -> None:
    delivery = Delivery(
        body=record.body,
        group_id=record.attributes.message_group_id or "",
        sqs_message_id=record.message_id,
    )
    try:
        with telemetry.action("consume_message", delivery.trace_id) as details:
            details |= {"sqs_message_id": record.message_id}
            details |= {"outcome": consume(delivery)}
    except MessageBusy:
        raise
    except Exception:
        telemetry.count("Errors")
        raise
    telemetry.count("ProcessingTime", details["duration"] * 1_000, MetricUnit.Milliseconds)


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Consume a batch; answer which records SQS must deliver again."""
    try:
        return process_partial_response(
            event=event, record_handler=_consume, processor=_processor, context=context
        )
    finally:
        telemetry.flush()

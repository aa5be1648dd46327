"""Work queue → this function: process messages, in order inside each message group."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.consume import Batch, Delivery, MessageBusy
from workflows.messages.carried import Carried
from workflows.runtime import telemetry
from workflows.runtime.settings import settings


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


def _consume(batch: Batch, delivery: Delivery) -> None:
    try:
        queue = settings().work_queue_name
        with telemetry.operation("consume_message", delivery.trace_id, queue_name=queue) as details:
            details |= {"sqs_message_id": delivery.sqs_message_id}
            details |= {"outcome": batch.consume(delivery)}
    except MessageBusy:
        raise
    except Exception:
        telemetry.count("Errors")
        raise


def _consume_all(deliveries: list[Delivery]) -> list[str]:
    """Return the SQS ids of those that are to come again: a failure, and what is after it.

    A failure sends back the rest of its own group only; the other groups go on. Powertools' batch
    processor does the same, and to load it takes a tenth of this function's start-up.
    """
    batch, held, again = Batch(deliveries), set(), []
    for delivery in deliveries:
        try:
            if delivery.group_id not in held:
                _consume(batch, delivery)
                continue
        except Exception:  # noqa: BLE001 - logged and counted where it was raised
            held.add(delivery.group_id)
        again.append(delivery.sqs_message_id)
    return again


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Consume a batch; answer which records SQS must deliver again."""
    try:
        again = _consume_all([_delivery(record) for record in event["Records"]])
        return {"batchItemFailures": [{"itemIdentifier": one} for one in again]}
    finally:
        telemetry.flush()

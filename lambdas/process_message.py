"""`ProcessMessage` of the retry state machine: try a stored message once more."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows import retry
from workflows.messages.reasons import reason_of
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take {message_id, group_id, trace_id, attempt}; the machine catches errors by class."""
    try:
        with telemetry.operation(
            "retry_message", event["trace_id"], message_id=event["message_id"]
        ):
            return retry.process(event["message_id"], event["group_id"], event["attempt"])
    except Exception as error:  # noqa: BLE001 - whatever a type raises
        if not isinstance(error, retry.Superseded):
            telemetry.count("Errors")
        # Lambda logs what is raised, text and all, and that may quote a payload. The machine goes
        # by the class's name, and the ledger has the reason.
        found = type(reason_of(error)["type"], (Exception,), {})
        raise found(f"The record of {event['message_id']} says why.") from None
    finally:
        telemetry.flush()

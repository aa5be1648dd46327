"""Retries: what `statemachines/retry.asl.json` is started with, and the one step it cannot do."""

import json
from typing import Any

from workflows import ledger, message_types
from workflows.aws import stepfunctions
from workflows.message import InvalidMessage, Message, parse, reason, stem
from workflows.settings import settings


def hand_over(message: Message, redrives: int, error: Exception) -> None:
    """Give a message whose processing failed to the machine: first the ledger, then the start.

    Raises:
        Exception: it could not be started; SQS delivers again and `start` is called again.
    """
    ledger.retrying(message, reason(error), execution_arn(message.message_id, redrives))
    start(message, redrives)


def start(message: Message, redrives: int) -> None:
    """Start the machine for a message that the ledger has as RETRYING.

    The name is derived, so a second start of the same life of a message finds the first:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    try:
        stepfunctions().start_execution(
            stateMachineArn=settings().retry_state_machine_arn,
            name=execution_name(message.message_id, redrives),
            input=json.dumps(
                {
                    "message_id": message.message_id,
                    "group_id": message.group_id,
                    "trace_id": message.trace_id,
                }
            ),
        )
    except stepfunctions().exceptions.ExecutionAlreadyExists:
        return


def execution_name(message_id: str, redrives: int) -> str:
    """Return the name of the execution that retries a message in its life after `redrives`."""
    return f"{stem(message_id)}-r{redrives}"


def execution_arn(message_id: str, redrives: int) -> str:
    """Return the ARN that the execution has or will have."""
    machine = settings().retry_state_machine_arn
    name = execution_name(message_id, redrives)
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def process(body: str, group_id: str) -> dict[str, Any]:
    """Process a stored message once more; the machine's only Lambda step.

    Raises:
        workflows.message.InvalidMessage: no further try can help. Always this very class, because
            the machine catches it by name; the ledger keeps the precise one.
        Exception: the machine waits and tries again.
    """
    message = parse(body, group_id)
    try:
        message_types.process(message)
    except Exception as error:
        final = isinstance(error, InvalidMessage)
        ledger.failed_again(message, reason(error), final=final)
        if final:
            raise InvalidMessage(str(error)) from error
        raise
    ledger.processed(message.message_id)
    return {"message_id": message.message_id, "status": "PROCESSED"}

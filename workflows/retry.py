"""Retries: what `statemachines/retry.asl.json` is started with, and the one step it cannot do."""

import json
from typing import Any

from workflows import ledger, message_types, telemetry
from workflows.aws import stepfunctions
from workflows.message import InvalidMessage, parse, reason, stem
from workflows.settings import settings


def start(group_id: str, message_id: str, redrives: int, generation: int) -> None:
    """Start the machine for a group and the message that holds its fence.

    The name is derived, so a second start of the same generation finds the first:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    try:
        stepfunctions().start_execution(
            stateMachineArn=settings().retry_state_machine_arn,
            name=_name(message_id, redrives, generation),
            input=json.dumps(
                {"group_id": group_id, "message_id": message_id, "generation": generation}
            ),
        )
    except stepfunctions().exceptions.ExecutionAlreadyExists:
        return


def execution_arn(message_id: str, redrives: int, generation: int) -> str:
    """Return the ARN that the execution of a fence's generation has or will have."""
    machine = settings().retry_state_machine_arn
    name = _name(message_id, redrives, generation)
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def _name(message_id: str, redrives: int, generation: int) -> str:
    return f"{stem(message_id)}-r{redrives}-g{generation}"


class Superseded(Exception):
    """The row is past this attempt: another execution, a run or a person has the message."""


def process(message_id: str, body: str, group_id: str, attempt: int) -> dict[str, Any]:
    """Process a stored message once more; the machine's only Lambda step.

    Minutes or hours lie between the machine's reading of the row and this: so the row is taken
    first, for this attempt and under a lease, and an execution that came late has no effect.

    Args:
        message_id: whose row to take.
        body: the ledger's.
        group_id: the message group.
        attempt: which try of the message this is, over all redrives, as the machine counted it.

    Raises:
        Superseded: nothing was tried, and this attempt never can be.
        workflows.message.InvalidMessage: no further try can help. Always this very class, because
            the machine catches it by name; the ledger keeps the precise one.
        Exception: the machine waits and tries again.
    """
    lease = ledger.take(message_id, attempt)
    if lease is None:
        raise Superseded(message_id)
    try:
        message_types.process(parse(body, group_id))
    except Exception as error:
        final = isinstance(error, InvalidMessage)
        dies = ledger.failed_again(
            message_id, reason(error), final=final, attempt=attempt, lease=lease
        )
        if dies:
            telemetry.count("Errors")  # its death; the handler counts the try
        if final:
            raise InvalidMessage(str(error)) from error
        raise
    ledger.processed(message_id)
    return {"message_id": message_id, "status": "PROCESSED"}


def execution_status(arn: str) -> str | None:
    """Return an execution's status, or None if there is no such execution."""
    if not arn:
        return None
    try:
        return stepfunctions().describe_execution(executionArn=arn)["status"]
    except stepfunctions().exceptions.ExecutionDoesNotExist:
        return None

"""The one step of `statemachines/retry.asl.json` that is code: one more try of a message."""

from typing import Any

from workflows.ledger import attempts, transitions
from workflows.ledger.status import Status
from workflows.messages import message_types
from workflows.messages.effect_functions import Try
from workflows.messages.envelope import InvalidMessage, parse
from workflows.messages.reasons import reason_of
from workflows.runtime import telemetry


class OutOfAttempts(Exception):
    """The try failed, and it was the last one: what it failed of is in the ledger."""


class Superseded(Exception):
    """The row is past this attempt: another execution, a run or a person has the message."""


def process(message_id: str, group_id: str, attempt: int) -> dict[str, Any]:
    """Process a stored message once more; the machine's only Lambda step.

    Minutes or hours lie between the machine's reading of the row and this: so the row is taken
    first, for this attempt and under a lease, and an execution that came late has no effect.

    Args:
        message_id: whose row to take.
        group_id: the message group.
        attempt: which try of the message this is, over all redrives, as the machine counted it.

    Raises:
        Superseded: nothing was tried, and this attempt never can be.
        workflows.messages.envelope.InvalidMessage: no further try can help. Always this very
            class, because the machine catches it by name; the ledger keeps the precise one.
        OutOfAttempts: likewise, because none is left.
        Exception: the machine waits and tries again.
    """
    lease = attempts.take(message_id, attempt)
    if lease is None:
        raise Superseded(message_id)
    try:
        message_types.process(parse(lease.body, group_id), Try(attempt, lease.redrives))
    except Exception as error:
        final = isinstance(error, InvalidMessage)
        dies = attempts.failed_again(
            message_id, reason_of(error), final=final, attempt=attempt, lease=lease
        )
        if dies:
            telemetry.count("Errors")  # its death; the handler counts the try
        if final:
            raise InvalidMessage(str(error)) from error
        if dies:
            raise OutOfAttempts(message_id) from error
        raise
    transitions.processed(message_id)
    return {"message_id": message_id, "status": Status.PROCESSED}

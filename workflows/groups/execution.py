"""The execution of the retry machine that works for a fence: its name, and how it is started."""

import json
from typing import Any

from workflows.messages.ids import stem
from workflows.runtime.aws import stepfunctions
from workflows.runtime.settings import settings


def start(
    group_id: str,
    message_id: str,
    redrives: int,
    generation: int,
    last: dict[str, Any] | None = None,
) -> None:
    """Start the machine for a group and the message that holds its fence.

    `last` is {attempt, trace_id}, which try failed last, of whoever knows it: then the machine need
    not look at the row before it counts the next one. The name is derived, so a second start of the
    same generation finds the first:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    try:
        stepfunctions().start_execution(
            stateMachineArn=settings().retry_state_machine_arn,
            name=_name(message_id, redrives, generation),
            input=json.dumps(
                {"group_id": group_id, "message_id": message_id, "generation": generation}
                | (last or {})
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

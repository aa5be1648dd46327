"""EventBridge → this function: no fence and no redrive lock outlives its execution."""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows import recovery, telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an execution's status change, which names one group, or a tick of the schedule."""
    with telemetry.action("recover_executions", context.aws_request_id) as details:
        execution = json.loads(event.get("detail", {}).get("input") or "{}")
        group_id = execution.get("group_id") if isinstance(execution, dict) else None
        if group_id:
            found = recovery.recover_group(group_id)
        else:
            found = recovery.recover(lambda: context.get_remaining_time_in_millis() / 1_000)
        details.update(found.model_dump())
        return found.model_dump()

"""`CountOutcomes` of the redrive state machine: how the canary's messages have ended so far."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.redrive import outcome
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take {run_id, redriven, trace_id}; return the numbers and whether the run may go on."""
    with telemetry.action("count_outcomes", event["trace_id"], run_id=event["run_id"]) as details:
        found = outcome.watch(event["run_id"], event["redriven"]).model_dump()
        details.update(found)
        return found

"""`ReturnDeadLetters` of the redrive state machine: make visible what the run left out."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.redrive import in_flight
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take {run_id, held, trace_id}, `held` being the number of records; return {returned}."""
    with telemetry.action("return_dlq", event["trace_id"], run_id=event["run_id"]) as details:
        returned = in_flight.give_back(event["run_id"], event["held"])
        details |= {"returned": returned}
        return {"returned": returned}

"""`ValidateMessages` of the redrive state machine: a verdict for each dead letter of a batch."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows import telemetry
from workflows.redrive import RedriveRequest
from workflows.verdicts import Judge


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take {messages, request, run_id, trace_id}; return {verdicts} in the messages' order.

    Raises:
        pydantic.ValidationError: the run was started with a request that the API would refuse.
        ValueError: or with one for which the API would start none, or not without looking.
    """
    with telemetry.action("validate_dlq", event["trace_id"]) as details:
        request = RedriveRequest.model_validate(event["request"])
        if request.dry_run or request.plan_hash:
            raise ValueError("A run cannot be dry or held to a plan; the API can.")
        verdicts = Judge(event["run_id"], request.filter).judge(event["messages"])
        details |= {"verdicts": [verdict["verdict"] for verdict in verdicts]}
        details |= {"trace_ids": [verdict["trace_id"] for verdict in verdicts]}
        return {"verdicts": verdicts}

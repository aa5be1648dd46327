"""`ValidateInput` and `ValidateMessages` of the redrive state machine.

The first reads what the machine was started with, before it receives anything; the second gives a
verdict for each dead letter of a batch, and the statements by which `GuardLoop` acts on it.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.redrive import batch, requests
from workflows.redrive.judge import Judge
from workflows.redrive.requests import RedriveRequest
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a batch of dead letters, as `batch.Batch` has it, with the run's `request` and trace_id.

    Return what `batch.guarded` does. Or take {input, run_id, trace_id}, the machine's whole input;
    return {request}, as set.

    Raises:
        workflows.redrive.requests.InvalidInput: the machine catches it by name; its text names
            the fields.
        pydantic.ValidationError: the run was started with a request that the API would refuse.
        ValueError: or with one for which the API would start none, or not without looking.
    """
    if "input" in event:
        with telemetry.action("validate_input", event["trace_id"], run_id=event["run_id"]):
            return {"request": requests.read(event["input"]).options()}
    with telemetry.action("validate_dlq", event["trace_id"]) as details:
        request = RedriveRequest.model_validate(event["request"])
        if request.dry_run or request.plan_hash:
            raise ValueError("A run cannot be dry or held to a plan; the API can.")
        judged = Judge(event["run_id"], request.filter).judge(event["messages"])
        details |= {"verdicts": [verdict["verdict"] for verdict in judged]}
        details |= {"trace_ids": [verdict["trace_id"] for verdict in judged]}
        return batch.guarded(event, judged)  # type: ignore[arg-type]  # the machine's, as it says

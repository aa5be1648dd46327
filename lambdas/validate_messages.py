"""`ValidateMessages` of the redrive state machine: a verdict for each dead letter of a batch."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows import redrive, telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take {messages, run_id, trace_id}; return {verdicts} in the same order."""
    with telemetry.action("validate_dlq", event["trace_id"]) as details:
        verdicts = redrive.judge(event["messages"], event["run_id"])
        details |= {"verdicts": [verdict["verdict"] for verdict in verdicts]}
        details |= {"trace_ids": [verdict["trace_id"] for verdict in verdicts]}
        return {"verdicts": verdicts}

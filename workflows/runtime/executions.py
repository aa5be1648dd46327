"""What Step Functions says of an execution."""

from workflows.runtime.aws import stepfunctions


def execution_status(arn: str) -> str | None:
    """Return an execution's status, or None if there is no such execution."""
    if not arn:
        return None
    try:
        return stepfunctions().describe_execution(executionArn=arn)["status"]
    except stepfunctions().exceptions.ExecutionDoesNotExist:
        return None

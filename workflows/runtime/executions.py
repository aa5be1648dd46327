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


def arn_of(machine_arn: str, name: str) -> str:
    """Return the ARN that a machine's execution of that name has or will have."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"


def result(arn: str) -> tuple[str | None, str]:
    """Return an execution's status, None if there is no such execution, and its output or ""."""
    try:
        found = stepfunctions().describe_execution(executionArn=arn)
    except stepfunctions().exceptions.ExecutionDoesNotExist:
        return None, ""
    return found["status"], found.get("output", "")

"""Creating the CloudFormation stack of the project in the emulator."""

import json
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local import ministack_quirks
from local.deadline import wait_until
from local.package import package

if TYPE_CHECKING:
    from local.stack import Stack

_BUCKET = "deployment-artifacts"
_CREATE_SECONDS = 60.0  # 1 to 2 s are usual
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class DeploymentFailed(Exception):
    """CloudFormation did not create the stack; the text names the resource and the reason."""


def parameter_overrides(samconfig: Path) -> dict[str, str]:
    """Return `parameter_overrides` of `[local.deploy.parameters]`, or nothing if there are none.

    Raises:
        ValueError: if one is not `Name=value`.
    """
    if not samconfig.exists():
        return {}
    config = tomllib.loads(samconfig.read_text(encoding="utf-8"))
    value = config.get("local", {}).get("deploy", {}).get("parameters", {})
    overrides = value.get("parameter_overrides", [])
    pairs = shlex.split(overrides) if isinstance(overrides, str) else overrides
    result = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"{samconfig.name}: {pair!r} in parameter_overrides is no Name=value.")
        result[name] = text
    return result


def deploy(stack: "Stack", root: Path, name: str, overrides: dict[str, str]) -> dict[str, str]:
    """Deploy a project's `template.yaml` and return the outputs of the stack.

    Args:
        stack: the running emulator.
        root: the folder of `template.yaml` and `samconfig.toml`.
        name: of the CloudFormation stack.
        overrides: template parameters that win over `samconfig.toml`.

    Raises:
        DeploymentFailed: with the reason of the first resource that failed.
    """
    s3, cloudformation = stack.client("s3"), stack.client("cloudformation")
    s3.create_bucket(Bucket=_BUCKET)
    template = package(root, s3, _BUCKET)
    s3.put_object(Bucket=_BUCKET, Key="template.json", Body=template.encode())
    parameters = parameter_overrides(root / "samconfig.toml") | overrides
    try:
        cloudformation.create_stack(
            StackName=name,
            # By URL: a template in the request may have 51,200 bytes at most.
            TemplateURL=f"{stack.endpoint_url}/{_BUCKET}/template.json",
            Capabilities=_CAPABILITIES,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            OnFailure="DO_NOTHING",  # a rollback would only hide the reason
        )
    except ClientError as error:
        raise DeploymentFailed(error.response["Error"]["Message"]) from error
    created = wait_until(
        lambda: _settled(cloudformation, name), _CREATE_SECONDS, f"stack {name} is created"
    )
    if created["StackStatus"] != "CREATE_COMPLETE":
        raise DeploymentFailed(_reason(cloudformation, name, created))
    outputs = {output["OutputKey"]: output["OutputValue"] for output in created.get("Outputs", [])}
    _import_gateway_responses(stack, name, outputs)
    return outputs


def _settled(cloudformation: Any, name: str) -> dict[str, Any] | None:
    stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack


def _reason(cloudformation: Any, name: str, stack: dict[str, Any]) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    for event in reversed(events):  # the newest come first, and the first failure is the cause
        if event["ResourceStatus"].endswith("FAILED") and event["LogicalResourceId"] != name:
            resource = f"{event['LogicalResourceId']} ({event['ResourceType']})"
            return f"{resource}: {event.get('ResourceStatusReason', 'no reason given')}"
    return f"{stack['StackStatus']}: {stack.get('StackStatusReason', 'no reason given')}"


def _import_gateway_responses(stack: "Stack", name: str, outputs: dict[str, str]) -> None:
    processed = stack.client("cloudformation").get_template(
        StackName=name, TemplateStage="Processed"
    )["TemplateBody"]
    template = processed if isinstance(processed, dict) else json.loads(processed)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::ApiGateway::RestApi":
            ministack_quirks.import_gateway_responses(
                stack.client("apigateway"),
                outputs["ApiId"],
                outputs["ApiStage"],
                resource["Properties"].get("Body") or {},
            )

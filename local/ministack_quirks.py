"""Every place where MiniStack differs from AWS and this stack makes up for it, with the reason.

Written against the version below and checked by `tests/engines/test_ministack_quirks.py`, which
fails when the version changes or when a quirk is gone: then delete what is no longer needed.
"""

import json
import os
import re
from collections.abc import Callable
from typing import Any

from local import (
    ministack_dynamodb,
    ministack_executions,
    ministack_history,
    ministack_lambda,
    ministack_latency,
    ministack_nested,
    ministack_sqs,
)

MINISTACK_VERSION = "1.5.33"

# Begins a line of the log that says who asked for which permission.
AUTHORIZED = "AUTHORIZED"

_STATEMENT = re.compile(
    r"""\s*(?P<verb>INSERT|UPDATE|DELETE|SELECT)\b(?:.*?\b(?:INTO|FROM))?\s+"?(?P<table>[\w.-]+)""",
    re.IGNORECASE | re.DOTALL,
)


def environment(port: int, directory: str) -> dict[str, str]:
    """Return MiniStack's own settings for one private emulator on loopback.

    Args:
        port: where it listens.
        directory: takes everything it writes.
    """
    return {
        "GATEWAY_PORT": str(port),
        # It listens on all interfaces otherwise, and opens MQTT on 0.0.0.0:8883.
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It removes containers that it takes for its own on a machine with Docker.
        "DOCKER_HOST": f"unix://{directory}/no-docker",
        "LAMBDA_EXECUTOR": "local",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "STATE_DIR": f"{directory}/state",
        "S3_DATA_DIR": f"{directory}/s3",
    }


def patch() -> None:
    """Change MiniStack inside its own process, before it starts."""
    from ministack.core import iam_actions, iam_evaluator, lambda_runtime
    from ministack.services import (
        apigateway_v1,
        dynamodb,
        eventbridge,
        lambda_svc,
        sqs,
        stepfunctions,
    )
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    # `aws-sdk:sqs:*` tasks use the retired Query protocol and lose their shape: a bare list of
    # messages, no `Attributes`. AWS answers in the shape of SQS's JSON protocol.
    stepfunctions._AWS_SDK_SERVICE_MAP["sqs"] = {
        "target_prefix": "AmazonSQS",
        "protocol": "json",
    }
    ministack_lambda.patch(lambda_svc, lambda_runtime, apigateway_v1)
    ministack_dynamodb.patch(dynamodb, stepfunctions)
    ministack_executions.patch(stepfunctions)
    ministack_history.patch(stepfunctions)
    ministack_nested.patch(stepfunctions)
    ministack_sqs.patch(sqs)
    ministack_latency.patch(stepfunctions, os.environ.get(ministack_latency.VARIABLE, ""))
    _create_resources_as_aws_does(_RESOURCE_HANDLERS)
    _notify_of_schedules_as_aws_does(eventbridge)
    iam_actions.extract_iam_action = authorize_batches_as_aws_does(iam_actions.extract_iam_action)
    iam_actions.dynamodb_transaction_checks = authorize_statements_as_aws_does(
        iam_actions.dynamodb_transaction_checks
    )
    _tell_what_is_authorized(iam_evaluator)


def _tell_what_is_authorized(iam_evaluator: Any) -> None:
    """Write to the log what each role was allowed to do, or not, as CloudTrail keeps it on AWS.

    A call over loopback counts as one over TLS, which MiniStack does not speak: the policies of the
    queues refuse any other.
    """
    evaluate = iam_evaluator.evaluate

    def evaluate_and_tell(context: Any, *policies: Any) -> Any:
        context.secure_transport = True
        result = evaluate(context, *policies)
        entry = [context.principal_arn, context.action, context.resource_arn, result.decision]
        print(AUTHORIZED, json.dumps(entry), flush=True)
        return result

    iam_evaluator.evaluate = evaluate_and_tell


def authorize_batches_as_aws_does(extract: Callable[..., str | None]) -> Callable[..., str | None]:
    """Let who may do one thing to a queue's messages do it to a batch of them.

    MiniStack asks for a permission of the batch's own name, which IAM does not know:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_AddPermission.html
    """

    def extract_as_aws_does(*args: Any, **kwargs: Any) -> str | None:
        action = extract(*args, **kwargs)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    return extract_as_aws_does


def authorize_statements_as_aws_does(
    checks: Callable[..., list[tuple[str, str]]],
) -> Callable[..., list[tuple[str, str]]]:
    """Ask for the permission of each PartiQL statement of a batch, on its own table.

    MiniStack asks for BatchExecuteStatement on everything, which IAM does not know:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
    """

    def checks_as_aws_does(
        action: str, body: bytes, region: str, account: str
    ) -> list[tuple[str, str]]:
        if action != "dynamodb:BatchExecuteStatement":
            return checks(action, body, region, account)
        found = [_STATEMENT.match(one["Statement"]) for one in json.loads(body)["Statements"]]
        return [
            (
                f"dynamodb:PartiQL{one['verb'].capitalize()}",
                f"arn:aws:dynamodb:{region}:{account}:table/{one['table']}",
            )
            for one in found
            if one
        ]

    return checks_as_aws_does


def _notify_of_schedules_as_aws_does(eventbridge: Any) -> None:
    """Let a schedule without an Input send its `detail` as a text.

    MiniStack sends an object, as EventBridge's rules do. AWS's Scheduler sends `"detail": "{}"`:
    https://github.com/aws-powertools/powertools-lambda-python/pull/6134
    """
    invoke = eventbridge._invoke_target

    def invoke_as_aws_does(target: Any, event: Any, rule: Any, view: Any = None) -> Any:
        if event.get("Source") == "aws.scheduler":
            view = view or eventbridge._pattern_event_view(event)
            view._with_detail = view.envelope() | {"detail": event["Detail"]}
        return invoke(target, event, rule, view)

    eventbridge._invoke_target = invoke_as_aws_does


def _create_resources_as_aws_does(handlers: dict[str, dict[str, Any]]) -> None:
    create_function = handlers["AWS::Lambda::Function"]["create"]
    create_secret = handlers["AWS::SecretsManager::Secret"]["create"]

    # A number in a template stays one in the environment of a Lambda, whose worker then cannot
    # start. CloudFormation turns it into a string.
    def create_function_with_strings(name: str, properties: dict[str, Any], stack: str) -> Any:
        environment = properties.get("Environment") or {}
        variables = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in environment.get("Variables", {}).items()
        }
        properties = {**properties, "Environment": {**environment, "Variables": variables}}
        return create_function(name, properties, stack)

    # `Ref` of a secret is its name. On AWS it is the ARN, which a policy on the secret needs.
    def create_secret_known_by_arn(name: str, properties: dict[str, Any], stack: str) -> Any:
        _, attributes = create_secret(name, properties, stack)
        return attributes["Arn"], attributes

    handlers["AWS::Lambda::Function"]["create"] = create_function_with_strings
    handlers["AWS::SecretsManager::Secret"]["create"] = create_secret_known_by_arn


def serve_api(apigateway: Any, host: str, api_id: str, stage: str) -> None:
    """Make a deployed REST API answer at `http://<host>:<port>/<stage>`, the path that AWS has.

    MiniStack's own addresses are `http://<api-id>.execute-api.localhost:<port>/<stage>`, which curl
    and browsers resolve but Python and macOS do not, and paths that begin otherwise than on AWS,
    so that a client that relies on `/<stage>`, as Swagger UI may, goes astray. A custom domain
    named as the host itself needs no name resolution. Handlers get the `path`,
    `requestContext.path` and `requestContext.stage` that AWS gives.

    Args:
        apigateway: a boto3 client of the emulator.
        host: with a dot in it, such as 127.0.0.1.
        api_id: the REST API.
        stage: its stage; no service of the emulator may have paths that begin like it.
    """
    apigateway.create_domain_name(domainName=host)
    apigateway.create_base_path_mapping(
        domainName=host, basePath=stage, restApiId=api_id, stage=stage
    )


def import_gateway_responses(apigateway: Any, api_id: str, stage: str, body: dict[str, Any]) -> int:
    """Give a REST API the gateway responses of its OpenAPI body, and return how many there are.

    MiniStack imports the paths and the authorizers of `AWS::ApiGateway::RestApi` bodies and drops
    `x-amazon-apigateway-gateway-responses`. A deployment keeps the responses that it was made
    with, hence the new one.

    Args:
        apigateway: a boto3 client of the emulator.
        api_id: the REST API.
        stage: the stage that is to answer with them.
        body: the OpenAPI document that SAM made of `AWS::Serverless::Api`.
    """
    responses = body.get("x-amazon-apigateway-gateway-responses") or {}
    for kind, response in responses.items():
        arguments: dict[str, Any] = {
            "responseParameters": response.get("responseParameters") or {},
            "responseTemplates": response.get("responseTemplates") or {},
        }
        if response.get("statusCode"):
            arguments["statusCode"] = str(response["statusCode"])
        apigateway.put_gateway_response(restApiId=api_id, responseType=kind, **arguments)
    if responses:
        apigateway.create_deployment(restApiId=api_id, stageName=stage)
    return len(responses)

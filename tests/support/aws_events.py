"""Every event that AWS sends to this service, in the shape that AWS documents or that was recorded.

The schedules' inputs are those of the template, so that nothing here can differ from what ships.
"""

import base64
import json
from typing import Any

from tests.support.cloud import ACCOUNT, REGION
from tests.support.invocations import api_event
from tests.support.template import template

_STATES = f"arn:aws:states:{REGION}:{ACCOUNT}"


def schedule_notification() -> dict[str, Any]:
    """Return what Scheduler sends to a target without an Input; `detail` is a text.

    Recorded on AWS: https://github.com/aws-powertools/powertools-lambda-python/pull/6134
    """
    return {
        "version": "0",
        "id": "10f5de96-7caf-4dd9-b5e2-6e5d5a0e5d6b",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "111122223333",
        "time": "2026-11-24T10:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:scheduler:us-east-1:111122223333:schedule/default/name"],
        "detail": "{}",
    }


def sweep_input() -> Any:
    """Return what the schedule of the sweep sends."""
    return json.loads(_scheduled("RecoverExecutionsFunction", "Sweep")["Input"])


def redrive_input(request: str = "{}") -> Any:
    """Return what the schedule of the redrive starts the machine with, given the parameter."""
    text = _scheduled("RedriveStateMachine", "Schedule")["Input"]
    return json.loads(text.replace("${RedriveScheduleRequest}", request))


def _scheduled(resource: str, event: str) -> dict[str, Any]:
    events = template()["Resources"][resource]["Properties"]["Events"]
    properties: dict[str, Any] = events[event]["Properties"]
    return properties


def status_change(
    given: str | None, status: str = "ABORTED", machine: str = "retry"
) -> dict[str, Any]:
    """Return what EventBridge sends when an execution's status changes.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html

    Args:
        given: the execution's input, or None for one that is too large and so left out.
        status: as Step Functions has it.
        machine: the name of the state machine.
    """
    name = "an-execution"
    execution = f"{_STATES}:execution:{machine}:{name}"
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT,
        "time": "2026-11-24T10:00:00Z",
        "region": REGION,
        "resources": [execution],
        "detail": {
            "executionArn": execution,
            "stateMachineArn": f"{_STATES}:stateMachine:{machine}",
            "name": name,
            "status": status,
            "startDate": 1_795_600_800_000,
            "stopDate": 1_795_600_860_000,
            "input": given,
            "output": None,
            "inputDetails": {"included": given is not None},
            "outputDetails": None,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "redriveCount": 0,
            "redriveDate": None,
            "redriveStatus": "REDRIVABLE",
            "redriveStatusReason": None,
            "error": None,
            "cause": None,
        },
    }


def sqs_event(*records: dict[str, Any]) -> dict[str, Any]:
    """Return what the event source mapping of a queue sends."""
    return {"Records": list(records)}


def sqs_record(
    body: str, group_id: str, number: int = 0, attributes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return one message of a FIFO queue as the event source mapping sends it.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html

    Args:
        body: of the message.
        group_id: its message group.
        number: tells it from others.
        attributes: its message attributes, as Lambda writes them; see `text` and `binary`.
    """
    return {
        "messageId": f"11d6ee51-4cc7-4302-9e22-{number:012}",
        "receiptHandle": "AQEBBX8nesZEXmkhsmZeyIE8iQAMig7qw...",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1573251510774",
            "SequenceNumber": f"{18_849_496_460_467_696_128 + number}",
            "MessageGroupId": group_id,
            "SenderId": "AIDAIO23YVJENQZJOL4VO",
            "MessageDeduplicationId": f"deduplication-{number}",
            "ApproximateFirstReceiveTimestamp": "1573251510774",
            "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        },
        "messageAttributes": attributes or {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:work.fifo",
        "awsRegion": REGION,
    }


def text(value: str) -> dict[str, Any]:
    """Return a message attribute of a text."""
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    return {"stringValue": value, "dataType": "String"} | lists


def binary(value: bytes) -> dict[str, Any]:
    """Return a message attribute of bytes."""
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    return {"binaryValue": base64.b64encode(value).decode(), "dataType": "Binary"} | lists


def api_request(method: str, resource: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """Return a REST API's request by a caller who has every role.

    Args:
        method: of HTTP.
        resource: a path of the template, its variables in braces.
        body: text as it is, or anything else as JSON.
        more: as `api_event` takes them.
    """
    path = resource.replace("{", "").replace("}", "")
    names = [part[1:-1] for part in resource.split("/") if part.startswith("{")]
    return api_event(
        method,
        path,
        body,
        resource=resource,
        path_parameters={name: name for name in names} or None,
        **{"roles": ("producer", "operator")} | more,
    )


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request without headers, query and body, as the API's own test in the console.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    lacking = ("headers", "multiValueHeaders", "queryStringParameters", "body")
    return request | dict.fromkeys((*lacking, "multiValueQueryStringParameters", "stageVariables"))


def in_base64(request: dict[str, Any], body: bytes | None = None) -> dict[str, Any]:
    """Return a request whose body API Gateway takes for binary; other bytes in its place if given.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html
    """
    sent = request["body"].encode() if body is None else body
    return request | {"body": base64.b64encode(sent).decode(), "isBase64Encoded": True}


def token_request(authorization: str | None) -> dict[str, Any]:
    """Return what API Gateway asks an authorizer of the type TOKEN.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
    """
    method = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:api1234567/v1/GET/messages/status"
    return {"type": "TOKEN", "authorizationToken": authorization, "methodArn": method}

"""How Lambda calls a handler: its context, and the event of a REST API."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support.cloud import ACCOUNT, REGION

STAGE = "v1"


@dataclass
class FakeContext:
    """What Lambda tells a handler about its invocation."""

    aws_request_id: str = "invocation-1"
    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:function"
    seconds_left: int = 300

    def get_remaining_time_in_millis(self) -> int:
        return self.seconds_left * 1_000


CONTEXT: Any = FakeContext()


def api_event(
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    roles: tuple[str, ...] = ("producer",),
    email: str = "p@example.com",
    path_parameters: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    resource: str | None = None,
) -> dict[str, Any]:
    """Return the event with which a REST API calls a Lambda.

    Args:
        method: of HTTP.
        path: without the stage.
        body: text as it is, or anything else as JSON.
        headers: more of them, or other ones.
        roles: of the caller, as the authorizer read them; none for a route that is open to all.
        email: of the caller.
        path_parameters: values of the path's variables.
        query: the query string's parameters.
        resource: the path with its variables, if it has some.
    """
    sent = {"Content-Type": "application/json", "Host": "api.example.com"} | (headers or {})
    authorizer = {
        "principalId": email,
        "email": email,
        "roles": " ".join(roles),
        "expires_at": "4102444800",  # the year 2100
    }
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": query and {name: [query[name]] for name in query},
        "pathParameters": path_parameters,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "api1234567",
            "authorizer": authorizer if roles else None,
            "domainName": "api.example.com",
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "test"},
            "path": f"/{STAGE}{path}",
            "protocol": "HTTP/1.1",
            "requestId": "request-1",
            "requestTimeEpoch": 1_764_000_000_000,
            "resourcePath": resource or path,
            "stage": STAGE,
        },
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }

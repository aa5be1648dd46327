"""The API's authorizer: who sends the access token that came with a request, and still may."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.access import bearers, roles, tokens
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the policy and the context of a valid token.

    Raises:
        Exception: with the text `Unauthorized`, by which API Gateway knows a 401; it takes every
            other error, such as a key or a user that cannot be read, for a 500.
    """
    try:
        # The event of a TOKEN authorizer has no request id: the invocation's must do.
        with telemetry.action("authorize_request", context.aws_request_id) as details:
            claims, own = _verify(event.get("authorizationToken"), details)
    except tokens.InvalidToken:
        raise Exception("Unauthorized") from None
    return {
        "principalId": claims.email,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": _whole_stage(event["methodArn"]),
                }
            ],
        },
        "context": {
            "email": claims.email,
            "roles": " ".join(roles.with_included(own)),
            "expires_at": str(claims.expires_at),
        },
    }


def _verify(
    authorization: str | None, details: dict[str, Any]
) -> tuple[tokens.Claims, list[roles.Role]]:
    """Return what a token says, and the roles that its bearer has now."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer":
        details["reason"] = "NotBearer"
        raise tokens.InvalidToken
    try:
        return bearers.of(token.strip())
    except tokens.InvalidToken as error:
        details["reason"] = type(error.__cause__ or error).__name__
        raise


def _whole_stage(method_arn: str) -> str:
    """Return `<api>/<stage>/*`.

    API Gateway caches a policy under its token: one for this method alone would deny the next
    method to the same token. What a caller may do is for the routes to decide, by its roles.
    """
    api, stage, *_ = method_arn.split("/")
    return f"{api}/{stage}/*"

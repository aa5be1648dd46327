"""POST /users/login: e-mail and password for an access token."""

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas.api import app, serve, trace_id
from lambdas.responses import answers, problems
from workflows.access import credentials, failures, sign_in, tokens
from workflows.runtime import telemetry
from workflows.runtime.asked import Asked


class Login(Asked):
    """Who signs in."""

    email: credentials.EmailAddress
    password: credentials.Password


_EXAMPLES: Any = {
    "user": {"value": {"email": "ann@example.com", "password": "correct horse battery staple"}},
}


class Token(BaseModel):
    """The access token, for the header `Authorization: Bearer <access_token>`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a word of RFC 6750
    expires_in: int  # seconds


@app.post(
    "/users/login",
    summary="Sign in",
    description="Answers with an access token. After five failed logins within 15 minutes the"
    " e-mail takes no more of them from that IP address until those 15 minutes are over: 429 with"
    " `retry_after`. After 480 within a day it takes none but from addresses where somebody has"
    " signed in with it. Right ones lock nobody out, however many come at once.",
    tags=["Users"],
    responses=answers(200, Token, "An access token") | problems(401, 403, 422, 429),
    security=[],
)
def log_in(login: Annotated[Login, Body(openapi_examples=_EXAMPLES)]) -> Token:
    """Sign a user in; an e-mail appears in the log only once its password was right."""
    with telemetry.operation("user_login", trace_id()) as details:
        try:
            source_ip = app.current_event.request_context.identity.source_ip
            user = sign_in.sign_in(login.email, login.password, source_ip)
        except (sign_in.WrongCredentials, failures.TooManyFailures):
            telemetry.count("FailedLogins")
            raise
        details["email"] = user.email
        token = tokens.issue(user)
        telemetry.count("SuccessfulLogins")
    return Token(access_token=token.access_token, expires_in=token.expires_in)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    return serve(event, context)

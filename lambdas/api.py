"""The HTTP boundary: routing, validation, roles, and the one shape of every error.

Each API function imports `app`, registers its route and answers through `serve`. `show_docs`
imports them all, so the OpenAPI document is made from the very code that answers.
"""

import base64
import json
import time
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AfterValidator

from lambdas import unknown_input
from lambdas.responses import ErrorBody, Problem
from workflows.runtime import refusals, telemetry
from workflows.runtime.asked import sentence
from workflows.runtime.strict_json import loads

# An id in a path. API Gateway hands the path on as it came, and clients encode a colon, say. No id
# has a percent sign, so that nothing is decoded twice.
PathId = Annotated[str, Path(max_length=256), AfterValidator(unquote)]


class Caller(NamedTuple):
    """Who sends the request, as the authorizer read it from the token, and from where.

    `role` is the one of the `roles` that the request is allowed by. `source_ip` is the address
    that API Gateway was called from; no header can claim another.
    """

    email: str
    roles: frozenset[str]
    role: str
    source_ip: str


# Of a request's body, before it is parsed: 42,000 empty fields are the most that fit.
BODY_BYTES = 262_144
# Of routes that take more. An edited message has 330,000 bytes at most (`edit_letter.py`), and a
# client that spells its letters as `\u00e9` sends three bytes for each of them.
LARGER_BODY_BYTES = {("PATCH", "/messages/{message_id}"): 1_048_576}


class Unauthorized(refusals.NotSignedIn):
    """The token expired while its authorization was cached."""

    code = "unauthorized"


class Forbidden(refusals.NotAllowed):
    """Your roles do not allow this."""

    code = "forbidden"


class BodyTooLarge(refusals.TooLarge):
    """The body of the request has more bytes than its route takes."""

    code = "body_too_large"


def _read_body(text: str) -> Any:
    asked = app.current_event
    most = LARGER_BODY_BYTES.get((asked.http_method, asked.resource), BODY_BYTES)
    size = len(text.encode(errors="surrogatepass"))
    if size > most:
        raise BodyTooLarge(f"The request's body has {size} bytes; this takes {most} at most.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise json.JSONDecodeError("not JSON: no text in UTF-8", "", 0) from None
    # Powertools would take the first element of an array for the object that a route wants.
    body = loads(text)
    if isinstance(body, list):
        raise json.JSONDecodeError("a JSON object is wanted, not an array", "", 0)
    return body


class _Api(APIGatewayRestResolver):
    def get_openapi_schema(self, **options: Any) -> Any:
        """Return the document that `/openapi.json` and `/docs` show."""
        from lambdas import described  # its models cost time that no other route needs

        return described.describe(super().get_openapi_schema(**options))


app = _Api(enable_validation=True, json_body_deserializer=_read_body)
app.use([unknown_input.refuse])

# https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
# Nothing of an answer is for a browser to show, but for the page of `show_docs`.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_OURS = "internal_error"  # is logged where it is found, by its class and place
# What each kind of refusal is in HTTP; the words and the code are the error's own.
_STATUSES: dict[type[refusals.Refusal], HTTPStatus] = {
    refusals.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    refusals.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    refusals.NotFound: HTTPStatus.NOT_FOUND,
    refusals.Conflict: HTTPStatus.CONFLICT,
    refusals.NotSignedIn: HTTPStatus.UNAUTHORIZED,
    refusals.NotAllowed: HTTPStatus.FORBIDDEN,
    refusals.TooMany: HTTPStatus.TOO_MANY_REQUESTS,
}


def serve(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request; whatever happens, in the API's own shape."""
    # The API speaks JSON only; under another content type Powertools would read a form.
    event["headers"] = {
        name: value
        for name, value in (event.get("headers") or {}).items()
        if name.lower() != "content-type"
    } | {"content-type": "application/json"}
    if event.get("isBase64Encoded"):
        # Powertools would fail at bytes that are no text; `_read_body` refuses them.
        body = base64.b64decode(event["body"] or "").decode(errors="surrogateescape")
        event |= {"body": body, "isBase64Encoded": False}
    try:
        answer = app.resolve(event, context)
    finally:
        telemetry.flush()
    answer["multiValueHeaders"] = {
        **{name: [value] for name, value in _HEADERS.items()},
        **answer.get("multiValueHeaders", {}),
    }
    return answer


def trace_id() -> str:
    """Return the id under which this request is found: API Gateway's request id."""
    return str(app.current_event.request_context.request_id)


def caller(role: str) -> Caller:
    """Return who calls.

    Raises:
        Unauthorized: the token has expired; API Gateway may cache an authorization longer.
        Forbidden: the caller lacks the role.
    """
    context: dict[str, Any] = app.current_event.request_context.authorizer.raw_event
    if int(context["expires_at"]) <= time.time():
        raise Unauthorized
    roles = frozenset(str(context["roles"]).split())
    if role not in roles:
        raise Forbidden(f"This needs the role {role}.")
    source_ip = app.current_event.request_context.identity.source_ip
    return Caller(str(context["email"]), roles, role, source_ip)


def location(path: str) -> dict[str, str | list[str]]:
    """Return the header that points to a path of this API, with the stage or base path asked."""
    event = app.current_event
    base = str(event.request_context.path).removesuffix(event.path)
    return {"Location": base + quote(path, safe="/:@=+")}


def problem(
    status: HTTPStatus,
    code: str,
    message: str,
    details: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
) -> Response[str]:
    """Return an error in the one shape, and log that the request was refused and why."""
    if code != _OURS:
        asked = app.current_event
        telemetry.refused(
            trace_id(), code, http_status=status, method=asked.http_method, path=asked.resource
        )
    body = Problem(
        error=ErrorBody(code=code, message=message, details=details), trace_id=trace_id()
    )
    return Response(
        status_code=status,
        content_type="application/json",
        body=body.model_dump_json(exclude_none=True),
        headers=headers or {},
    )


@app.exception_handler(RequestValidationError)
def _invalid(error: RequestValidationError) -> Response[str]:
    # Only place and rule: the value may be a password or a payload.
    fields, more = unknown_input.fields(error, app)
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        sentence(fields, more),
        details={"fields": fields} | ({"more": more} if more else {}),
    )


@app.not_found
def _not_found(_error: NotFoundError) -> Response[str]:
    return problem(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this path and method.")


@app.exception_handler(ServiceError)
def _service(error: ServiceError) -> Response[str]:
    status = HTTPStatus(error.status_code)
    return problem(status, status.phrase.lower().replace(" ", "_"), str(error.msg))


@app.exception_handler(refusals.Refusal)
def _refused(error: refusals.Refusal) -> Response[str]:
    status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
    body = explain(error)
    if isinstance(error, refusals.TooMany):
        wait = error.retry_after
        headers = {"Retry-After": str(wait)}
        return problem(status, body.code, body.message, {"retry_after": wait}, headers)
    return problem(status, body.code, body.message)


@app.exception_handler(Exception)
def _failed(error: Exception) -> Response[str]:
    body = explain(error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, body.code, body.message)


def explain(error: Exception) -> ErrorBody:
    """Return what a client is told of an error; one that nobody foresaw is logged and counted."""
    if isinstance(error, refusals.Refusal):
        return ErrorBody(code=error.code, message=error.sentence)
    telemetry.count("Errors")
    telemetry.failed("answer_request", trace_id(), error)
    return ErrorBody(
        code=_OURS,
        message="The request failed on our side, and may have been carried out. See what became of"
        " it before you repeat it, or quote the trace_id.",
    )

"""The HTTP boundary: routing, validation, roles, and the one shape of every error.

Each API function imports `app`, registers its route and answers through `serve`. `show_docs`
imports them all, so the OpenAPI document is made from the very code that answers.
"""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AfterValidator, BaseModel, Field

from lambdas import unknown_input
from workflows import send
from workflows.access import users
from workflows.groups import view
from workflows.ledger import audit, lookup, transitions
from workflows.messages.message import InvalidMessage, MessageTooLarge, RedriveLimitReached, loads
from workflows.operator import mend
from workflows.redrive import requests, runs
from workflows.runtime import paging, period, telemetry
from workflows.runtime.asked import sentence


class ErrorBody(BaseModel):
    """What went wrong; `code` is for programs, `message` for people."""

    code: str
    message: str
    details: dict[str, Any] | None = Field(default=None, exclude_if=lambda value: value is None)


class Problem(BaseModel):
    """The answer to every request that fails; `trace_id` finds it in the logs."""

    error: ErrorBody
    trace_id: str


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


class Unauthorized(Exception):
    """The token expired while its authorization was cached."""


class Forbidden(Exception):
    """Your roles do not allow this."""


def _read_body(text: str) -> Any:
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

_OURS = "internal_error"  # is logged where it is found, by its class and place

# Errors of `workflows` are mapped here and nowhere else: class, status, code.
_STATUSES: list[tuple[type[Exception], HTTPStatus, str]] = [
    (InvalidMessage, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_message"),
    (MessageTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "message_too_large"),
    (send.ConflictingMessage, HTTPStatus.CONFLICT, "message_id_conflict"),
    (send.InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request"),
    (lookup.MessageNotFound, HTTPStatus.NOT_FOUND, "message_not_found"),
    (runs.RunActive, HTTPStatus.CONFLICT, "run_active"),
    (requests.PlanChanged, HTTPStatus.CONFLICT, "plan_changed"),
    (runs.RunEnded, HTTPStatus.CONFLICT, "run_ended"),
    (runs.RunNotFound, HTTPStatus.NOT_FOUND, "run_not_found"),
    (view.GroupNotFenced, HTTPStatus.NOT_FOUND, "group_not_fenced"),
    (transitions.NotInTrouble, HTTPStatus.CONFLICT, "message_not_in_trouble"),
    (transitions.BeingTried, HTTPStatus.CONFLICT, "message_being_tried"),
    (mend.ResetNeeded, HTTPStatus.CONFLICT, "reset_needed"),
    (RedriveLimitReached, HTTPStatus.CONFLICT, "redrive_limit_reached"),
    (mend.ForeignMessage, HTTPStatus.CONFLICT, "foreign_message"),
    (mend.BodyMissing, HTTPStatus.CONFLICT, "body_missing"),
    (mend.MessageChanged, HTTPStatus.CONFLICT, "message_changed"),
    (period.InvalidPeriod, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request"),
    (paging.InvalidCursor, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request"),
    (users.WrongCredentials, HTTPStatus.UNAUTHORIZED, "wrong_credentials"),
    (Unauthorized, HTTPStatus.UNAUTHORIZED, "unauthorized"),
    (Forbidden, HTTPStatus.FORBIDDEN, "forbidden"),
]


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
        return app.resolve(event, context)
    finally:
        telemetry.flush()


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


@contextmanager
def acting(
    action: audit.Action,
    asked: dict[str, Any],
    message_id: str | None = None,
    run_id: str | None = None,
) -> Iterator[audit.Actor]:
    """Give the operator who acts, and record the action if an error refuses it.

    What succeeds is recorded by the transaction that does it. Without the role, or with a request
    that cannot be read, nobody has acted: that leaves no record.

    Args:
        action: what is asked for.
        asked: what came with the request; never a payload or a body.
        message_id: the message it is about, if it is about one.
        run_id: likewise.

    Raises:
        Unauthorized: as `caller`.
        Forbidden: likewise.
    """
    operator = caller("operator")
    actor = audit.Actor(operator.email, operator.role, operator.source_ip, trace_id())
    try:
        yield actor
    except Exception as error:
        try:
            audit.refused(actor, action, error, input=asked, message_id=message_id, run_id=run_id)
        except Exception as lost:  # noqa: BLE001 - the refusal is what the client must hear
            telemetry.count("Errors")
            telemetry.failed("record_refusal", trace_id(), lost, refused=type(error).__name__)
        raise


def problems(*statuses: int) -> dict[int, Any]:
    """Return the OpenAPI descriptions of a route's failures; 422 and 500 are always there."""
    shape = {"application/json": {"model": Problem}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": shape}
        # 422 too: Powertools describes one in a shape of its own wherever there is none.
        for status in (*statuses, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR)
    }


def answers(status: int, model: type[BaseModel], description: str) -> dict[int, Any]:
    """Return the OpenAPI description of a route's success; every 202 has a `Location`."""
    found: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"model": model}},
    }
    if status == HTTPStatus.ACCEPTED:
        about = {"description": "Path of what the request began.", "schema": {"type": "string"}}
        found["headers"] = {"Location": about}
    return {status: found}


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


@app.exception_handler(users.TooManyFailures)
def _locked(error: users.TooManyFailures) -> Response[str]:
    return problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_failures",
        str(error),
        details={"retry_after": error.retry_after},
        headers={"Retry-After": str(error.retry_after)},
    )


@app.not_found
def _not_found(_error: NotFoundError) -> Response[str]:
    return problem(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this path and method.")


@app.exception_handler(ServiceError)
def _service(error: ServiceError) -> Response[str]:
    status = HTTPStatus(error.status_code)
    return problem(status, status.phrase.lower().replace(" ", "_"), str(error.msg))


@app.exception_handler(Exception)
def _failed(error: Exception) -> Response[str]:
    status, body = _explained(error)
    return problem(status, body.code, body.message)


def explain(error: Exception) -> ErrorBody:
    """Return what a client is told of an error; one that nobody foresaw is logged and counted."""
    return _explained(error)[1]


def _explained(error: Exception) -> tuple[HTTPStatus, ErrorBody]:
    for kind, status, code in _STATUSES:
        if isinstance(error, kind):
            return status, ErrorBody(code=code, message=str(error) or str(error.__doc__))
    telemetry.count("Errors")
    telemetry.failed("answer_request", trace_id(), error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, ErrorBody(
        code=_OURS,
        message="The request failed on our side, and may have been carried out. See what became of"
        " it before you repeat it, or quote the trace_id.",
    )

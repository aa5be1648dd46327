"""What a request has that its route does not know, and how any field that is wrong is named.

Powertools reads the parameters that a route declares and passes over all others.
"""

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from workflows.runtime import asked

_NOT_KNOWN = "not_known"


def refuse(app: APIGatewayRestResolver, following: NextMiddleware) -> Response[Any]:
    """Answer a request only if its route knows every query parameter and its body.

    The pages that describe the API take what tools and browsers add to their addresses.
    """
    route, event = app.context["_route"], app.current_event
    if not route.include_in_schema:
        return following(app)
    known = _parameters(app)
    errors = [
        _error("query", name, "is not known")
        for name in event.resolved_query_string_parameters
        if name not in known
    ]
    body = (event.decoded_body or "").strip()
    if not route.dependant.body_params and body not in ("", "{}", "null"):
        errors.append(_error("body", "is not known: this request takes none"))
    if errors:
        raise RequestValidationError(errors)
    return following(app)


def fields(
    error: RequestValidationError, app: APIGatewayRestResolver
) -> tuple[list[dict[str, str]], int]:
    """Return what is wrong with which field of a request, and how much more is wrong.

    Each is {field, problem}, never with a value.
    """
    found, more = asked.first(error.errors())
    return [_field(each, app) for each in found], more


def _field(found: dict[str, Any], app: APIGatewayRestResolver) -> dict[str, str]:
    if found["type"] == "json_invalid":
        return {"field": "body", "problem": str(found["ctx"]["error"])}
    if found["type"] == _NOT_KNOWN and found["loc"][0] == "query":
        found = found | {"msg": asked.unknown(found["loc"][1], _parameters(app))}
    body = app.context["_route"].dependant.body_params
    return asked.problem(found, body[0].type_ if body else None, found["loc"][1:])


def _parameters(app: APIGatewayRestResolver) -> dict[str, str]:
    return {param.alias: param.alias for param in app.context["_route"].dependant.query_params}


def _error(*place: str) -> dict[str, Any]:
    *loc, text = place
    return {"type": _NOT_KNOWN, "loc": tuple(loc), "msg": text}

"""The OpenAPI document: what Powertools makes of the code, and what it cannot know.

A field that says nothing of itself is described here, once for all answers that have it: one word,
one meaning. The payload of a message is described by the built-in types; a registered one can have
any, which `GET /types` tells.
"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler.openapi.models import OpenAPI, Schema
from pydantic import TypeAdapter

from lambdas.glossary import FIELDS, PARAMETERS
from lambdas.responses import phrase
from workflows.messages.message_types import TYPES

_REF = "#/components/schemas/"
# Powertools' own shape of a failure, which nothing here answers with.
_NOT_OURS = ("HTTPValidationError", "ValidationError", "ResponseValidationError")


def describe(document: OpenAPI) -> OpenAPI:
    """Give each field and each parameter of the document its description, and return it."""
    schemas: Any = document.components and document.components.schemas
    for name in _NOT_OURS:
        schemas.pop(name, None)
    _tell_payloads(schemas)
    for name, schema in schemas.items():
        for field, found in (schema.properties or {}).items():
            found.description = found.description or _meaning(name, field)
    for operation in _operations(document):
        _tell_size(operation)
        for parameter in operation.parameters or []:
            known = parameter.description or parameter.schema_.description
            parameter.description = known or PARAMETERS.get(parameter.name)
    return document


def _meaning(schema: str, field: str) -> str | None:
    return FIELDS.get(f"{schema}.{field}") or FIELDS.get(field)


def _tell_size(operation: Any) -> None:
    """Say that a body can be too large, wherever there is one."""
    too_large, invalid = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY
    if operation.requestBody is not None:
        about = {"description": phrase(too_large)}
        operation.responses[too_large] = operation.responses[invalid].model_copy(update=about)


def _operations(document: OpenAPI) -> list[Any]:
    items = (document.paths or {}).values()
    methods = ("get", "put", "post", "patch", "delete")
    found = (getattr(item, method) for item in items for method in methods)
    return [operation for operation in found if operation is not None]


def _tell_payloads(schemas: dict[str, Any]) -> None:
    """Let what is sent be of a built-in type or of any other, and what is edited likewise."""
    if "SendRequest" not in schemas:
        return
    plain: dict[str, Any] = schemas["SendRequest"].model_dump(by_alias=True, exclude_none=True)
    sent: list[dict[str, str]] = []
    payloads: list[dict[str, Any]] = []
    for name, kind in TYPES.items():
        title = "".join(part.title() for part in name.split("_"))
        payload = TypeAdapter(kind.Payload).json_schema(ref_template=f"{_REF}{{model}}")
        schemas |= {
            name: Schema.model_validate(part) for name, part in payload.pop("$defs", {}).items()
        }
        schemas[f"{title}Payload"] = Schema.model_validate(payload | {"title": f"{title}Payload"})
        payloads.append({"$ref": f"{_REF}{title}Payload"})
        sent.append({"$ref": f"{_REF}Send{title}"})
        fields = plain["properties"] | {
            "type": {"const": name, "type": "string", "title": "Type"},
            "payload": payloads[-1],
        }
        schemas[f"Send{title}"] = Schema.model_validate(
            plain | {"title": f"Send{title}", "properties": fields}
        )
    other = {"type": "string", "title": "Type", "not": {"enum": sorted(TYPES)}}
    schemas["SendRegistered"] = Schema.model_validate(
        plain | {"title": "SendRegistered", "properties": plain["properties"] | {"type": other}}
    )
    # No discriminator: that would have to name each value of `type`.
    schemas["SendRequest"] = Schema.model_validate(
        {
            "title": plain["title"],
            "description": plain["description"],
            "oneOf": [*sent, {"$ref": f"{_REF}SendRegistered"}],
        }
    )
    payloads.append({"type": "object", "description": "Of a registered type.", "title": "Any"})
    edited = schemas["EditRequest"].properties["payload"]
    schemas["EditRequest"].properties["payload"] = Schema.model_validate(
        {"anyOf": payloads, "examples": edited.examples}
    )

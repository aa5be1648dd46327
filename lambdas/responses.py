"""What routes answer with, as the OpenAPI document says it; and the one shape of every error."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

# As RFC 9110 names them; Python does so since 3.13, and any Python makes the same document.
_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}


class ErrorBody(BaseModel):
    """What went wrong; `code` is for programs, `message` for people."""

    code: str
    message: str
    details: dict[str, Any] | None = Field(default=None, exclude_if=lambda value: value is None)


class Problem(BaseModel):
    """The answer to every request that fails; `trace_id` finds it in the logs."""

    error: ErrorBody
    trace_id: str


def phrase(status: int) -> str:
    """Return what RFC 9110 calls a status."""
    return _PHRASES.get(status, HTTPStatus(status).phrase)


def problems(*statuses: int) -> dict[int, Any]:
    """Return the OpenAPI descriptions of a route's failures; 422 and 500 are always there."""
    shape = {"application/json": {"model": Problem}}
    return {
        status: {"description": phrase(status), "content": shape}
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

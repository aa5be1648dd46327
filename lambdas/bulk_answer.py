"""The answer of a bulk action: what became of each message."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lambdas.api import explain
from lambdas.responses import ErrorBody
from workflows.ledger.status import Status
from workflows.operator import bulk


def _is_none(value: object) -> bool:
    return value is None


class Result(BaseModel):
    """One message: its status now, or why it was refused."""

    message_id: str
    status: str | None = Field(default=None, exclude_if=_is_none)
    error: ErrorBody | None = Field(default=None, exclude_if=_is_none)


class Results(BaseModel):
    """Partial results: one that fails does not concern the others.

    `more` says that messages are left to look at; ask again with `cursor` for them.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {"message_id": "payment-2", "status": Status.REDRIVEN},
                        {
                            "message_id": "payment-9",
                            "error": {
                                "code": "redrive_limit_reached",
                                "message": "Message payment-9 was redriven 3 times, as often as it"
                                " may be; `reset_redrives` gives it a new budget.",
                            },
                        },
                    ],
                    "more": False,
                }
            ]
        }
    )

    results: list[Result]
    more: bool
    cursor: str | None = None


def answer(found: list[bulk.Result], cursor: str | None, details: dict[str, Any]) -> Results:
    """Return the answer, and count for the log how it went."""
    details |= {"done": sum(one.error is None for one in found)}
    details |= {"refused": len(found) - details["done"]}
    return Results(
        results=[
            Result(
                message_id=one.message_id,
                status=one.status,
                error=explain(one.error) if one.error else None,
            )
            for one in found
        ],
        more=cursor is not None,
        cursor=cursor,
    )

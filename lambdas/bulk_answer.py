"""The answer of a bulk action: what became of each message."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lambdas.api import explain
from lambdas.responses import ErrorBody
from workflows.ledger.status import Status
from workflows.operator.bulk import Outcome


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


def answer(outcomes: list[Outcome], cursor: str | None, details: dict[str, Any]) -> Results:
    """Return the answer, and count for the log how it went."""
    details |= {"done": sum(outcome.error is None for outcome in outcomes)}
    details |= {"refused": len(outcomes) - details["done"]}
    return Results(
        results=[
            Result(
                message_id=outcome.message_id,
                status=outcome.status,
                error=explain(outcome.error) if outcome.error else None,
            )
            for outcome in outcomes
        ],
        more=cursor is not None,
        cursor=cursor,
    )

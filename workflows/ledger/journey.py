"""The journey of a message: what befell it in trouble, kept in its row for people to read.

The row's `journey` is a list of events, oldest first. Each is appended by a write that happens
anyway, so a healthy message has none, and a try whose worker died left none: the number of its
attempt is missing then. No event holds a message's text or body.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from workflows.runtime import clock

# Of an UpdateExpression's SET, with `values`.
APPEND = "journey = list_append(if_not_exists(journey, :nothing), :events)"
# The `run_id` of SQS's own redrive.
NATIVE = "native"

Name = Literal[
    "sent",
    "attempt",
    "parked",
    "dead",
    "quarantined",
    "redriven",
    "let_go",
    "lost",
    "sent_again",
    "retried",
    "edited",
    "discarded",
    "processed",
]

_T = TypeVar("_T")
_IfAny = Annotated[_T | None, Field(exclude_if=lambda value: value is None)]


class Event(BaseModel):
    """One step of a journey; `n` counts the steps, `at` is ISO 8601 in UTC.

    `number` is which try failed (`attempt`), over all redrives, or which redrive it was
    (`redriven`, `retried`, `lost`). A try that ended with its worker has no step, and its number is
    missing.
    `destination`: a run redrove it to that queue's consumers.
    `let_go`: the run `run_id` had counted a redrive that it then did not, or perhaps not, send.
    `lost`: the copy that was sent then is not on the work queue any more, and nobody had it; after
    `sent_again` its producer sent it once more under its id.
    """

    n: int
    event: Name
    at: str
    number: _IfAny[int] = None
    reason_type: _IfAny[str] = None
    run_id: _IfAny[str] = None
    by: _IfAny[str] = None
    previous_hash: _IfAny[str] = None
    destination: _IfAny[str] = None


def event(name: Name, **details: str | int | None) -> dict[str, Any]:
    """Return an event as the row keeps it; details that are None are left out."""
    known = {key: value for key, value in details.items() if value is not None}
    return {"event": name, "at": clock.now()} | known


def attempt_failed(attempt: int, reason: dict[str, str]) -> dict[str, Any]:
    """Return the event of an attempt that failed, for what `reasons.reason_of` gives."""
    return event("attempt", number=attempt, reason_type=reason["type"])


def values(*events: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `APPEND`'s placeholders."""
    return {":nothing": [], ":events": list(events)}


def told(row: dict[str, Any]) -> list[Event]:
    """Return a row's journey from sent to processed, as far as it came."""
    return [Event.model_validate(step | {"n": n}) for n, step in enumerate(_steps(row), 1)]


def _steps(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"event": "sent", "at": row["first_sent_at"]}
    # A write whose answer was lost is sent again, and may append its event twice.
    yield from (step for step, _ in groupby(row.get("journey", [])))
    if "processed_at" in row:
        yield {"event": "processed", "at": row["processed_at"]}

"""How the API shows a redrive run; shared by the functions that show one or many."""

from typing import Any

from pydantic import BaseModel, field_validator

from workflows.redrive import runs


class RunRecord(BaseModel):
    """A redrive run. Each dead letter dealt with is counted once, by one of five counters.

    `already_processed` were settled before and only deleted; `failed` were refused by SQS or the
    ledger and stayed; `left` stayed because the run was not to touch them, and are not `received`.
    `request` is what it was started with. `reason` says why it was halted, `failure` why it
    failed. A run that found no more is halted, and says so, when messages were still `in_flight`
    with somebody else, or some of its plan were `missing`. Times are ISO 8601 in UTC.
    """

    run_id: str
    status: str
    trigger: str
    requested_by: str
    request: dict[str, Any] = {}
    received: int
    redriven: int
    quarantined: int
    already_processed: int
    discarded: int = 0
    failed: int
    left: int = 0
    in_flight: int = 0
    missing: int = 0
    started_at: str
    finished_at: str | None = None
    reason: str | None = None
    failure: str | None = None
    execution_arn: str

    @field_validator("request", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        return runs.parse_request(value) if isinstance(value, str) else value

    @field_validator("reason", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        return value or None  # the machine writes an empty one

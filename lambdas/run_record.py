"""How the API shows a redrive run; shared by the functions that show one or many."""

from pydantic import BaseModel


class RunRecord(BaseModel):
    """A redrive run. Each dead letter received is counted once among the five outcomes.

    `already_processed` were settled before and only deleted; `failed` stayed on the dead-letter
    queue. Times are ISO 8601 in UTC.
    """

    run_id: str
    status: str
    trigger: str
    requested_by: str
    received: int
    redriven: int
    quarantined: int
    already_processed: int
    discarded: int = 0
    failed: int
    started_at: str
    finished_at: str | None = None
    failure: str | None = None
    execution_arn: str

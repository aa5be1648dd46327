"""Discarding: to give a dead or quarantined message up for good, so that its group can go on."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from workflows import clock, fence, ledger


class DiscardRequest(BaseModel):
    """Why the message is given up; kept in its record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def discard(message_id: str, request: DiscardRequest, by: str) -> dict[str, Any]:
    """Discard a message and return its row; the same again changes nothing.

    Its record and body stay until the ledger forgets them. A copy that still lies on the
    dead-letter queue is deleted by the run that meets it.

    Raises:
        workflows.ledger.MessageNotFound: the ledger has none.
        workflows.ledger.NotInTrouble: it is neither dead nor quarantined.
    """
    row = ledger.discard(message_id, {"reason": request.reason, "by": by, "at": clock.now()})
    held = fence.held([row["group_id"]]).get(row["group_id"])
    if held is not None and held.holder == message_id:
        fence.settle(held, int(row["redrives"]))
    return row

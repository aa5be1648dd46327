"""Discarding: to give a message in trouble up for good, so that its group can go on."""

from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from workflows.groups import fence, fences
from workflows.ledger import audit, large, lookup, transitions
from workflows.ledger.status import AT_REST, Status
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.operator.bulk import Selection
from workflows.runtime import clock
from workflows.runtime.asked import Asked
from workflows.runtime.aws import dynamodb, plain, transact

Note = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class DiscardRequest(Asked):
    """Why the message is given up; kept in its record."""

    reason: Note = Field(examples=["The customer left."])


class DiscardSelection(Selection):
    """Those to give up, and why."""

    reason: Note = Field(examples=["The customer left."])


def discard(message_id: str, request: DiscardRequest, actor: audit.Actor) -> dict[str, Any]:
    """Discard a message and return its row; the same again changes nothing.

    Dead and quarantined messages can be discarded, and one that is PROCESSING although its worker
    died long ago; that one may have had its effect. Record and body stay until the ledger forgets
    them. A copy that still lies on the dead-letter queue is deleted by the run that meets it.

    Raises:
        workflows.ledger.lookup.MessageNotFound: the ledger has none.
        workflows.ledger.transitions.NotInTrouble: it is none of these.
        workflows.ledger.transitions.BeingTried: its last try may not have ended.
    """
    row = _give_up(message_id, request, actor)
    large.let_expire(row)
    if queue_of(message_id) != DEFAULT_QUEUE:
        return row  # nothing fences its group
    fenced = fences.find([row["group_id"]]).get(row["group_id"])
    if fenced is not None and fenced.holder == message_id:
        # The message is discarded and recorded as such: an error would record a refusal too. If
        # workers hold the fence at every try, the sweep lets the group go on, as after a crash.
        errors = dynamodb().exceptions
        with suppress(errors.TransactionConflictException, errors.TransactionCanceledException):
            fence.release(fenced, int(row["redrives"]))
    return row


def _give_up(message_id: str, request: DiscardRequest, actor: audit.Actor) -> dict[str, Any]:
    about: dict[str, Any] = {"input": request.model_dump(), "message_id": message_id}
    note = {"reason": request.reason, "by": actor.email, "at": clock.now()}
    failed = transact(
        [
            transitions.discarded(message_id, note),
            audit.entry(actor, "discard_message", result=Status.DISCARDED, **about),
        ]
    )
    if failed is None:
        return lookup.get(message_id)
    row = plain(failed[0])
    if not row:
        raise lookup.MessageNotFound(f"There is no message {message_id}.")
    if row.get("trouble") in AT_REST and lookup.is_leased(row):
        raise transitions.BeingTried
    if row["status"] != Status.DISCARDED:
        raise transitions.NotInTrouble(
            f"Message {message_id} is {row['status']}; only dead and quarantined ones can be"
            " discarded, and one whose worker died a quarter of an hour ago."
        )
    audit.unchanged(actor, "discard_message", **about)
    return row

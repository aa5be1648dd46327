"""Mending: which message in trouble an operator may change, and that it is as it was read."""

from typing import Any

from workflows.ledger import conditions, lookup, transitions, writes
from workflows.ledger.status import AT_REST
from workflows.messages.ids import DEFAULT_QUEUE, FOREIGN_PREFIX, queue_of
from workflows.queues import registry
from workflows.queues.queue import Queue
from workflows.runtime import clock
from workflows.runtime.refusals import Conflict
from workflows.runtime.settings import settings

_JOURNEY_KEPT = 200
_EXECUTIONS_KEPT = 100


class ForeignMessage(Conflict):
    """The message has no envelope of this service, so nothing can process it; discard it."""

    code = "foreign_message"


class BodyMissing(Conflict):
    """The ledger lacks the body: redrive it from the dead-letter queue, or send it under its id."""

    code = "body_missing"


class MessageChanged(Conflict):
    """The message changed meanwhile: look at it again, then ask again."""

    code = "message_changed"


def check(row: dict[str, Any], what: str) -> None:
    """Raise unless a message can be mended; `what` is the verb, in the sentence that says so.

    Raises:
        workflows.ledger.transitions.NotInTrouble: it is neither dead nor quarantined.
        ForeignMessage: it has no envelope.
        workflows.ledger.transitions.BeingTried: its last try may not have ended.
        BodyMissing: its body is not in the ledger.
    """
    # And not by its status: a message that a run let go of is listed as dead while it is REDRIVEN.
    if row.get("trouble") not in AT_REST:
        raise transitions.NotInTrouble(
            f"Message {row['message_id']} is {row['status']}; only dead and quarantined ones can"
            f" be {what}."
        )
    is_ours = queue_of(row["message_id"]) == DEFAULT_QUEUE
    if is_ours and row["message_id"].startswith(FOREIGN_PREFIX):
        raise ForeignMessage
    if lookup.is_leased(row):
        raise transitions.BeingTried
    if "body" not in row:
        raise BodyMissing


def change(
    row: dict[str, Any],
    event: dict[str, Any],
    sets: str,
    values: dict[str, Any],
    removes: str = "",
    names: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return the part of a transaction that changes a row which is still as it was read.

    Args:
        row: as it was read.
        event: what its journey tells of the change. Journey and executions are trimmed: here alone
            a message gets new redrives, so that they could grow without end.
        sets: assignments of the expression.
        values: of their placeholders.
        removes: names of columns.
        names: of the expression's attribute names.
    """
    events = [*row["journey"], event]
    return writes.change(
        row["message_id"],
        f"SET {sets}, journey = :journey, execution_arns = :executions"
        + (removes and f" REMOVE {removes}"),
        # The journey is written as a whole: its size says that nothing was added to it.
        "#status = :status AND redrives = :redrives AND attempts_total = :attempts"
        " AND payload_hash = :known"
        f" AND size(journey) = :size AND {conditions.FREE}",
        values
        | {
            ":journey": events[-_JOURNEY_KEPT:],
            ":executions": row["execution_arns"][-_EXECUTIONS_KEPT:],
            ":status": row["status"],
            ":redrives": row["redrives"],
            ":attempts": row.get("attempts_total", 0),
            ":known": row["payload_hash"],
            ":size": len(row["journey"]),
            ":epoch": clock.epoch(),
        },
        names,
    )


def meanwhile(row: dict[str, Any], what: str) -> Exception:
    """Return why a row, as a failed condition found it, cannot be changed as it was read."""
    if not row:
        return lookup.MessageNotFound("The message was forgotten meanwhile.")
    try:
        check(row, what)
    except (transitions.NotInTrouble, transitions.BeingTried) as error:
        return error
    return MessageChanged()


def new_limit(row: dict[str, Any]) -> int:
    """Return up to which number of redrives a message may go with a new budget.

    The number itself never goes down: it is in deduplication ids and in names of executions.
    """
    budget = queue_of_row(row).max_redrives
    return int(row["redrives"]) + (settings().max_redrives if budget is None else budget)


def queue_of_row(row: dict[str, Any]) -> Queue:
    """Return the queue of a message.

    Raises:
        workflows.queues.registry.UnknownQueue: it is not registered any more.
    """
    return registry.get(queue_of(row["message_id"]))

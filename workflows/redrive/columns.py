"""The columns of the ledger's rows that a run's guard writes, by dead letter and verdict."""

from dataclasses import dataclass
from typing import Any

from workflows.ledger import large, listing
from workflows.ledger.status import Trouble
from workflows.messages.carried import Carried
from workflows.queues.queue import Queue
from workflows.redrive import registered
from workflows.redrive.partiql import Mark
from workflows.redrive.verdict import DeadLetter, Verdict
from workflows.runtime import clock


@dataclass(frozen=True)
class Turn:
    """The run, its queue, the execution that works for it, and the `mark` of the batch in its rows.

    By the mark a statement that is tried again knows what its first try has counted; until the lane
    was asked to deal with the batch there is none.
    """

    run_id: str
    queue: Queue
    execution_arn: str
    mark: str = ""


def met(
    verdict: Verdict, letter: DeadLetter, turn: Turn, events: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the columns of a row that is made now which do not depend on what becomes of it."""
    names = ("group_id", "type", "payload_hash", "first_sent_at", "dead_at", "trace_id")
    return (
        {"message_id": verdict["ledger_id"]}
        | {name: verdict[name] for name in names}  # type: ignore[literal-required]
        | {"attempts": 0, "attempts_total": 0}
        | {"execution_arns": [turn.execution_arn], "journey": events}
        | ({} if turn.queue.is_default else registered.columns(verdict, letter))
    )


def of_letter(letter: DeadLetter, turn: Turn) -> dict[str, str]:
    """Return by what a row of a registered queue knows of which dead letter it speaks."""
    return {} if turn.queue.is_default else {"letter_id": letter["MessageId"]}


def in_trouble(
    verdict: Verdict, letter: DeadLetter, turn: Turn, trouble: Trouble
) -> dict[str, Any]:
    """Return the columns of a message that is listed as dead or quarantined; its body is a mark."""
    return {
        **of_letter(letter, turn),
        "status": trouble,
        **listed(trouble, verdict["ledger_id"]),
        **_body(verdict, letter, turn),
        "reason": verdict["reason"],
        # Of two of a batch, and of a group, the later one is listed later.
        "updated_at": clock.later(verdict["index"]),
    }


def carried_by(letter: DeadLetter, turn: Turn, verdict: Verdict | None = None) -> dict[str, str]:
    """Return what a row keeps of what a dead letter carries beside its body, edited or not."""
    take = Carried.of if turn.queue.is_default else Carried.all_of
    theirs = letter.get("MessageAttributes", {})
    return take(
        theirs if verdict is None else verdict.get("attributes", theirs),
        letter.get("Attributes", {}).get("AWSTraceHeader", ""),
    ).column


def _body(verdict: Verdict, letter: DeadLetter, turn: Turn) -> dict[str, Any]:
    carried = carried_by(letter, turn, verdict)
    if "body" in verdict:
        return {"body": verdict["body"], "carried": carried}
    body = letter.get("Body", "")
    if large.is_large(body, carried):
        return large.columns(letter["MessageId"], body, carried)
    return {"body": Mark("body", verdict["index"]), "carried": carried}


def listed(trouble: Trouble, message_id: str) -> dict[str, str]:
    """Return the columns by which the index has a message in trouble."""
    return {"trouble": trouble, "listed": listing.key(trouble, message_id)}

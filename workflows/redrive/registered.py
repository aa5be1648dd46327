"""Judgement of a registered queue's dead letter: by its row, and by its queue's registration.

Nobody told the ledger of it before, and its consumer tells nothing: what was redriven and is on the
dead-letter queue again has failed again. Two messages of one identity cannot be told apart but by
SQS's MessageId, which a message keeps for as long as it lies on a queue; so a row notes of which
letter it speaks (`letter_id`), and a letter of which it does not is never deleted for it.
"""

from collections.abc import Set
from typing import Any

from workflows.ledger import conditions
from workflows.ledger.status import Status, Trouble
from workflows.messages.limits import RedriveLimitReached
from workflows.messages.message_types import TooOld
from workflows.messages.reasons import reason_of
from workflows.queues.letters import MESSAGE_GROUP, Letter
from workflows.queues.payloads import PayloadMissing
from workflows.queues.queue import Queue
from workflows.redrive import runs, settled, superseded
from workflows.redrive.judgement import group_of, sent_at
from workflows.redrive.reading import own_id
from workflows.redrive.verdict import DeadLetter, Verdict
from workflows.runtime import clock
from workflows.runtime.settings import settings


class InvalidBody(Exception):
    """The body does not fit the schema of its queue."""


class AlreadySettled(Exception):
    """A message of this identity was given up before; this other one is kept by itself."""


def columns(verdict: Verdict, dead_letter: DeadLetter) -> dict[str, Any]:
    """Return what a row that is made of a dead letter has beside what every row has."""
    group = group_of(dead_letter)
    return {"redrive_limit": verdict["redrive_limit"]} | (
        {} if verdict["group_id"] == group else {MESSAGE_GROUP: group}
    )


def of(
    dead_letter: DeadLetter,
    found: Letter,
    now: Letter,
    rows: dict[str, dict[str, Any]],
    sent: Set[str],
    run_id: str,
    queue: Queue,
) -> Verdict:
    """Return the verdict on one dead letter; its place in the batch and its group is the judge's.

    Args:
        dead_letter: as SQS gave it, or a plan made it.
        found: what it is.
        now: what a person made of it; `found` if nobody edited it, or the edit cannot be read.
        rows: the ledger's rows of all that the batch may be, by id.
        sent: the ids of those of which it is known that SQS took the last copy.
        run_id: the run that asks; "" for a plan.
        queue: whose it is.
    """
    verdict = _unmet(dead_letter, found, queue)
    own = own_id(dead_letter, queue)
    if own in rows:
        return _kept_by_itself(verdict, own, rows[own], found)
    row = rows.get(found.message_id)
    if row is None:
        return _gated(verdict, found, queue)
    if row["status"] in (Status.QUARANTINED, Status.DISCARDED):
        return _given_up(verdict, dead_letter, found, row, own)
    is_of_this, is_old = speaks_of(row, dead_letter), superseded.is_old(found, row)
    # Once a run, or a run would burn all redrives of a message that fails at once.
    is_mine = run_id != "" and str(row.get("redrive_mark", "")).startswith(f"{run_id}#")
    is_sent = found.message_id in sent and (is_of_this or (is_old and superseded.was_sent(row)))
    if is_old and now is found and not (is_mine or is_sent):
        verdict["ledger_id"] = own
        return _because(verdict, superseded.Superseded())
    _fill(verdict, found.message_id, row)
    _label(verdict, now, row)
    if "superseded_hashes" in row:
        verdict["sent_hash"] = now.body_hash
    # An old copy is none that came back: what was sent since the edit has another body.
    verdict["unnoted"] = row["status"] == Status.REDRIVEN and not (is_of_this or is_old)
    if found.is_unread:  # it is of a plan
        verdict["unnoted"] = False
    if is_sent and not is_mine:
        verdict["verdict"] = "settled"  # its copy was sent, so this one is not
        return verdict
    if is_mine or row.get("trouble") == Trouble.SENDING:
        verdict |= {"verdict": "left", "left_because": "busy"}
        return verdict
    if verdict["redrives"] >= verdict["redrive_limit"]:
        return _because(verdict, RedriveLimitReached())
    return _gated(verdict, now, queue)


def superseded_by(
    dead_letter: DeadLetter, found: Letter, rows: dict[str, dict[str, Any]], queue: Queue
) -> dict[str, Any] | None:
    """Return the row by whose edit a dead letter has an old body; None if there is none."""
    row = rows.get(own_id(dead_letter, queue), rows.get(found.message_id))
    return row if row is not None and superseded.is_old(found, row) else None


def speaks_of(row: dict[str, Any], dead_letter: DeadLetter) -> bool:
    """Tell whether a row is of this very letter, and not of another one of its identity."""
    return bool(row.get("letter_id") == dead_letter["MessageId"])


def was_sent(row: dict[str, Any]) -> bool:
    """Tell whether it is known that SQS took the copy that a redriven message's row counts.

    By the record of the run that redrove it: then what still lies on the dead-letter queue was only
    not deleted, and is not sent once more to a consumer that might have its effect twice.
    """
    mark = str(row.get("redrive_mark", ""))
    if row["status"] != Status.REDRIVEN:
        return False
    if mark.startswith(conditions.BY_HAND):
        return "trouble" not in row
    if row.get("trouble") != Trouble.REDRIVING:  # else nothing would have let go of it
        return False
    run = runs.find(mark.rpartition("#")[0])
    return run is not None and not settled.of(run).is_open(mark, str(row["message_id"]))


def _unmet(dead_letter: DeadLetter, found: Letter, queue: Queue) -> Verdict:
    group = group_of(dead_letter)
    limit = settings().max_redrives if queue.max_redrives is None else queue.max_redrives
    return {
        "verdict": "quarantine",
        "left_because": "",
        "index": 0,
        "wave": 0,
        # On a standard queue nothing is in order, so nothing waits for another.
        "group": group if queue.fifo else dead_letter["MessageId"],
        "group_id": found.group_id,
        "ledger_id": found.message_id,
        "known": False,
        "unnoted": True,
        "status": "",
        "redrives": 0,
        "redrive_limit": limit,
        "attempts_total": 0,
        "reason": found.reason,
        "type": found.type,
        "first_sent_at": sent_at(dead_letter),
        "dead_at": sent_at(dead_letter),
        "payload_hash": found.body_hash,
        "trace_id": dead_letter["MessageId"],
    }


def _fill(verdict: Verdict, ledger_id: str, row: dict[str, Any]) -> None:
    verdict |= {
        "ledger_id": ledger_id,
        "known": True,
        "unnoted": False,
        "status": row["status"],
        "redrives": int(row["redrives"]),
        "redrive_limit": int(row["redrive_limit"]),
        "attempts_total": int(row["attempts_total"]),
        "first_sent_at": row["first_sent_at"],
        # The row's, which an edit or an identity of its own may have made another.
        "payload_hash": row["payload_hash"],
    }


def _label(verdict: Verdict, now: Letter, row: dict[str, Any]) -> None:
    """Say what a message is; of one that nobody has read, its row says so."""
    is_read = not (now.is_unread or now.is_missing)
    verdict["type"] = now.type if is_read else row["type"]
    verdict["group_id"] = now.group_id if is_read else row["group_id"]


def _given_up(
    verdict: Verdict, dead_letter: DeadLetter, found: Letter, row: dict[str, Any], own: str
) -> Verdict:
    """Return the verdict on a letter of whose identity a message was quarantined or discarded."""
    if not speaks_of(row, dead_letter):
        verdict["ledger_id"] = own
        return _because(verdict, AlreadySettled())
    _fill(verdict, found.message_id, row)
    is_discarded = row["status"] == Status.DISCARDED
    verdict["verdict"] = "discarded" if is_discarded else "settled"
    return verdict


def _kept_by_itself(verdict: Verdict, own: str, row: dict[str, Any], found: Letter) -> Verdict:
    """Return the verdict on a letter with a row under SQS's id: it was stored, or only noted."""
    _fill(verdict, own, row)
    _label(verdict, found, row)
    if row["status"] == Status.DEAD:
        was_missing = row.get("reason", {}).get("type") == PayloadMissing.__name__
        return _because(
            verdict, PayloadMissing() if found.is_missing or was_missing else AlreadySettled()
        )
    verdict["verdict"] = "settled"
    return verdict


def _gated(verdict: Verdict, found: Letter, queue: Queue) -> Verdict:
    """Return the verdict on a letter that may be redriven if it is as its queue wants it."""
    if found.is_missing:
        return _because(verdict, PayloadMissing())
    age = clock.seconds_since(verdict["first_sent_at"])
    if queue.max_age_seconds is not None and age > queue.max_age_seconds:
        limit = queue.max_age_seconds
        return _because(verdict, TooOld(f"The message was sent more than {limit} seconds ago."))
    if problem := _problem(queue, found):
        return _because(verdict, InvalidBody(problem))
    verdict["verdict"] = "redrive"
    return verdict


def _problem(queue: Queue, found: Letter) -> str | None:
    if queue.schema is None or found.is_unread:
        return None
    from workflows.messages import schemas

    return schemas.problem(queue.schema, found.parsed)


def _because(verdict: Verdict, error: Exception) -> Verdict:
    verdict |= {"verdict": "quarantine", "reason": reason_of(error)}
    return verdict

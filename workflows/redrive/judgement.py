"""Judgement: the verdict on one dead letter, by its row in the ledger and by what it holds.

The batch, what a run is to touch and the order inside a group are the judge's: see `judge.py`.
"""

from datetime import UTC, datetime
from typing import Any

from workflows.ledger import conditions, lookup
from workflows.ledger.status import Status, Trouble
from workflows.messages import message_types
from workflows.messages.envelope import InvalidMessage, Message, MessageConflict, foreign_hash
from workflows.messages.ids import FOREIGN_PREFIX
from workflows.messages.limits import RedriveLimitReached
from workflows.messages.message_types import TooOld
from workflows.messages.reasons import reason_of
from workflows.redrive.verdict import DeadLetter, Kind, Verdict
from workflows.runtime import clock
from workflows.runtime.settings import settings

# By the row: what to do with the copy on the dead-letter queue. A parked message waits in its
# group, a quarantined one in the ledger; of a RETRYING one this may be the copy about to be DEAD.
_BY_STATUS: dict[str, Kind] = {
    Status.PROCESSED: "settled",
    Status.PARKED: "settled",
    Status.QUARANTINED: "settled",
    Status.DISCARDED: "discarded",
    Status.RETRYING: "left",
}
# A copy on the dead-letter queue while the row says so: SQS moved it, and nobody noted that.
_UNNOTED = (Status.ACCEPTED, Status.QUEUED, Status.PROCESSING)


class UnknownMessage(Exception):
    """The ledger does not know the message, so nothing guards its redrives."""


class ConsumerCrashed(Exception):
    """The consumer ended without a word, again and again, until SQS moved the message."""


def of(
    letter: DeadLetter,
    message: Message | InvalidMessage,
    rows: dict[str, dict[str, Any]],
    run_id: str,
) -> Verdict:
    """Return the verdict on one dead letter; its place in the batch and its group is the judge's.

    Args:
        letter: as SQS gave it, or a plan made it.
        message: what its body holds, or the ledger's in its place if that was edited.
        rows: the ledger's rows of all that the batch may be, by id.
        run_id: the run that asks; "" for a plan.
    """
    verdict = _foreign(letter)
    row = rows.get(verdict["ledger_id"])
    if row is not None:
        # Stored, or only noted, by an earlier run that could or should not delete this.
        _fill(verdict, row, _is_leased(row))
        verdict["payload_hash"] = row["payload_hash"]  # of a conflicting message: its payload's
        verdict["verdict"] = _BY_STATUS.get(row["status"], "quarantine")
        return verdict
    if "Body" not in letter and letter["MessageId"] in rows:
        return _unread(verdict, letter["MessageId"], rows[letter["MessageId"]])
    if isinstance(message, InvalidMessage):
        return _because(verdict, message)
    verdict["type"] = message.type
    verdict["first_sent_at"] = message.first_sent_at_text
    verdict["payload_hash"] = message.payload_hash
    verdict["trace_id"] = message.trace_id
    row = rows.get(message.message_id)
    if row and not lookup.is_copy(message, row):
        # The row is another message's; this one is kept under SQS's id.
        return _because(verdict, MessageConflict())
    verdict["ledger_id"] = message.message_id
    leased = row is not None and _is_leased(row)  # asked once: a lease may end between two looks
    if row is not None:
        _fill(verdict, row, leased)
        if lookup.is_current(message, row):
            verdict["payload_hash"] = row["payload_hash"]  # of a copy that is spelled otherwise
    try:
        verdict["verdict"] = _verdict(message, row, leased, run_id)
        verdict["left_because"] = "busy" if verdict["verdict"] == "left" else ""
    except (InvalidMessage, TooOld, UnknownMessage, RedriveLimitReached) as error:
        return _because(verdict, error)
    return verdict


def _unread(verdict: Verdict, message_id: str, row: dict[str, Any]) -> Verdict:
    """Judge a dead letter by its row alone: its body may lie on the queue, and is not looked at."""
    _fill(verdict, row, _is_leased(row))
    verdict["ledger_id"] = message_id
    verdict["payload_hash"] = row["payload_hash"]
    verdict["first_sent_at"] = row["first_sent_at"]
    if verdict["redrives"] >= verdict["redrive_limit"]:
        return _because(verdict, RedriveLimitReached())
    verdict["verdict"] = "redrive"
    return verdict


def _foreign(letter: DeadLetter) -> Verdict:
    """Return the verdict on what is not ours: keep it under SQS's id."""
    return {
        "verdict": "quarantine",
        "left_because": "",
        "index": 0,
        "wave": 0,
        "group": group_of(letter),
        "group_id": group_of(letter),
        "ledger_id": foreign_id(letter),
        "known": False,
        "unnoted": True,
        "status": "",
        "redrives": 0,
        "redrive_limit": settings().max_redrives,
        "attempts_total": 0,
        "reason": {"type": "", "message": ""},
        "type": "foreign",
        "first_sent_at": clock.now(),
        "dead_at": sent_at(letter),
        "payload_hash": foreign_hash(letter.get("Body", "")),
        "trace_id": letter["MessageId"],
    }


def _fill(verdict: Verdict, row: dict[str, Any], leased: bool) -> None:
    verdict["known"] = True
    verdict["type"] = row["type"]
    verdict["status"] = row["status"]
    verdict["redrives"] = int(row["redrives"])
    verdict["redrive_limit"] = int(row.get("redrive_limit", settings().max_redrives))
    verdict["attempts_total"] = int(row.get("attempts_total", 0))
    # What was taken for lost is listed as dead already, and is redriven as such.
    verdict["unnoted"] = (
        row["status"] in _UNNOTED and not leased and row.get("trouble") != Trouble.DEAD
    )
    if verdict["unnoted"]:
        verdict["reason"] = reason_of(ConsumerCrashed())
    elif "reason" in row:
        parts = ("type", "message", "template")
        verdict["reason"] = {name: row["reason"][name] for name in parts if name in row["reason"]}


def _verdict(message: Message, row: dict[str, Any] | None, leased: bool, run_id: str) -> Kind:
    if row is not None and (row["status"] in _BY_STATUS or _in_other_hands(row, leased, run_id)):
        return _BY_STATUS.get(row["status"], "left")
    message_types.validate(message.type, message.payload)
    message_types.check_age(message)
    if row is None or _was_only_noted(row):
        raise UnknownMessage
    if row["redrives"] >= row.get("redrive_limit", settings().max_redrives):
        raise RedriveLimitReached
    return "redrive"


def _in_other_hands(row: dict[str, Any], leased: bool, run_id: str) -> bool:
    """Tell whether this copy is not the one to send: another is under way.

    A worker has it just now, a person sent it from the ledger, or this very run redrove it and it
    died again: once a run, or a run would burn all its redrives.
    """
    mark = str(row.get("redrive_mark", ""))
    return (
        leased
        or (
            row["status"] == Status.REDRIVEN
            and mark.startswith(conditions.BY_HAND)
            and row.get("trouble") != Trouble.DEAD  # the work queue lost that one
        )
        or (run_id != "" and mark.startswith(f"{run_id}#"))  # a plan has no run
    )


def _is_leased(row: dict[str, Any]) -> bool:
    return row["status"] == Status.PROCESSING and lookup.is_leased(row)


def _was_only_noted(row: dict[str, Any]) -> bool:
    # By a run that left it out. Whoever redrove or edited it since has vouched for it.
    return (
        row.get("reason", {}).get("type") == UnknownMessage.__name__
        and not row["redrives"]
        and "superseded_hashes" not in row
    )


def _because(verdict: Verdict, error: Exception) -> Verdict:
    verdict["reason"] = reason_of(error)
    return verdict


def is_found_again(row: dict[str, Any]) -> bool:
    """Tell whether a message was taken for lost that SQS itself had moved to this queue."""
    return row.get("status") in _UNNOTED and row.get("trouble") == Trouble.DEAD


def foreign_id(letter: DeadLetter) -> str:
    """Return under which id the ledger has a dead letter that is not a message of ours."""
    return FOREIGN_PREFIX + letter["MessageId"]


def group_of(letter: DeadLetter) -> str:
    """Return the message group of a dead letter."""
    return letter.get("Attributes", {}).get("MessageGroupId", "")


def sent_at(letter: DeadLetter) -> str:
    """Return when SQS took a dead letter, as the ledger writes times."""
    # Of a message on the dead-letter queue, when it came there: from then on its retention counts.
    sent = letter.get("Attributes", {}).get("SentTimestamp", "")
    if not sent.isdigit():
        return clock.now()
    return clock.text(datetime.fromtimestamp(int(sent) / 1_000, UTC))

"""Retries by hand: a message in trouble is sent again now, and counted once.

A retry is an outbox: one transaction guards the message and notes it as `SENDING`, then its copy is
sent, then the note is removed. Whoever stops in between leaves a row that says so, and the same
bytes are sent under the same deduplication id by whoever asks again, or by the sweep. The copy that
still lies on the dead-letter queue is deleted by the run that meets it.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from workflows.ledger import audit, conditions, journey, large, lookup, trouble, writes
from workflows.ledger.audit import Actor
from workflows.ledger.status import Status, Trouble
from workflows.messages.carried import Carried
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE, deduplication_id, queue_of
from workflows.messages.limits import RedriveLimitReached
from workflows.operator import mend
from workflows.operator.bulk import Selection
from workflows.queues.letters import MESSAGE_GROUP, hash_of
from workflows.runtime import clock, telemetry
from workflows.runtime.asked import Asked
from workflows.runtime.aws import dynamodb, plain, sqs, transact
from workflows.runtime.parts import Parts
from workflows.runtime.refusals import Conflict

# Between the guard and the end of SendMessage lie seconds; after this long nobody is at it.
SENDING_SECONDS = 60


class ResetNeeded(Conflict):
    """A quarantined message is sent again only with `reset_redrives`: it gets a new budget."""

    code = "reset_needed"


class RetryRequest(Asked):
    """`reset_redrives` gives the message a new budget of redrives, of which this is the first."""

    reset_redrives: bool = Field(default=False, examples=[True])


class RetrySelection(Selection):
    """Those to send again now."""

    reset_redrives: bool = Field(default=False, examples=[False])


def retry(message_id: str, request: RetryRequest, actor: Actor) -> dict[str, Any]:
    """Send a dead or quarantined message to the work queue now; return its row as it is then.

    Asking again for one that was guarded and perhaps not sent sends the same copy again.

    Raises:
        workflows.ledger.lookup.MessageNotFound: the ledger has none.
        workflows.ledger.transitions.NotInTrouble: it is neither dead nor quarantined.
        ResetNeeded: it is quarantined, and the request does not reset its redrives.
        workflows.messages.limits.RedriveLimitReached: likewise of a dead one that is out of
            redrives.
        workflows.operator.mend.ForeignMessage: it has no envelope.
        workflows.ledger.transitions.BeingTried: its last try may not have ended.
        workflows.operator.mend.BodyMissing: its body is not in the ledger.
        workflows.queues.registry.UnknownQueue: its queue is not registered any more.
        workflows.operator.mend.MessageChanged: somebody else was faster.
    """
    about: dict[str, Any] = {"input": request.model_dump(), "message_id": message_id}
    row = lookup.get(message_id)
    if not _is_outgoing(row):
        _check_retry(row, request)
        refused = transact(
            [
                _guard(row, request, actor),
                audit.entry(actor, "retry_message", result=Status.REDRIVEN, **about),
            ]
        )
        if refused is None:
            telemetry.count("MessagesReprocessed")
            return _send(row | {"status": Status.REDRIVEN, "redrives": row["redrives"] + 1})
        row = large.whole(plain(refused[0]))
        if not _is_outgoing(row):
            raise mend.meanwhile(row, "retried")
    audit.unchanged(actor, "retry_message", **about)
    return _send(row)


def finish_sending() -> list[str]:
    """Send what was guarded over a minute ago and perhaps never sent; return the message ids.

    Raises:
        Exception: the first failure, after all others were tried.
    """
    begun = datetime.fromisoformat(clock.now()) - timedelta(seconds=SENDING_SECONDS)
    sent: list[str] = []
    parts = Parts()  # one that SQS refuses holds up no other
    for found in trouble.every(Trouble.SENDING, Filter()):
        if datetime.fromisoformat(found["updated_at"]) > begun:
            break  # the oldest come first
        if parts.do(_finish, found["message_id"]):
            sent.append(found["message_id"])
    parts.end()
    return sent


def _is_outgoing(row: dict[str, Any]) -> bool:
    return row.get("status") == Status.REDRIVEN and row.get("trouble") == Trouble.SENDING


def _check_retry(row: dict[str, Any], request: RetryRequest) -> None:
    mend.check(row, "retried")
    mend.queue_of_row(row)  # before anything is guarded that could not be sent
    if request.reset_redrives:
        return
    if row["status"] == Status.QUARANTINED:
        raise ResetNeeded
    if not lookup.redrives_left(row):
        raise RedriveLimitReached(
            f"Message {row['message_id']} was redriven {row['redrives']} times, as often as it may"
            " be; `reset_redrives` gives it a new budget."
        )


def _guard(row: dict[str, Any], request: RetryRequest, actor: Actor) -> dict[str, Any]:
    """Count the redrive by a condition, so that of two at once one counts."""
    redrives = int(row["redrives"]) + 1
    limit = {":limit": mend.new_limit(row)} if request.reset_redrives else {}
    # By it a run knows that an older copy has its edited body on the way.
    edited = queue_of(row["message_id"]) != DEFAULT_QUEUE and "superseded_hashes" in row
    sent = {":sent": hash_of(row["body"])} if edited else {}
    return mend.change(
        row,
        journey.event("retried", by=actor.email, number=redrives),
        "#status = :redriven, trouble = :sending, listed = :listed, redrives = :next,"
        " attempts = :zero, redrive_mark = :mark, updated_at = :now"
        + (", redrive_limit = :limit" if limit else "")
        + (", sent_hash = :sent" if sent else ""),
        {
            ":next": redrives,
            ":zero": 0,
            ":mark": f"{conditions.BY_HAND}{redrives}",
        }
        | limit
        | sent,
        removes="redriven_by, lease_until, expires_at",
    )


def _send(row: dict[str, Any]) -> dict[str, Any]:
    """Send a guarded message's copy; under one deduplication id SQS takes two for one."""
    message_id, redrives = row["message_id"], int(row["redrives"])
    queue = mend.queue_of_row(row)
    group = row.get(MESSAGE_GROUP, row["group_id"])
    where: dict[str, Any] = {"MessageGroupId": group} if group else {}
    if queue.fifo:
        where["MessageDeduplicationId"] = deduplication_id(message_id, redrives)
    sqs().send_message(
        QueueUrl=queue.source_url,
        MessageBody=row["body"],
        **where,
        **Carried.beside(row).arguments(),
    )
    _note_sent(message_id, redrives)
    large.let_expire(row)
    return row


def _finish(message_id: str) -> bool:
    row = lookup.get(message_id)
    if _is_outgoing(row):
        _send(row)
        return True
    # A worker has it, so a copy had arrived; or the index was behind.
    _note_sent(message_id, int(row["redrives"]))
    return False


def _note_sent(message_id: str, redrives: int) -> None:
    # SQS has the copy, so a row that stays held is no failure: it says SENDING until the claim of
    # the copy, or until the sweep, which sends the same once more.
    # Of a registered queue's message nobody tells what becomes of it, so it may be forgotten.
    is_ours = queue_of(message_id) == DEFAULT_QUEUE
    expires: dict[str, Any] = {} if is_ours else {":expires_at": writes.expiry()}
    with suppress(dynamodb().exceptions.TransactionConflictException):
        writes.update(
            message_id,
            f"SET updated_at = :now{', expires_at = :expires_at' if expires else ''}"
            " REMOVE trouble, listed",
            "attribute_exists(#status) AND trouble = :sending AND redrives = :redrives",
            {":redrives": redrives} | expires,
        )

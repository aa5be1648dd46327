"""Statuses: where a message can be, and every way from one to another.

`TRANSITIONS` is the table: who moves a message, from where, to where, and under which condition
beside the status. Nothing else may happen to a row: the tests hold the code's and the machines'
writes to it, and every row that changes in any test on moto.

The statuses of one message are a line with a loop: `ACCEPTED → PROCESSING → PROCESSED`;
a failed one goes `PROCESSING → RETRYING → PROCESSED`, or `→ DEAD → REDRIVEN → PROCESSING` again.
"""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a message is."""

    __repr__ = str.__repr__  # errors name the values as a client writes them

    ACCEPTED = "ACCEPTED"
    """Recorded, and sent to the work queue, or about to be."""
    QUEUED = "QUEUED"
    """Sent again by its producer: SQS is known to have it."""
    PROCESSING = "PROCESSING"
    """Claimed by a worker, under a lease."""
    RETRYING = "RETRYING"
    """With the retry machine, at the head of its group."""
    PARKED = "PARKED"
    """Behind the fence of its group."""
    DEAD = "DEAD"
    """On the dead-letter queue."""
    REDRIVEN = "REDRIVEN"
    """Sent, or about to be sent, to the work queue once more."""
    QUARANTINED = "QUARANTINED"
    """In the ledger and on no queue, until a person decides."""
    PROCESSED = "PROCESSED"
    """It had its effect. The end."""
    DISCARDED = "DISCARDED"
    """Given up by a person. The end."""


class Trouble(StrEnum):
    """The key of the sparse index by which messages in trouble are found (`trouble` of a row).

    Mostly the status. A row listed as `DEAD` may have another one: a run let go of it, or a queue
    lost it. The last two are shown to nobody.
    """

    __repr__ = str.__repr__

    DEAD = "DEAD"
    QUARANTINED = "QUARANTINED"
    RETRYING = "RETRYING"
    REDRIVING = "REDRIVING"
    """Counted by a run, and claimed by no worker since: perhaps not sent yet."""
    SENDING = "SENDING"
    """Sent again by a person, as soon as the sending is known to have happened."""


# In no index: what is retried holds its group's fence, and a run's record tells what it has sent.
UNLISTED = (Trouble.RETRYING, Trouble.REDRIVING)

# Instead of a status, of a message of which the ledger has no row any more.
GONE = "GONE"

# Sent, and claimed by nobody since.
SENT = (Status.ACCEPTED, Status.QUEUED, Status.REDRIVEN)
# A copy is, or was, with the work queue or a worker: SQS itself may have moved or lost it.
UNDER_WAY = (*SENT, Status.PROCESSING)
# Nothing will happen to it by itself; a person or a run decides.
AT_REST = (Status.DEAD, Status.QUARANTINED)


@dataclass(frozen=True)
class Transition:
    """One way of a message from a status to another.

    `before` is where it comes from, empty where a row is made; `after` is None where the status
    stays and only `listed`, the trouble under which the index has it then, changes. `by` says who,
    `where` in which function or state, `when` under which further condition.
    """

    name: str
    by: str
    before: tuple[Status, ...]
    after: Status | None
    listed: Trouble | None
    where: str
    when: str


_S, _T = Status, Trouble
_MENDABLE = (*AT_REST, *UNDER_WAY)

# fmt: off
TRANSITIONS = (
    Transition("accept", "producer", (),
               _S.ACCEPTED, None, "transitions.accept",
               "no row has this id"),
    Transition("queue", "producer", (_S.ACCEPTED,),
               _S.QUEUED, None, "transitions.queued",
               "sent again under its id, while nobody had claimed it"),
    Transition("send again", "producer", (*UNDER_WAY, _S.DEAD),
               _S.ACCEPTED, None, "lost.send_again",
               "listed as DEAD, on no queue any more, and as it was read"),
    Transition("enter", "consumer", (),
               _S.PROCESSING, None, "claims.claim",
               "a message that came past the API has no row yet"),
    Transition("claim", "consumer", UNDER_WAY,
               _S.PROCESSING, None, "claims.claim",
               "the same message; nobody has it on lease; of a PROCESSING one the same delivery"),
    Transition("claim moved", "consumer", (_S.DEAD, _S.PROCESSING),
               _S.PROCESSING, None, "claims.claim",
               "SQS's own redrive moved it: the same body, no lease, redrives as read and some"
               " left"),
    Transition("process", "consumer, retry machine", tuple(_S),
               _S.PROCESSED, None, "transitions.processed",
               "none: the effect is had, and nothing undoes it"),
    Transition("park", "consumer", (_S.PROCESSING,),
               _S.PARKED, None, "fence.park",
               "this very claim; the fence exists"),
    Transition("retry", "consumer", (_S.PROCESSING,),
               _S.RETRYING, _T.RETRYING, "fence.retrying",
               "this very claim; the fence is the message's or new"),
    Transition("die", "consumer", (_S.PROCESSING,),
               _S.DEAD, _T.DEAD, "fence.dead",
               "this very claim; the fence is the message's or new; its dead letter is sent"),
    Transition("exhaust", "consumer", (_S.DEAD, _S.PROCESSING),
               _S.QUARANTINED, _T.QUARANTINED, "transitions.quarantine",
               "SQS's own redrive moved it: no redrives left, no lease, this very attempt"),
    Transition("promote", "retry machine", (_S.PARKED,),
               _S.RETRYING, _T.RETRYING, "retry.asl.json PromoteParked",
               "holder and generation are this execution's; it is parked there"),
    Transition("give up", "retry machine", (_S.RETRYING,),
               _S.DEAD, _T.DEAD, "retry.asl.json MarkDead",
               "this very attempt, and no copy met since it was read; its dead letter is sent"),
    Transition("redrive", "redrive run", (_S.DEAD, _S.REDRIVEN),
               _S.REDRIVEN, _T.REDRIVING, "statements.redrive",
               "redrives, attempt and body as judged, and redrives left"),
    Transition("redrive unnoted", "redrive run", UNDER_WAY,
               _S.REDRIVEN, None, "statements.redrive",
               "the same; SQS had moved it to the dead-letter queue, and nobody noted that"),
    Transition("redrive unmet", "redrive run", (),
               _S.REDRIVEN, _T.REDRIVING, "statements.redrive",
               "of a registered queue, and no row has this id"),
    Transition("store", "redrive run", (_S.DEAD, *UNDER_WAY),
               _S.QUARANTINED, _T.QUARANTINED, "statements.quarantine",
               "status, redrives, attempt and body as judged"),
    Transition("store unknown", "redrive run", (),
               _S.QUARANTINED, _T.QUARANTINED, "statements.quarantine",
               "no row has this id"),
    Transition("note", "redrive run", UNDER_WAY,
               _S.DEAD, _T.DEAD, "statements.note_dead",
               "left out by the filter, and not known to be dead: status, redrives, attempt as"
               " judged"),
    Transition("note unknown", "redrive run", (),
               _S.DEAD, _T.DEAD, "statements.note_dead",
               "the same, and no row has this id"),
    Transition("let go", "redrive run", (_S.REDRIVEN,),
               _S.DEAD, _T.DEAD, "statements.let_go",
               "not sent: noted as REDRIVING under this number of redrives, by this run"),
    Transition("abandon", "sweep", (_S.REDRIVEN,),
               None, _T.DEAD, "let_go.recover",
               "noted as REDRIVING by a run that ended without a word, in a turn that its record"
               " does not have as settled: sent or not, nobody knows"),
    Transition("lose", "sweep", UNDER_WAY,
               None, _T.DEAD, "lost.note",
               "not written for longer than the work queue keeps a message"),
    Transition("retry now", "operator", _MENDABLE,
               _S.REDRIVEN, _T.SENDING, "retry_by_hand.retry",
               "in trouble, nobody has it on lease, and as it was read"),
    Transition("sent", "operator, sweep", (_S.REDRIVEN,),
               None, None, "retry_by_hand.retry",
               "SQS took it: listed as SENDING under this number of redrives"),
    Transition("discard", "operator", _MENDABLE,
               _S.DISCARDED, None, "transitions.discarded",
               "listed as dead or quarantined and on no lease, or left by a worker long ago"),
)
# fmt: on


def moves() -> set[tuple[Status | None, Status]]:
    """Return every pair of statuses, before and after, that the table allows; None is no row."""
    return {
        (before, step.after)
        for step in TRANSITIONS
        if step.after is not None
        for before in (step.before or (None,))
    }


def listings() -> set[tuple[Status, Trouble | None]]:
    """Return under which trouble a row of each status may be listed."""
    stays = {(at, step.listed) for step in TRANSITIONS if step.after is None for at in step.before}
    return stays | {(step.after, step.listed) for step in TRANSITIONS if step.after is not None}

"""The statements of a run's guard: PartiQL, which `GuardLoop` only fills with bodies and executes.

Each is one conditional write. Beside what is wanted, its condition names what makes the row the one
that was judged: redrives, `attempts_total`, which grows with every claim, and payload hash or
status; so a statement that comes late finds another row and does nothing. Which status may become
which is in `workflows/ledger/status.py`.

DynamoDB takes at most 25 statements at once, and none that names an item twice, or it refuses all:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html
"""

from collections.abc import Iterable
from typing import Any

from workflows.ledger import journey, writes
from workflows.ledger.status import TRANSITIONS, Status, Trouble
from workflows.queues.queue import Queue
from workflows.redrive import counters, run_lock, settled
from workflows.redrive.columns import Turn, in_trouble, listed, met, of_letter
from workflows.redrive.lane import Guarded, Lane
from workflows.redrive.partiql import Mark, Statement, Where, insert, update
from workflows.redrive.verdict import DeadLetter, Verdict
from workflows.runtime import clock, shards
from workflows.runtime.settings import settings

_NEVER_REDRIVEN = sorted(
    set(Status)
    - {at for step in TRANSITIONS if step.name.startswith("redrive") for at in step.before}
)


def of(verdict: Verdict, letter: DeadLetter, turn: Turn) -> Statement | None:
    """Return what a verdict writes; None where it writes nothing.

    Args:
        verdict: on the dead letter.
        letter: the dead letter.
        turn: who writes.
    """
    match verdict["verdict"]:
        case "redrive":
            return redrive(verdict, letter, turn)
        case "quarantine":
            return quarantine(verdict, letter, turn)
        case "left" if verdict["unnoted"]:
            return note_dead(verdict, letter, turn)
    return None


def redrive(verdict: Verdict, letter: DeadLetter, turn: Turn) -> Statement:
    """Return the guard of a redrive: it counts, and cannot pass beyond the limit."""
    if not verdict["known"]:
        return _redrive_unmet(verdict, letter, turn)
    # What nobody noted as dead was in no list, and is not let go of into one. Of a registered queue
    # it has to be: else what SQS refused would be taken for sent, and deleted by the next run.
    unlisted = verdict["unnoted"] and turn.queue.is_default
    noted = {} if unlisted else {"trouble": Trouble.REDRIVING}
    events = [_died(verdict, turn)] if verdict["unnoted"] else []
    statement = update(
        settings().messages_table,
        [
            *_is_the_judged(verdict),
            ("redrives", "<", verdict["redrive_limit"]),
            ("payload_hash", "=", verdict["payload_hash"]),
            *(("status", "<>", status) for status in _NEVER_REDRIVEN),
        ],
        sets={
            "status": Status.REDRIVEN,
            **noted,
            "redrive_mark": turn.mark,
            "redriven_by": shards.key(turn.run_id, verdict["ledger_id"]),
            "attempts": 0,
            "updated_at": clock.now(),
            **of_letter(letter, turn),
            # Nobody tells how it ends, so it may be forgotten one day.
            **({} if turn.queue.is_default else {"expires_at": writes.expiry()}),
            **({"sent_hash": verdict["sent_hash"]} if "sent_hash" in verdict else {}),
        },
        appends={
            "execution_arns": [turn.execution_arn],
            "journey": [*events, _redriven(verdict, turn)],
        },
        also='SET "redrives"="redrives"+1 REMOVE "listed"',
    )
    return statement | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def quarantine(verdict: Verdict, letter: DeadLetter, turn: Turn) -> Statement:
    """Return what stores a message that is not redriven, with body and reason."""
    stored = journey.event("quarantined", run_id=turn.run_id, reason_type=verdict["reason"]["type"])
    if not verdict["known"]:
        return _new_row(verdict, letter, turn, Trouble.QUARANTINED, [journey.event("dead"), stored])
    # Nobody but this run tells of it that it came back.
    came_back = verdict["unnoted"] and not turn.queue.is_default
    events = [journey.event("dead"), stored] if came_back else [stored]
    return update(
        settings().messages_table,
        [
            *_is_the_judged(verdict),
            ("payload_hash", "=", verdict["payload_hash"]),
            ("status", "=", verdict["status"]),
        ],
        sets=in_trouble(verdict, letter, turn, Trouble.QUARANTINED),
        appends={"journey": events},
        also='REMOVE "expires_at"',
    )


def note_dead(verdict: Verdict, letter: DeadLetter, turn: Turn) -> Statement:
    """Return what lists a message as dead that the run leaves, and that nobody has listed."""
    if not verdict["known"]:
        return _new_row(verdict, letter, turn, Trouble.DEAD, [_died(verdict, turn)])
    # A registered queue's row has the body of a person that edited it since it was judged.
    body = [] if turn.queue.is_default else [("payload_hash", "=", verdict["payload_hash"])]
    return update(
        settings().messages_table,
        [*_is_the_judged(verdict), *body, ("status", "=", verdict["status"])],
        sets=in_trouble(verdict, letter, turn, Trouble.DEAD) | {"dead_at": verdict["dead_at"]},
        appends={"journey": [_died(verdict, turn)]},
        also='REMOVE "expires_at"',
    )


def let_go(guarded: Guarded, run_id: str) -> Statement:
    """Return what makes a message dead again that was guarded and not sent; the count stays."""
    return update(
        settings().messages_table,
        [
            ("message_id", "=", guarded.id),
            ("redrives", "=", guarded.redrives),
            ("trouble", "=", Trouble.REDRIVING),
            ("redriven_by", "=", shards.key(run_id, guarded.id)),
        ],
        sets={"status": Status.DEAD} | listed(Trouble.DEAD, guarded.id),
        appends={"journey": [journey.event("let_go", run_id=run_id)]},
        also='REMOVE "redriven_by" REMOVE "expires_at"',
    )


def renew_lease(run_id: str, queue: Queue) -> Statement:
    """Return what prolongs the run's lock; its condition fails when the run has lost it.

    It goes with every wave of a batch, and prolongs from then on.
    """
    return update(
        settings().runs_table,
        [("run_id", "=", run_lock.key(queue)), ("holder", "=", run_id)],
        sets={"lease_until": Mark("seconds", settings().run_lease_seconds)},
    )


def note_progress(run_id: str, lanes: Iterable[Lane], *, briefly: bool = False) -> Statement:
    """Return what writes how far lanes are; its condition fails when the run was cancelled.

    `briefly` says nothing of what a lane has settled that has something unsent: what was noted of
    it before stands, which is less.
    """
    lanes = list(lanes)
    noted = [lane for lane in lanes if not (briefly and lane.unsent)]
    return update(
        settings().runs_table,
        [("run_id", "=", run_id), ("status", "=", "RUNNING")],
        sets=counters.columns(lanes) | settled.columns(noted),
    )


def note_unsettled(run_id: str, lane: Lane) -> Statement:
    """Return what notes, however the run goes, which messages a lane has perhaps not sent."""
    return update(
        settings().runs_table,
        [("run_id", "=", run_id)],
        sets=settled.columns([lane]),
        also=f'REMOVE "{settled.LET_GO_AT}"',
    )


def _new_row(
    verdict: Verdict,
    letter: DeadLetter,
    turn: Turn,
    trouble: Trouble,
    events: list[dict[str, Any]],
) -> Statement:
    columns = (
        met(verdict, letter, turn, events)
        | in_trouble(verdict, letter, turn, trouble)
        | {"redrives": 0}
    )
    return insert(settings().messages_table, columns)


def _redrive_unmet(verdict: Verdict, letter: DeadLetter, turn: Turn) -> Statement:
    """Return the guard of a message's first redrive, of which the ledger has no row: it makes it.

    A second try, after an answer that was lost, is refused: the message is let go of, and stays for
    the next run with one redrive used up.
    """
    events = [_died(verdict, turn), _redriven(verdict, turn)]
    columns = met(verdict, letter, turn, events) | {
        "status": Status.REDRIVEN,
        "trouble": Trouble.REDRIVING,
        "reason": verdict["reason"],
        "redrives": 1,
        "redrive_mark": turn.mark,
        "redriven_by": shards.key(turn.run_id, verdict["ledger_id"]),
        "updated_at": clock.now(),
        "expires_at": writes.expiry(),
        **of_letter(letter, turn),
    }
    return insert(settings().messages_table, columns)


def _died(verdict: Verdict, turn: Turn) -> dict[str, Any]:
    return journey.event("dead", run_id=turn.run_id, reason_type=verdict["reason"]["type"])


def _redriven(verdict: Verdict, turn: Turn) -> dict[str, Any]:
    number, elsewhere = verdict["redrives"] + 1, turn.queue.destination or None
    return journey.event("redriven", run_id=turn.run_id, number=number, destination=elsewhere)


def _is_the_judged(verdict: Verdict) -> Where:
    return [
        ("message_id", "=", verdict["ledger_id"]),
        ("redrives", "=", verdict["redrives"]),
        ("attempts_total", "=", verdict["attempts_total"]),
    ]

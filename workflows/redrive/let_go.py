"""Letting go: what is `REDRIVEN` and on no queue, or perhaps on none, is dead again for people.

The guard of a run notes a message as `REDRIVING`. The run removes that note from what SQS took, and
lets go by itself of what SQS refused; the consumer's claim removes it as well. So what still has
the note when its run failed or was stopped may or may not have been sent. Either way it may be
mended like any dead letter: it is listed as `DEAD` while its status stays `REDRIVEN`, under which
the consumer claims a copy that does come, with its old count.

What was sent and that the work queue then lost is found by `workflows/ledger/lost.py`.
"""

from typing import Any

from workflows.ledger import journey, lookup, trouble, writes
from workflows.ledger.status import Trouble
from workflows.redrive import runs

_CHUNK = 100


def recover() -> list[str]:
    """Let go of what ended runs have left guarded; return the message ids.

    A run that closed its record itself has let go of all that was not sent: what it left is on the
    work queue.
    """
    let_go: list[str] = []
    abandoned: dict[str, bool] = {}
    chunk: list[str] = []
    for row in trouble.read_all(Trouble.REDRIVING, ["message_id"]):
        chunk.append(str(row["message_id"]))
        if len(chunk) == _CHUNK:
            let_go += _let_go(chunk, abandoned)
            chunk = []
    return let_go + _let_go(chunk, abandoned)


def _let_go(message_ids: list[str], abandoned: dict[str, bool]) -> list[str]:
    """Let go of those of at most 100 messages whose run is, by `abandoned` or the table, gone."""
    rows = lookup.get_many(message_ids)
    found = []
    for row in rows.values():
        run_id = lookup.run_of(row)
        if run_id is None:
            continue  # let go of, or sent by hand, since the index was read
        if run_id not in abandoned:
            abandoned[run_id] = runs.was_abandoned(run_id)
        event = journey.event("let_go", run_id=run_id)
        if abandoned[run_id] and _mark_dead(row, event):
            found.append(str(row["message_id"]))
    return found


def _mark_dead(row: dict[str, Any], event: dict[str, Any]) -> bool:
    won, _ = writes.update(
        row["message_id"],
        f"SET trouble = :dead, listed = :listed, updated_at = :now, {journey.APPEND}",
        "#status = :redriven AND redrives = :redrives AND trouble = :redriving",
        {":redrives": row["redrives"]} | journey.values(event),
    )
    return won

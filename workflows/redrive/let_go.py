"""Letting go: what is `REDRIVEN` and on no queue, or perhaps on none, is dead again for people.

The guard of a run notes a message as `REDRIVING`, in no list; a worker's claim removes that. The
run lets go by itself of what SQS refused. What a run that failed or was stopped has guarded in a
turn of which its record does not say that it is settled, may or may not have been sent. Either way
it may be mended like any dead letter: it is listed as `DEAD` while its status stays `REDRIVEN`,
under which the consumer claims a copy that does come, with its old count.

What was sent and that the work queue then lost is found by `workflows/ledger/lost.py`.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from workflows.ledger import journey, lookup, writes
from workflows.ledger.status import Trouble
from workflows.redrive import outcome, runs, settled
from workflows.redrive.settled import Settled
from workflows.runtime import clock
from workflows.runtime.aws import dynamodb
from workflows.runtime.settings import settings

_CHUNK = 100
# A lane that outlives its run is over after five minutes, and the index has its rows soon after.
_OVER_SECONDS = 900


def recover() -> list[str]:
    """Let go of what ended runs have left guarded; return the message ids.

    A run that closed its record itself has let go of all that was not sent: what it left is on the
    work queue. One that did not is looked at by each sweep until nothing of it can come any more.
    """
    let_go: list[str] = []
    for row in runs.abandoned():
        if settled.LET_GO_AT not in row:
            let_go += _let_go(str(row["run_id"]))
    return let_go


def _let_go(run_id: str) -> list[str]:
    row = runs.find(run_id)  # as it is: the index is a moment behind
    if row is None:
        return []
    known = settled.of(row)
    # The index may be behind, too, and what was not sent need not be in it yet.
    open_ids = known.all_unsent | {
        str(one["message_id"])
        for one in outcome.redriven_by(run_id)
        if known.is_open(str(one.get("redrive_mark", "")), str(one["message_id"]))
    }
    found = [one for chunk in _chunks(sorted(open_ids)) for one in _mark_all(chunk, run_id, known)]
    if clock.seconds_since(row["finished_at"]) > _OVER_SECONDS:
        _note_done(run_id)
    return found


def _chunks(message_ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(message_ids)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _mark_all(message_ids: list[str], run_id: str, known: Settled) -> Iterator[str]:
    """List those of at most 100 messages as dead that a run guarded last; yield their ids."""
    event = journey.event("let_go", run_id=run_id)
    for row in lookup.get_many(message_ids).values():
        message_id = str(row["message_id"])
        if (
            row.get("trouble") == Trouble.REDRIVING
            and lookup.run_of(row) == run_id  # else another one guarded it since
            and known.is_open(str(row.get("redrive_mark", "")), message_id)
            and _mark_dead(row, event)
        ):
            yield message_id


def _mark_dead(row: dict[str, Any], event: dict[str, Any]) -> bool:
    won, _ = writes.update(
        row["message_id"],
        f"SET trouble = :dead, listed = :listed, updated_at = :now, {journey.APPEND}"
        " REMOVE expires_at",
        "#status = :redriven AND redrives = :redrives AND trouble = :redriving",
        {":redrives": row["redrives"]} | journey.values(event),
    )
    return won


def _note_done(run_id: str) -> None:
    with suppress(dynamodb().exceptions.ConditionalCheckFailedException):  # it was forgotten
        dynamodb().update_item(
            TableName=settings().runs_table,
            Key={"run_id": run_id},
            UpdateExpression=f"SET {settled.LET_GO_AT} = :now",
            ConditionExpression="attribute_exists(finished_at)",
            ExpressionAttributeValues={":now": clock.now()},
        )

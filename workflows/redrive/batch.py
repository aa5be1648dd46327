"""One batch of dead letters: the verdicts on them, and all that its guard writes."""

from dataclasses import replace
from typing import Any, TypedDict

from workflows.messages import ids
from workflows.queues.queue import Queue
from workflows.redrive import in_flight, statements, turns
from workflows.redrive.columns import Turn
from workflows.redrive.in_flight import LEFT_SECONDS
from workflows.redrive.judge import Judge
from workflows.redrive.lane import Lane
from workflows.redrive.requests import RedriveRequest
from workflows.redrive.verdict import DeadLetter, Verdict


class Entry(TypedDict, total=False):
    """An entry of SendMessageBatch, without what only the machine has: body and attributes."""

    Id: str
    MessageGroupId: str
    MessageDeduplicationId: str
    MessageSystemAttributes: dict[str, dict[str, str]]
    MessageBody: str
    MessageAttributes: dict[str, dict[str, str]]


def guarded(
    turn: Turn, lane: Lane, messages: list[DeadLetter], judged: list[Verdict]
) -> dict[str, Any]:
    """Return what the machine goes on with, of the verdicts on a batch.

    That is {verdicts, common, lane}: how the machine acts on each message, as `_shown` has it, in
    the order in which the statements are executed; and the statements that are the run's, of its
    lease and its progress, which go with every wave.

    Args:
        turn: whose the batch is.
        lane: which was asked to deal with the batch.
        messages: the batch, at most ten messages as SQS gave them.
        judged: the verdicts on them, in their order.
    """
    turn = replace(turn, mark=lane.mark)
    shown = [_shown(v, messages[v["index"]], turn) for v in judged]
    writing = [v for v in shown if "statement" in v]
    # Beside bodies to store there is no room for ids.
    has_bodies = any(judged[one["index"]]["verdict"] != "redrive" for one in writing)
    return {
        "verdicts": [*writing, *(v for v in shown if "statement" not in v)],
        "common": [
            statements.renew_lease(turn.run_id, turn.queue),
            statements.note_progress(turn.run_id, [lane], briefly=has_bodies),
        ],
        "lane": lane.model_dump(),
    }


def ask(
    turn: Turn, lane: Lane, request: RedriveRequest, messages: list[DeadLetter]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Judge a batch; return what is to be done with it, as `guarded` does, and what to log of it.

    Args:
        turn: whose the batch is.
        lane: which received it; what it is asked to do is noted in it.
        request: of the run.
        messages: the batch, at most ten messages as a state has them.
    """
    looks = lane.only_looks
    judged = Judge(turn.run_id, request.filter, turn.queue, looks=looks).judge(messages)
    handles = _left(messages, judged)
    if handles:
        in_flight.note(turn.run_id, turn.queue, lane.number, lane.records, handles)
        lane.records += 1
    turns.ask(lane, judged, turn.run_id)
    told: dict[str, Any] = {"verdicts": [verdict["verdict"] for verdict in judged]}
    told |= {"trace_ids": [verdict["trace_id"] for verdict in judged]}
    return guarded(turn, lane, messages, judged), told


def _left(messages: list[DeadLetter], judged: list[Verdict]) -> list[str]:
    """Return the receipt handles of the messages that a run leaves in flight."""
    return [
        messages[verdict["index"]]["ReceiptHandle"]
        for verdict in judged
        if verdict["verdict"] == "left"
    ]


def _shown(verdict: Verdict, letter: DeadLetter, turn: Turn) -> dict[str, Any]:
    """Return how the machine acts on one message.

    `id` is its entry's in all batches, `index` its place among the messages, `wave` its turn, and
    `hold` for how many seconds it stays in flight if it is not dealt with. It has a `statement` if
    the ledger is to be asked or told, an `entry` if it is to be sent, and its `group` if one that
    is behind it must not overtake it.
    """
    index = verdict["index"]
    shown: dict[str, Any] = {"id": str(index), "index": index, "wave": verdict["wave"], "hold": 0}
    if verdict["verdict"] == "left":
        shown["hold"] = LEFT_SECONDS
    else:
        shown["group"] = verdict["group"]
    if verdict["verdict"] == "redrive":
        shown["entry"] = _entry(verdict, letter, turn.queue)
    statement = statements.of(verdict, letter, turn)
    return shown if statement is None else shown | {"statement": statement}


def _entry(verdict: Verdict, letter: DeadLetter, queue: Queue) -> Entry:
    entry: Entry = {"Id": str(verdict["index"])}
    group = letter.get("Attributes", {}).get("MessageGroupId")
    if queue.fifo:
        number = verdict["redrives"] + 1
        entry["MessageGroupId"] = verdict["group"]
        entry["MessageDeduplicationId"] = ids.deduplication_id(verdict["ledger_id"], number)
    elif group:  # which a standard queue's may have too
        entry["MessageGroupId"] = group
    trace = letter.get("Attributes", {}).get("AWSTraceHeader")
    if trace:
        header = {"DataType": "String", "StringValue": trace}
        entry["MessageSystemAttributes"] = {"AWSTraceHeader": header}
    if "body" in verdict:
        entry["MessageBody"] = verdict["body"]
    if "attributes" in verdict:
        entry["MessageAttributes"] = verdict["attributes"]
    return entry

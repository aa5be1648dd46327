"""What ValidateMessages answered, with verdicts that are no longer, or never were, the ledger's."""

import os
from typing import Any
from unittest import mock

from tests.support.cloud import ENVIRONMENT, forget
from workflows.messages.envelope import Message
from workflows.queues.queue import default
from workflows.redrive import batch
from workflows.redrive.columns import Turn
from workflows.redrive.lane import Lane
from workflows.redrive.turns import ask
from workflows.redrive.verdict import Verdict


def judged(message: Message, **fields: Any) -> Verdict:
    """Return the verdict on a dead message that was tried once; `fields` are other than usual."""
    verdict: Any = {
        "verdict": "redrive",
        "left_because": "",
        "index": 0,
        "group_id": message.group_id,
        "group": message.group_id,
        "wave": 0,
        "ledger_id": message.message_id,
        "known": True,
        "unnoted": False,
        "status": "DEAD",
        "redrives": 0,
        "redrive_limit": 3,
        "attempts_total": 1,
        "reason": {"type": "", "message": ""},
        "type": message.type,
        "first_sent_at": message.first_sent_at_text,
        "dead_at": message.first_sent_at_text,
        "payload_hash": message.payload_hash,
        "trace_id": message.trace_id,
    }
    found: Verdict = verdict | fields
    return found


def answer(stack: Any, run_id: str, *verdicts: Verdict) -> list[dict[str, Any]]:
    """Return the mock of an answer with these verdicts to the run's first batch."""
    own = {
        "MESSAGES_TABLE": stack.outputs["MessagesTableName"],
        "RUNS_TABLE": stack.outputs["RunsTableName"],
        "DEAD_LETTER_QUEUE_URL": stack.outputs["DeadLetterQueueUrl"],
    }
    with mock.patch.dict(os.environ, ENVIRONMENT | own):
        forget()
        lane = Lane(poll=10)
        letters: Any = [{"MessageId": verdict["trace_id"]} for verdict in verdicts]
        ask(lane, list(verdicts), run_id)
        lane.over_because = "A test says so."
        turn = Turn(run_id, default(), f"arn:{run_id}", lane.mark)
        found = batch.guarded(turn, lane, letters, list(verdicts))
    forget()
    return [{"Return": {"StatusCode": 200, "Payload": found}}]

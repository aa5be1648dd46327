"""Redrive runs: starting one, and the judgement of each dead letter that a run meets.

`statemachines/redrive.asl.json` does the work; here is what must hold around it: one active run for
a dead-letter queue, and a verdict for every message, whatever its body holds.
"""

import json
import secrets
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from workflows import audit, clock, ledger, message_types, runs
from workflows.aws import stepfunctions
from workflows.message import (
    FOREIGN_PREFIX,
    InvalidMessage,
    Message,
    MessageConflict,
    RedriveLimitReached,
    fingerprint,
    foreign_hash,
    parse,
    reason,
)
from workflows.settings import settings

# Of a message's past executions; with many redrives a batch of them must still fit a state.
_EXECUTIONS_KEPT = 9
# By the row: what to do with the copy on the dead-letter queue. A parked message waits in its
# group, a quarantined one in the ledger; of a RETRYING one this may be the copy about to be DEAD.
_BY_STATUS: dict[str, Literal["settled", "discarded", "left"]] = {
    "PROCESSED": "settled",
    "PARKED": "settled",
    "QUARANTINED": "settled",
    "DISCARDED": "discarded",
    "RETRYING": "left",
}


class UnknownMessage(Exception):
    """The ledger does not know the message, so nothing guards its redrives."""


class RedriveRequest(BaseModel):
    """What a run may do; without `max_messages` it goes on until the queue is empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_messages: int | None = Field(default=None, ge=1, le=1_000_000)


class DeadLetter(TypedDict):
    """What SQS's ReceiveMessage says of one message, as Step Functions hands it on."""

    MessageId: str
    Body: NotRequired[str]
    Attributes: NotRequired[dict[str, str]]


class Verdict(TypedDict):
    """What to do with one dead letter.

    `wave` counts the messages of its group before it in the batch: a wave holds one message a
    group, so none can overtake the one ahead of it. `known` tells whether the ledger has a row
    under `ledger_id`; the rest of the fields fill that row.
    """

    verdict: Literal["redrive", "quarantine", "settled", "discarded", "left"]
    index: int
    group: str
    wave: int
    ledger_id: str
    known: bool
    redrives: int
    execution_arns: list[str]
    reason: dict[str, str]
    fingerprint: str
    type: str
    first_sent_at: str
    payload_hash: str
    trace_id: str


def start(request: RedriveRequest, actor: audit.Actor) -> dict[str, Any]:
    """Start a run for a person and return its row.

    Raises:
        workflows.runs.RunActive: another run holds the dead-letter queue.
    """
    # Sortable by time, and the name of the execution.
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    asked = request.model_dump(exclude_none=True)
    row = runs.acquire(run_id, "api", actor, asked)
    try:
        stepfunctions().start_execution(
            stateMachineArn=settings().redrive_state_machine_arn,
            name=run_id,
            input=json.dumps(
                asked | {"trigger": "api", "requested_by": actor.email, "trace_id": actor.trace_id}
            ),
        )
    except Exception:
        runs.abandon(run_id, "The execution could not be started.")
        raise
    return row


def judge(dead_letters: list[DeadLetter], run_id: str) -> list[Verdict]:
    """Return a verdict for each dead letter of a batch, in their order.

    Never raises for what a message holds; raises when the ledger does not answer. The verdict is
    what the ledger said a moment ago: the machine's conditional writes have the last word.
    """
    read = [_read(letter) for letter in dead_letters]
    known = [m.message_id for m in read if isinstance(m, Message)]
    rows = ledger.get_many(known + [_foreign_id(letter) for letter in dead_letters])
    waves: Counter[str] = Counter()
    verdicts = []
    for index, (letter, message) in enumerate(zip(dead_letters, read, strict=True)):
        group = _group(letter)
        verdicts.append(
            _judge(letter, message, rows, run_id) | {"index": index, "wave": waves[group]}
        )
        waves[group] += 1
    return verdicts


def _read(letter: DeadLetter) -> Message | InvalidMessage:
    try:
        return parse(letter.get("Body", ""), _group(letter))
    except InvalidMessage as error:
        return error


def _foreign_id(letter: DeadLetter) -> str:
    return FOREIGN_PREFIX + letter["MessageId"]


def _group(letter: DeadLetter) -> str:
    return letter.get("Attributes", {}).get("MessageGroupId", "")


def _judge(
    letter: DeadLetter,
    message: Message | InvalidMessage,
    rows: dict[str, dict[str, Any]],
    run_id: str,
) -> Verdict:
    verdict: Verdict = {
        "verdict": "quarantine",
        "index": 0,
        "wave": 0,
        "group": _group(letter),
        "ledger_id": _foreign_id(letter),
        "known": False,
        "redrives": 0,
        "execution_arns": [],
        "reason": {"type": "", "message": ""},
        "fingerprint": "",
        "type": "foreign",
        "first_sent_at": clock.now(),
        "payload_hash": foreign_hash(letter.get("Body", "")),
        "trace_id": letter["MessageId"],
    }
    if _foreign_id(letter) in rows:
        # Stored by a run that stopped before it could delete this.
        verdict["verdict"] = "settled"
        return verdict
    if isinstance(message, InvalidMessage):
        return _because(verdict, message)
    verdict["type"] = message.type
    verdict["first_sent_at"] = message.first_sent_at_text
    verdict["payload_hash"] = message.payload_hash
    verdict["trace_id"] = message.trace_id
    row = rows.get(message.message_id)
    if row is not None and row["payload_hash"] != message.payload_hash:
        # The row is another message's; this one is kept under SQS's id.
        return _because(verdict, MessageConflict())
    verdict["ledger_id"] = message.message_id
    if row is not None:
        verdict["known"] = True
        verdict["redrives"] = int(row["redrives"])
        verdict["execution_arns"] = row["execution_arns"][-_EXECUTIONS_KEPT:]
    try:
        verdict["verdict"] = _verdict(message, row, run_id)
    except (InvalidMessage, UnknownMessage, RedriveLimitReached) as error:
        return _because(verdict, error)
    return verdict


def _verdict(
    message: Message, row: dict[str, Any] | None, run_id: str
) -> Literal["redrive", "settled", "discarded", "left"]:
    if row is not None and row["status"] in _BY_STATUS:
        return _BY_STATUS[row["status"]]
    if row is not None and str(row.get("redrive_mark", "")).startswith(f"{run_id}#"):
        # This run redrove it and it died again: once a run, or a run would burn all its redrives.
        return "left"
    message_types.validate(message.type, message.payload)
    if row is None:
        raise UnknownMessage
    if row["redrives"] >= settings().max_redrives:
        raise RedriveLimitReached
    return "redrive"


def _because(verdict: Verdict, error: Exception) -> Verdict:
    verdict["reason"] = reason(error)
    verdict["fingerprint"] = fingerprint(verdict["type"], verdict["reason"])
    return verdict

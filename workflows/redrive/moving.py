"""Moving: a dead letter that no state can carry is redriven here, by the lane machine's calls.

They have the same conditions and the same order: guard, send, delete; and a failure is told of, not
raised, so that the lane goes on counting. What a call that was cut off has done nobody can tell, so
it is never repeated: its turn is claimed first, a later try fences the earlier ones off, and one
that finds the turn claimed ends the run. Of that turn the run's record says nothing, so the sweep
lets go of it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from workflows.ledger import large
from workflows.messages.carried import Carried
from workflows.queues.payloads import PayloadUnreadable
from workflows.queues.queue import Queue
from workflows.redrive import batch, partiql, turns
from workflows.redrive.batch import Entry
from workflows.redrive.columns import Turn, carried_by
from workflows.redrive.lane import Lane
from workflows.redrive.requests import RedriveRequest
from workflows.redrive.verdict import DeadLetter
from workflows.runtime import clock
from workflows.runtime.aws import dynamodb, sqs
from workflows.runtime.settings import settings

# A turn of which it is not known how far it came.
UNANSWERED = "MoveUnanswered"
_HELD = "ConditionalCheckFailed"
# More than a machine tries a call.
_TRIES = 100
_UNCLAIMED = "attribute_exists(run_id) AND (attribute_not_exists(#turn) OR #turn < :turn)"


def fence_off(run_id: str, lane: Lane, tried: int) -> bool:
    """Let no earlier try of a call move anything any more; False if one may have begun to.

    Args:
        run_id: whose lane it is.
        lane: as the call was given it; its leg is over where this is False.
        tried: how often the call was tried before.
    """
    turn = lane.turns + 1
    if not tried or _note(
        run_id, "SET #try = :try", _UNCLAIMED, lane, {":turn": turn, ":try": _try(turn, tried)}
    ):
        return True
    lane.moved = True
    turns.fail(lane, UNANSWERED)
    return False


def move(
    turn: Turn, lane: Lane, request: RedriveRequest, letter: DeadLetter, tried: int
) -> dict[str, Any]:
    """Deal with one dead letter as a batch of its own, and count it; return what to log of it.

    Args:
        turn: whose it is.
        lane: which received it; it is changed. Its `failure` names what went wrong.
        request: of the run.
        letter: as a state would have it.
        tried: how often the call was tried before.
    """
    lane.moved = True
    if not _claim(turn.run_id, lane, tried):
        turns.fail(lane, UNANSWERED)
        return {}
    try:
        asked, told = batch.ask(turn, lane, request, [letter])
    except PayloadUnreadable as error:  # nothing was done, but a later try could not know that
        _Steps(letter, turn.queue, lane.mark).hold(0)
        turns.fail(lane, type(error).__name__)
        return {"unreadable": str(error)}
    (verdict,) = asked["verdicts"]
    steps = _Steps(letter, turn.queue, lane.mark)
    try:
        _keep_body(lane.asked[0].id, letter, turn, verdict)
        failure = steps.take(verdict, asked["common"])
    except (ClientError, BotoCoreError) as error:
        failure = _name(error)
    if steps.left_for:
        steps.hold(0 if failure else verdict["hold"])
    turns.tally(lane, steps.done, steps.sent_at or lane.sent_at, failure)
    if failure:
        turns.fail(lane, failure)
    return told


class _Steps:
    """What was done with one letter: whether it is `done`, and when it was sent."""

    def __init__(self, letter: DeadLetter, queue: Queue, mark: str) -> None:
        self._letter, self._queue, self._mark = letter, queue, mark
        self.done: list[str] = []
        self.sent_at = 0
        self.left_for = True

    def take(self, verdict: dict[str, Any], common: list[partiql.Statement]) -> str:
        """Guard, send and delete, each if the one before it allows; return why not, or ""."""
        own = [verdict["statement"]] if "statement" in verdict else []
        answers = partiql.ask([*own, *common], [self._letter["Body"]])
        failure = _failure(answers, len(own))
        refused = own and answers[0].get("Error") and not self._is_mine(answers[0]["Error"])
        if refused or verdict["hold"]:
            return failure
        if "entry" not in verdict:
            self.done = [verdict["id"]]
        if failure:
            return failure
        if "entry" in verdict:
            self._send(verdict["entry"])
            self.done, self.sent_at = [verdict["id"]], clock.milliseconds()
        sqs().delete_message(
            QueueUrl=self._queue.dead_letter_url, ReceiptHandle=self._letter["ReceiptHandle"]
        )
        self.left_for = False
        return ""

    def hold(self, seconds: int) -> None:
        """Let the letter stay in flight for so long; 0 makes it visible."""
        # What was noted as left is given back with the run; what is visible again is no loss.
        with suppress(ClientError):
            sqs().change_message_visibility(
                QueueUrl=self._queue.dead_letter_url,
                ReceiptHandle=self._letter["ReceiptHandle"],
                VisibilityTimeout=seconds,
            )

    def _is_mine(self, error: Any) -> bool:
        """Tell whether a statement was refused because the client had sent it twice."""
        return bool(error.get("Item", {}).get("redrive_mark") == self._mark)

    def _send(self, entry: Entry) -> None:
        take: Callable[..., Carried] = Carried.of if self._queue.is_default else Carried.all_of
        arguments: Any = dict(entry)
        del arguments["Id"]
        theirs = self._letter.get("MessageAttributes", {})
        beside = take(arguments.pop("MessageAttributes", theirs)).arguments()
        sqs().send_message(
            QueueUrl=self._queue.source_url,
            **({"MessageBody": self._letter["Body"]} | beside | arguments),
        )


def _keep_body(message_id: str, letter: DeadLetter, turn: Turn, verdict: dict[str, Any]) -> None:
    """Store a body that is too large for the row that the verdict's statement writes.

    Of one that is sent, what was stored when it was only noted may be forgotten with its row.
    """
    carried = carried_by(letter, turn)
    if "statement" not in verdict or not large.is_large(letter["Body"], carried):
        return
    if "entry" not in verdict:
        large.keep(message_id, letter["MessageId"], letter["Body"], carried)
    else:
        told = large.columns(letter["MessageId"], letter["Body"], carried)
        large.let_expire({"message_id": message_id} | told)


def _failure(answers: list[Any], own: int) -> str:
    """Say why nothing may be sent, by what came of the guard's statements; "" if it may be."""
    codes = [answer.get("Error", {}).get("Code") for answer in answers]
    if codes[own] == _HELD:
        return "LeaseLost"
    broken = [code for code in codes if code not in (None, _HELD, "DuplicateItem")]
    return f"DynamoDb.{broken[0]}" if broken else ""


def _claim(run_id: str, lane: Lane, tried: int) -> bool:
    """Take a turn for this call alone; False if another one did, or has fenced this one off."""
    turn = lane.turns + 1
    return _note(
        run_id,
        "SET #turn = :turn",
        f"{_UNCLAIMED} AND (attribute_not_exists(#try) OR #try <= :try)",
        lane,
        {":turn": turn, ":try": _try(turn, tried)},
    )


def _note(run_id: str, expression: str, condition: str, lane: Lane, values: dict[str, int]) -> bool:
    names = {"#turn": f"move_turn_{lane.number}", "#try": f"move_try_{lane.number}"}
    try:
        dynamodb().update_item(
            TableName=settings().runs_table,
            Key={"run_id": run_id},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        return False
    return True


def _try(turn: int, tried: int) -> int:
    return _TRIES * turn + tried


def _name(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return type(error).__name__

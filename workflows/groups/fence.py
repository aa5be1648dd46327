"""The fence: a FIFO group waits behind its failed message, and nothing overtakes it.

A fence is the `FENCE` item of a group in the `Groups` table: the *holder* is the message that the
group waits for. Later messages are *parked*: copied to `PARKED#<SequenceNumber>` items and
acknowledged, so they block nobody. The retry machine drains them, oldest first, by making one
after the other the holder, and removes the fence when nothing is parked.

Why no interleaving loses or reorders a message is argued step by step in `docs/fence.md`. It rests
on four rules, each a condition of one DynamoDB write and none a matter of timing:

1. Only the worker that SQS gave the group to raises a fence, and SQS gives a group to one.
2. Parking a message and counting it is one transaction that needs the fence to exist.
3. Only an execution of the fence's newest *generation* promotes, from the holder it processed;
   promoting and counting is one transaction.
4. The fence goes only if as many were drained as were parked.
"""

from dataclasses import dataclass, replace
from typing import Any

from workflows.groups import execution
from workflows.groups.fences import FENCE, FENCED, PARKED, Fence
from workflows.ledger import transitions
from workflows.ledger.claims import Claim
from workflows.messages.carried import COLUMN, Carried
from workflows.messages.envelope import Message
from workflows.runtime import clock, shards
from workflows.runtime.aws import dynamodb, transact
from workflows.runtime.settings import settings

# Between taking a fence over and StartExecution lies one call; after this long it is not coming.
# Nor is an execution that failed so soon followed by another at once.
START_GRACE_SECONDS = 60


class FenceTaken(Exception):
    """Another message fenced the group meanwhile; SQS will deliver this one again."""


def raise_ahead(message: Message) -> Fence:
    """Fence the group before its message is tried again, in case this try ends like the last.

    Raises:
        FenceTaken: another message holds the fence by now.
    """
    raised = Fence(message.group_id, message.message_id)
    if transact([_raise(raised, None)]) is not None:
        raise FenceTaken(message.group_id)
    return raised


def retrying(
    message: Message,
    body: str,
    carried: Carried,
    claim: Claim,
    error: Exception,
    fence: Fence | None,
) -> None:
    """Fence the group behind a failed message and hand it to the retry machine.

    One transaction writes fence and ledger; then the machine starts. A crash in between is mended
    when SQS delivers again, by `start`, which uses the same name.

    Raises:
        FenceTaken: the group or the message is in other hands by now.
    """
    raised = _next(message.group_id, message.message_id, claim.redrives, fence)
    written = transact(
        [
            _raise(raised, fence),
            transitions.retrying(
                message, body, carried, error, raised.execution_arn, claim.attempt
            ),
        ]
    )
    if written is not None:
        raise FenceTaken(message.group_id)
    last = {"attempt": claim.attempt, "trace_id": message.trace_id}
    start(raised, claim.redrives, last)


def start(fence: Fence, redrives: int, last: dict[str, Any] | None = None) -> None:
    """Start the execution that the fence names, if it is the one of its holder and generation."""
    if fence.execution_arn == execution.execution_arn(fence.holder, redrives, fence.generation):
        execution.start(fence.group_id, fence.holder, redrives, fence.generation, last)


def dead(
    message: Message,
    body: str,
    carried: Carried,
    claim: Claim,
    error: Exception,
    fence: Fence | None,
) -> None:
    """Note a message as dead, and by `OnDeadLetter` keep its group behind it or let it go on.

    Raises:
        FenceTaken: the group or the message is in other hands by now.
    """
    row = transitions.dead(message, body, carried, error, claim.attempt)
    if settings().on_dead_letter == "hold":
        raised = fence or Fence(message.group_id, message.message_id)
        if transact([_raise(raised, fence), row]) is not None:
            raise FenceTaken(message.group_id)
        return
    if transact([row]) is not None:
        raise FenceTaken(message.group_id)
    if fence is not None:
        release(fence, claim.redrives)


@dataclass(frozen=True)
class Claimed:
    """A claimed message, what it came as, and SQS's number of that."""

    message: Message
    claim: Claim
    body: str
    carried: Carried
    sequence_number: str


def park(group_id: str, claimed: list[Claimed]) -> bool:
    """Park claimed messages behind the fence of their group; False if the fence is gone.

    All, or none: at most ten, each at the place that its sequence number gives it.

    Raises:
        FenceTaken: one of them is in other hands by now.
    """
    refused = transact(
        [
            {
                "Update": {
                    "TableName": settings().groups_table,
                    "Key": {"group_id": group_id, "item": FENCE},
                    "UpdateExpression": "SET parked = parked + :count",
                    "ConditionExpression": "attribute_exists(group_id)",
                    "ExpressionAttributeValues": {":count": len(claimed)},
                }
            },
            *(part for one in claimed for part in _parked(one)),
        ]
    )
    if refused is None:
        return True
    if any(row["Code"] != "None" for row in refused[2::2]):
        raise FenceTaken(group_id)
    return False


def _parked(claimed: Claimed) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of a transaction that put a parked message, and note it in its row."""
    message = claimed.message
    item: dict[str, Any] = {
        "group_id": message.group_id,
        "item": f"{PARKED}{claimed.sequence_number:0>40}",
        "message_id": message.message_id,
        "body": claimed.body,
        COLUMN: claimed.carried.column,
        "trace_id": message.trace_id,
        "parked_at": clock.now(),
        "tries": claimed.claim.attempt - 1,
    }
    put = {"Put": {"TableName": settings().groups_table, "Item": item}}
    return put, transitions.parked(message, claimed.claim.attempt)


def release(fence: Fence, redrives: int) -> None:
    """Let the group go on after its holder was settled: remove the fence, or have it drained."""
    try:
        dynamodb().delete_item(
            TableName=settings().groups_table,
            Key={"group_id": fence.group_id, "item": FENCE},
            ConditionExpression="holder = :holder AND generation = :generation"
            " AND parked = drained",
            ExpressionAttributeValues={
                ":holder": fence.holder,
                ":generation": fence.generation,
            },
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        resume(fence, redrives)


def resume(fence: Fence, redrives: int) -> bool:
    """Give a fence a new execution; return whether this caller was the one to do it."""
    following = _next(fence.group_id, fence.holder, redrives, fence)
    if transact([_raise(following, fence)]) is not None:
        return False
    start(following, redrives)
    return True


def _next(group_id: str, holder: str, redrives: int, fence: Fence | None) -> Fence:
    generation = (fence.generation if fence else 0) + 1
    return replace(
        fence or Fence(group_id, holder),
        generation=generation,
        execution_arn=execution.execution_arn(holder, redrives, generation),
    )


def _raise(new: Fence, old: Fence | None) -> dict[str, Any]:
    condition = "attribute_not_exists(group_id)"
    values: dict[str, Any] = {
        ":holder": new.holder,
        ":generation": new.generation,
        ":execution": new.execution_arn,
        ":now": clock.now(),
        ":epoch": clock.epoch(),
        ":zero": 0,
        ":fenced": shards.key(FENCED, new.group_id),
    }
    if old is not None:
        condition = "holder = :holder AND generation = :known"
        values[":known"] = old.generation
    return {
        "Update": {
            "TableName": settings().groups_table,
            "Key": {"group_id": new.group_id, "item": FENCE},
            "UpdateExpression": "SET holder = :holder, generation = :generation,"
            " execution_arn = :execution, owned_at = :epoch, fenced = :fenced,"
            " parked = if_not_exists(parked, :zero), drained = if_not_exists(drained, :zero),"
            " since = if_not_exists(since, :now)",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
    }

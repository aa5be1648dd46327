"""The operator's view of the fences: which groups wait, behind what, and how many messages."""

from typing import Any

from pydantic import BaseModel

from workflows.groups import fences
from workflows.groups.fences import PARKED, Fence
from workflows.ledger import rows
from workflows.ledger.status import GONE, Status
from workflows.runtime import paging, shards
from workflows.runtime.aws import dynamodb
from workflows.runtime.refusals import NotFound
from workflows.runtime.settings import settings

_PARKED_SHOWN = 1_000


class GroupNotFenced(NotFound):
    """The group has no fence: its messages are processed as they come."""

    code = "group_not_fenced"


class Group(BaseModel):
    """A fenced group. `reason` is the status of the message that it waits for."""

    group_id: str
    holder: str
    reason: str
    parked: int
    since: str
    execution_arn: str | None = None


class FencedGroup(Group):
    """With the ids of its parked messages in their order, the first 1,000 of them."""

    parked_message_ids: list[str]


class GroupCounts(BaseModel):
    """How many groups are fenced, and how many messages wait behind the fences."""

    fenced: int
    parked: int


def page(limit: int, cursor: str | None) -> tuple[list[Group], str | None]:
    """Return at most `limit` fenced groups, longest fenced first, and the next page's cursor.

    Raises:
        workflows.runtime.paging.InvalidCursor: the cursor is not ours.
    """
    after = shards.START
    kind = {"item": fences.FENCE, "fenced": fences.FENCED}
    if cursor is not None:
        key = paging.key(cursor, group_id=None, since=None, **kind)
        after = (key["since"], key["group_id"])
    shown, last = fences.page(limit, after)
    statuses = rows.statuses(fence.holder for fence in shown)
    following = last and {"since": last[0], "group_id": last[1]} | kind
    return [Group(**_describe(fence, statuses)) for fence in shown], paging.cursor(following)


def show(group_id: str, scope: str = "") -> FencedGroup:
    """Return one fenced group.

    Args:
        group_id: as whoever asks calls it.
        scope: how its ids begin, which the answer does not show.

    Raises:
        GroupNotFenced: it has no fence.
    """
    key = scope + group_id
    fence = fences.find([key]).get(key)
    if fence is None:
        raise GroupNotFenced(f"Group {group_id} is not fenced.")
    parked: Any = dynamodb().query(
        TableName=settings().groups_table,
        KeyConditionExpression="group_id = :group_id AND begins_with(#item, :parked)",
        ExpressionAttributeNames={"#item": "item"},
        ExpressionAttributeValues={":group_id": key, ":parked": PARKED},
        ProjectionExpression="message_id",
        Limit=_PARKED_SHOWN,
        ConsistentRead=True,
    )
    described = _describe(fence, rows.statuses([fence.holder]))
    described |= {name: described[name].removeprefix(scope) for name in ("group_id", "holder")}
    if scope:  # the execution's name begins as the ids do
        described["execution_arn"] = None
    ids = [item["message_id"].removeprefix(scope) for item in parked["Items"]]
    return FencedGroup(**described, parked_message_ids=ids)


def counts() -> tuple[GroupCounts, int]:
    """Count fenced groups and parked messages; and the messages that are being retried.

    Each of those holds the fence of its group.
    """
    raised = list(fences.every())
    holders = rows.statuses(fence.holder for fence in raised)
    parked = sum(fence.parked - fence.drained for fence in raised)
    retrying = sum(status == Status.RETRYING for status in holders.values())
    return GroupCounts(fenced=len(raised), parked=parked), retrying


def none() -> tuple[GroupCounts, int]:
    """Return the counts of a queue whose consumer is not ours: nothing fences its groups."""
    return GroupCounts(fenced=0, parked=0), 0


def _describe(fence: Fence, statuses: dict[str, str]) -> dict[str, Any]:
    return {
        "group_id": fence.group_id,
        "holder": fence.holder,
        "reason": statuses.get(fence.holder, GONE),
        "parked": fence.parked - fence.drained,
        "since": fence.since,
        "execution_arn": fence.execution_arn or None,
    }

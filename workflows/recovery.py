"""No fence outlives its owner, and no lock: what ended without a word is taken over.

EventBridge tells of executions that were stopped, failed or timed out, but on best effort; so the
same check also runs on a schedule over everything. It is safe to run at any time, any number of
times: a take-over is conditional on the fence's generation. What fails of a check keeps nothing
else of it from being done, and is raised at its end.
"""

import math
import random
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from workflows.groups import fence, fences
from workflows.groups.fence import START_GRACE_SECONDS
from workflows.groups.fences import Fence
from workflows.ledger import lookup, lost
from workflows.ledger.status import AT_REST, GONE, UNDER_WAY
from workflows.operator import retry_by_hand
from workflows.queues import registry
from workflows.redrive import in_flight, leg_executions, let_go, ownership, run_ends, runs
from workflows.runtime import clock, executions
from workflows.runtime.parts import Parts
from workflows.runtime.settings import settings

# With less time left no fence is begun: one takes three calls, each 27 s long at worst, which is
# three tries and the pauses between them (`workflows/runtime/aws.py`).
RESERVE_SECONDS = 90
_CHUNK = 100
# A group waits behind these without any execution, until somebody acts on the message or SQS
# delivers it. `hold` keeps it behind a dead or quarantined one; `continue` does not.


class Recovered(BaseModel):
    """What a check set right.

    `groups` got a new execution, the locks of `run_ids` are free, what `released` runs had left in
    flight is visible, what they had guarded and perhaps not sent is `let_go`, and `resent` messages
    are those whose retry by hand had stopped before its copy was known to be sent. What is `lost`
    had been sent, and the work queue kept it no longer. For `unchecked` fences there was no time: a
    later sweep has their turn.
    """

    groups: list[str] = []
    run_ids: list[str] = []
    released: list[str]
    let_go: list[str] = []
    lost: list[str] = []
    resent: list[str] = []
    unchecked: int = 0


def recover(seconds_left: Callable[[], float] = lambda: math.inf) -> Recovered:
    """Check the redrive locks, what runs left undone, the retries by hand and every fence.

    And once a day, in parts, every message that is said to be on the work queue.

    Args:
        seconds_left: how long the caller may still work; asked before each fence.

    Raises:
        Exception: the first failure, after all else was done.
    """
    parts = Parts()
    # Before the fences: those are as many as groups in trouble, and each is a call of its own.
    found = _recover_runs(parts)
    found.resent = parts.do(retry_by_hand.finish_sending) or []
    found.lost = parts.do(lost.sweep) or []
    raised = parts.do(lambda: list(fences.every())) or []
    # By lot: if there is never time for all, it is not always the same ones that wait.
    random.shuffle(raised)
    _recover_fences(raised, found, parts, seconds_left)
    parts.end()
    return found


def recover_group(group_id: str) -> Recovered:
    """Check the redrive locks, what runs left undone and the fence of one group.

    Raises:
        Exception: the first failure, after all else was done.
    """
    parts = Parts()
    found = _recover_runs(parts)
    raised = list((parts.do(fences.find, [group_id]) or {}).values())
    _recover_fences(raised, found, parts, lambda: math.inf)
    parts.end()
    return found


def _recover_runs(parts: Parts) -> Recovered:
    freed = [parts.do(ownership.recover, queue) for queue in parts.do(registry.every) or []]
    for row in parts.do(run_ends.untold) or []:
        parts.do(_end_run, row)
    return Recovered(
        run_ids=[run_id for run_id in freed if run_id],
        released=parts.do(in_flight.recover) or [],
        let_go=parts.do(let_go.recover) or [],
    )


def _end_run(row: dict[str, Any]) -> None:
    """Give back what a run had in flight, then tell how it ended, whoever noticed its end first.

    That may have been somebody who looked at it, or a new run that took its lock. While a lane
    still works, which Step Functions stops a moment after the run or not at all, there is nothing
    to give back yet: the lane's own end has it done, or else the next sweep.
    """
    if row["status"] in run_ends.FAILED:
        works = leg_executions.of_row(row)
        if any(executions.execution_status(leg) == "RUNNING" for leg in works):
            return
        for leg in works:
            in_flight.give_back_batch(leg, runs.queue_of(row))
    run_ends.note(row["run_id"])


def _recover_fences(
    raised: list[Fence], found: Recovered, parts: Parts, seconds_left: Callable[[], float]
) -> None:
    """Check as many fences as there is time for, and add to `found` what was set right."""
    found.unchecked = len(raised)
    for first in range(0, len(raised), _CHUNK):
        chunk = raised[first : first + _CHUNK]
        if seconds_left() < RESERVE_SECONDS:
            break
        rows = parts.do(lookup.get_many, [fenced.holder for fenced in chunk])
        for fenced in chunk:
            if rows is None or seconds_left() < RESERVE_SECONDS:
                break
            row = rows.get(fenced.holder, {"status": GONE, "redrives": 0})
            parts.do(_recover_fence, fenced, row, found)
            found.unchecked -= 1


def _recover_fence(fenced: Fence, row: dict[str, Any], found: Recovered) -> None:
    if row["status"] != GONE and lost.is_lost(row):
        if lost.note(row):
            found.lost.append(fenced.holder)
        return
    if _needs_nobody(str(row["status"])) or _has_owner(fenced):
        return
    if fence.resume(fenced, int(row["redrives"])):
        found.groups.append(fenced.group_id)


def _needs_nobody(status: str) -> bool:
    return status in UNDER_WAY or (status in AT_REST and settings().on_dead_letter == "hold")


def _has_owner(fenced: Fence) -> bool:
    status = executions.execution_status(fenced.execution_arn)
    if status in (None, "FAILED"):
        # Not started yet; or it failed at once, and so would the next: that one is for the sweep.
        return clock.epoch() - fenced.owned_at < START_GRACE_SECONDS
    return status == "RUNNING"

"""No fence outlives its owner, and no lock: what ended without a word is taken over.

EventBridge tells of executions that were stopped, failed or timed out, but on best effort; so the
same check also runs on a schedule over everything. It is safe to run at any time, any number of
times: a take-over is conditional on the fence's generation.
"""

from pydantic import BaseModel

from workflows import clock, fence, held, ledger, let_go, mend, retry, runs
from workflows.fence import START_GRACE_SECONDS, Fence
from workflows.settings import settings

_CHUNK = 100
# A group waits behind these without any execution, until somebody acts on the message or SQS
# delivers it. `hold` keeps it behind a dead or quarantined one; `continue` does not.
_WAITING = {"ACCEPTED", "QUEUED", "REDRIVEN", "PROCESSING"}
_HELD = {"DEAD", "QUARANTINED"}


class Recovered(BaseModel):
    """What a check set right.

    `groups` got a new execution, the lock of `run_id` is free, what `released` runs had left in
    flight is visible, what they had guarded and perhaps not sent is `let_go`, and `resent` messages
    are those whose retry by hand had stopped before its copy was known to be sent.
    """

    groups: list[str]
    run_id: str | None
    released: list[str]
    let_go: list[str] = []
    resent: list[str] = []


def recover() -> Recovered:
    """Check every fence, the redrive lock, what runs left undone and the retries by hand."""
    groups: list[str] = []
    chunk: list[Fence] = []
    for fenced in fence.every():
        chunk.append(fenced)
        if len(chunk) == _CHUNK:
            groups += _recover_fences(chunk)
            chunk = []
    groups += _recover_fences(chunk)
    return _recovered(groups).model_copy(update={"resent": mend.resend()})


def recover_group(group_id: str) -> Recovered:
    """Check the fence of one group, the redrive lock and what runs left undone."""
    found = fence.held([group_id])
    return _recovered(_recover_fences(list(found.values())))


def _recovered(groups: list[str]) -> Recovered:
    return Recovered(
        groups=groups,
        run_id=runs.recover(),
        released=held.recover(),
        let_go=let_go.recover(),
    )


def _recover_fences(fences: list[Fence]) -> list[str]:
    rows = ledger.get_many(fenced.holder for fenced in fences)
    recovered = []
    for fenced in fences:
        row = rows.get(fenced.holder, {"status": "GONE", "redrives": 0})
        if _needs_nobody(str(row["status"])) or _has_owner(fenced):
            continue
        if fence.resume(fenced, int(row["redrives"])):
            recovered.append(fenced.group_id)
    return recovered


def _needs_nobody(status: str) -> bool:
    return status in _WAITING or (status in _HELD and settings().on_dead_letter == "hold")


def _has_owner(fenced: Fence) -> bool:
    status = retry.execution_status(fenced.execution_arn)
    if status in (None, "FAILED"):
        # Not started yet; or it failed at once, and so would the next: that one is for the sweep.
        return clock.epoch() - fenced.owned_at < START_GRACE_SECONDS
    return status == "RUNNING"

"""The legs of a lane, as the run sees them: how one ended, and what is to be done about it."""

from contextlib import suppress
from dataclasses import dataclass, field

from botocore.exceptions import ClientError
from pydantic import BaseModel

from workflows.redrive import in_flight, lane, partiql, runs, statements
from workflows.redrive.lane import Lane
from workflows.runtime import executions
from workflows.runtime.settings import settings

# Until a leg whose answer was lost is over.
_RUNNING_SECONDS = 5


class Received(BaseModel):
    """A message that the leg had received, and did not deal with."""

    MessageId: str
    ReceiptHandle: str


class Told(BaseModel):
    """What the lane machine said of a leg; only an `error` if it said nothing.

    `done` and `sent_at` are of its last batch, which the `failure` may have `cut_short`.
    """

    lane: Lane = Lane()
    done: list[str] = []
    sent_at: int = 0
    failure: str = ""
    cut_short: bool = False
    received: list[Received] = []
    error: str = ""


@dataclass(frozen=True)
class Ended:
    """How a leg ended.

    Attributes:
        lane: as it is now.
        failure: the name of the error that ended it; "" if it came to its own end.
        reason: why, in a sentence, where the name does not say it.
        received: what it then had in hand.
        looks_again_in: so many seconds, where it goes on; 0 where it ended.
    """

    lane: Lane
    failure: str = ""
    reason: str = ""
    received: list[Received] = field(default_factory=list)
    looks_again_in: int = 0


def end(run_id: str, before: Lane, told: Told) -> Ended:
    """Add up a leg, and settle in the ledger what it sent and did not send.

    Of a leg that failed from outside, or whose answer was lost, Step Functions knows more.

    Args:
        run_id: whose lane it is.
        before: the lane as the leg began.
        told: what the lane machine said.
    """
    if told.error:
        status, output = executions.result(execution_of(before))
        if status == "RUNNING":
            return Ended(before, looks_again_in=_RUNNING_SECONDS)
        if status != "SUCCEEDED":
            return _from_outside(run_id, before, status, told.error)
        told = Told.model_validate_json(output)
    now = add_up(told)
    _settle(run_id, now)
    return Ended(now, told.failure, received=told.received)


def count(run_id: str, before: Lane, told: Told) -> Lane:
    """Return a lane with what a leg did, where that could not be settled and the run fails."""
    return _as_noted(run_id, before) if told.error else add_up(told)


def add_up(told: Told) -> Lane:
    """Return a lane with what became of its last batch added up; it is done once for each leg."""
    lane.tally(told.lane, told.done, told.sent_at, told.failure if told.cut_short else "")
    return told.lane


def execution_of(of: Lane) -> str:
    """Return the ARN that the execution of a lane's leg has or will have."""
    return executions.arn_of(settings().redrive_lane_state_machine_arn, of.name)


def keep(run_id: str, counts: dict[str, int]) -> tuple[bool, bool]:
    """Prolong a run's lease and write its counters; tell whether it has its lock and is wanted."""
    has_lock, is_wanted = partiql.execute(
        [statements.renew_lease(run_id), statements.note_progress(run_id, counts)]
    )
    return has_lock, is_wanted


def leave(run_id: str, of: Lane, message: Received) -> None:
    """Leave a message in flight that cannot pass through a state, so that others are handed out."""
    in_flight.note(run_id, of.number, of.records, [message.ReceiptHandle])
    with suppress(ClientError):  # it came so long ago that it is visible again
        in_flight.leave(message.ReceiptHandle)
    of.records += 1


def _from_outside(run_id: str, before: Lane, status: str | None, error: str) -> Ended:
    if status is None:
        return Ended(before, error, f"Lane {before.number} did not begin.")
    in_flight.give_back_batch(execution_of(before))
    reason = f"Lane {before.number} was ended from outside: {status}."
    return Ended(_as_noted(run_id, before), "LaneStopped", reason)


def _as_noted(run_id: str, before: Lane) -> Lane:
    row = runs.find(run_id) or {}  # which the lane's guards have written
    before.counts |= {name: int(row[name]) for name in before.counts if name in row}
    return before


def _settle(run_id: str, now: Lane) -> None:
    confirmed = [statements.confirm(one) for one in now.sent]
    partiql.execute([*confirmed, *(statements.let_go(one, run_id) for one in now.unsent)])
    now.sent, now.unsent = [], []

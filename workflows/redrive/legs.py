"""The legs of a lane, as the run sees them: how one ended, and what is to be done about it."""

from collections.abc import Iterable

from pydantic import BaseModel

from workflows.queues.queue import Queue
from workflows.redrive import (
    counters,
    in_flight,
    leg_executions,
    partiql,
    runs,
    statements,
    turns,
)
from workflows.redrive.lane import Lane
from workflows.runtime import clock, executions
from workflows.runtime.settings import settings

# For its last batch, so that it is over by then.
_LAST_BATCH_SECONDS = 120


class Told(BaseModel):
    """What the lane machine tells of a leg that is over.

    `done` and `sent_at` are of its last batch, which the `failure` may have `cut_short`, and which
    it then had `in_hand`.
    """

    lane: Lane
    done: list[str]
    sent_at: int
    failure: str
    cut_short: bool
    in_hand: bool


class Result(BaseModel):
    """What the run hears of a leg: the lane, settled; else what there is to settle; or an error."""

    lane: Lane | None = None
    told: Told | None = None
    error: str = ""


def settle(run_id: str, told: Told) -> Lane:
    """Add up what a leg did, let go of what it did not send, and note what perhaps was not sent.

    May be repeated.

    Args:
        run_id: whose lane it is.
        told: of the leg.
    """
    now = _add_up(told)
    noted = [statements.note_unsettled(run_id, now)] if now.failure else []
    partiql.execute([*noted, *(statements.let_go(one, run_id) for one in now.unsent)])
    now.unsent, now.unsure = [], []
    return now


def end(run_id: str, queue: Queue, before: Lane, result: Result) -> Lane:
    """Return a lane as its leg left it; where that is not known yet, it is `lost`.

    Of a leg that failed from outside, or whose answer was lost, Step Functions knows more.

    Args:
        run_id: whose lane it is.
        queue: which the run redrives.
        before: the lane as the leg began.
        result: what the run has heard.
    """
    if result.lane is not None:
        return result.lane
    if result.told is not None:
        return settle(run_id, result.told)
    if settings().redrive_lane_type == "EXPRESS":
        return _unanswered(run_id, before, result.error)
    status, output = executions.result(leg_executions.arn_of(before.name))
    if status == "RUNNING":
        return before.model_copy(update={"lost": result.error})
    before.lost = ""
    if status == "SUCCEEDED":
        return end(run_id, queue, before, Result.model_validate_json(output))
    return _from_outside(run_id, queue, before, status, result.error)


def count(run_id: str, before: Lane, result: Result) -> Lane:
    """Return a lane with what a leg did, where that could not be settled and the run fails."""
    if result.told is not None:
        return _add_up(result.told)
    return result.lane or _as_noted(run_id, before)


def keep(run_id: str, queue: Queue, lanes: Iterable[Lane]) -> tuple[bool, bool]:
    """Prolong a run's lease and write its counters; tell whether it has its lock and is wanted."""
    has_lock, is_wanted = partiql.execute(
        [statements.renew_lease(run_id, queue), statements.note_progress(run_id, lanes)]
    )
    return has_lock, is_wanted


def _add_up(told: Told) -> Lane:
    lane = told.lane
    turns.tally(lane, told.done, told.sent_at, told.failure if told.cut_short else "")
    lane.failure, lane.in_hand = told.failure or lane.failure, told.in_hand
    return lane


def _from_outside(run_id: str, queue: Queue, before: Lane, status: str | None, error: str) -> Lane:
    if status is None:
        before.failure, before.reason = error, f"Lane {before.number} did not begin."
        return before
    in_flight.give_back_batch(leg_executions.arn_of(before.name), queue)
    now = _as_noted(run_id, before)
    now.failure = "LaneStopped"
    now.reason = f"Lane {before.number} was ended from outside: {status}."
    return now


def _unanswered(run_id: str, before: Lane, error: str) -> Lane:
    """Return a lane whose leg nobody can be asked about, once it is over in any case."""
    if clock.epoch() < before.until + _LAST_BATCH_SECONDS:
        return before.model_copy(update={"lost": error})
    now = _as_noted(run_id, before)
    now.lost, now.failure = "", "LaneStopped"
    now.reason = f"Lane {before.number} gave no answer: {error}."
    return now


def _as_noted(run_id: str, before: Lane) -> Lane:
    row = runs.find(run_id) or {}  # which the lane's guards have written
    before.counts |= counters.of_lanes(row).get(before.number, {})
    return before

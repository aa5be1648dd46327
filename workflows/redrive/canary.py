"""The canary of a redrive run: the first messages are watched before the next ones are sent.

Of the built-in queue the ledger tells how each ended. A registered queue's consumer tells nothing:
what it could not process comes back to the dead-letter queue, so when the watch is over the lanes
look through that, send nothing, and note what came back.
"""

from dataclasses import dataclass
from typing import Literal

from workflows.redrive import in_flight, outcome, progress
from workflows.redrive.lane import EMPTY_POLLS
from workflows.redrive.run import Run
from workflows.runtime import clock

# So that a watch is about as many looks at the ledger, however long it is.
_LOOKS_A_WATCH = 100
# Rounds, of three minutes, in which lanes look through a dead-letter queue.
_MOST_ROUNDS = 5


@dataclass(frozen=True)
class Step:
    """What a run does next for its canary: it waits for `seconds`, looks, or halts for a reason."""

    does: Literal["wait", "look", "halt"]
    seconds: int = 0
    reason: str = ""


def watch(run: Run) -> Step | None:
    """Say what the messages of a canary's step, all of them sent, make of a run.

    None where they let it go on, with the next step.
    """
    canary = run.request["canary"]
    most, seconds = canary.get("max_failures", 0), canary["watch_seconds"]
    run.watch_from = run.watch_from or clock.epoch()
    is_over = clock.epoch() - run.watch_from >= seconds
    if not run.queue.is_default:
        return _watch_by_looking(run, most, seconds, is_over=is_over)
    redriven = run.counts["redriven"]
    found = outcome.count(run.run_id, redriven)
    # What has not ended by then counts as failed: no run redrives into a consumer that fails.
    unended = redriven - found.processed
    if found.died_again > most:
        told = f"{found.died_again} of {redriven} redriven messages failed again"
        return Step("halt", reason=f"{told}; max_failures is {most}.")
    if found.processed + found.died_again >= redriven or (is_over and unended <= most):
        _next_step(run)
        return None
    if is_over:
        told = f"{unended} of {redriven} redriven messages failed again or had not ended after"
        return Step("halt", reason=f"{told} {seconds} seconds; max_failures is {most}.")
    return Step("wait", -(-seconds // _LOOKS_A_WATCH))


def _watch_by_looking(run: Run, most: int, seconds: int, *, is_over: bool) -> Step | None:
    if not run.looking:
        if not is_over:
            return Step("wait", -(-seconds // _LOOKS_A_WATCH))
        run.looking = 1
        run.before_look = [(lane.counts["left"], lane.empty_polls) for lane in run.lanes]
        for lane in run.lanes:
            lane.empty_polls = 0
        return Step("look")
    redriven = run.counts["redriven"]
    returned = seen = outcome.count(run.run_id, redriven, is_default=False).returned
    if run.queue.fifo:
        returned = max(seen, _grown(run))
    is_seen = all(lane.empty_polls >= EMPTY_POLLS for lane in run.lanes)
    if returned <= most and not is_seen and run.looking < _MOST_ROUNDS:
        run.looking += 1
        return Step("look")
    _end_look(run)
    if returned > most:
        told = f"{returned} of {redriven} redriven messages came back"
        if seen <= most:
            told = f"The dead-letter queue has {returned} messages more than were left there, of"
            told += f" the {redriven} redriven ones or others"
        return Step("halt", reason=f"{told}; max_failures is {most}.")
    if not is_seen:
        return Step("halt", reason="The dead-letter queue has more messages than a watch looks at.")
    _next_step(run)
    return None


def _grown(run: Run) -> int:
    """Return how many messages more are on a FIFO queue than a run has left there.

    What comes back stands behind the rest of its group, which SQS does not show while the first of
    it is in flight: so the queue's depth tells what a look cannot. What else died meanwhile counts
    as well, and numbers of SQS that lag: a canary rather halts once too often.
    """
    gone = run.received - run.counts["failed"]
    return progress.depth(run.queue) - (run.depth - gone)


def _end_look(run: Run) -> None:
    """Give back what lanes have left in flight to look behind it, as if they had not looked."""
    for lane, (left, empty_polls) in zip(run.lanes, run.before_look, strict=True):
        in_flight.give_back(run.run_id, lane.number, lane.records)
        lane.counts["left"], lane.empty_polls = left, empty_polls
    run.looking, run.before_look = 0, []


def _next_step(run: Run) -> None:
    redriven = run.counts["redriven"]
    run.step = redriven + 2 * (run.step - run.watched)
    run.watched, run.watch_from = redriven, 0

"""The course of a redrive run: what it does next, after each leg of its lane and after each wait.

`statemachines/redrive.asl.json` asks here and does what `Run.next` says. What a lane may do within
a leg is `lane.py`'s.
"""

from workflows.redrive import lane as lanes
from workflows.redrive import legs, outcome
from workflows.redrive.beginning import begin_leg
from workflows.redrive.legs import Ended, Told
from workflows.redrive.run import Next, Run
from workflows.runtime import clock

# SQS's numbers lag for up to a minute, so that the run's own deletions may still be counted.
_LOOKS, _LOOK_SECONDS = 3, 20
# Each is found in a leg of its own.
_MOST_OVERSIZED = 100
# For so long a message is in flight that was received and could not be told of.
_VISIBILITY_SECONDS = 300
# So that a watch is about as many looks, however long it is.
_LOOKS_A_WATCH = 100
# Of the 25,000 events that end an execution, with room for tasks that are tried again.
_MOST_EVENTS = 17_000
_EVENTS_OF_A_LEG, _EVENTS_OF_A_WAIT = 13, 9


def decide(run: Run, told: Told | None) -> Run:
    """Say what a run does next.

    Args:
        run: as it was before; it is changed.
        told: what the lane machine said of the leg that is over; None after a wait.
    """
    run.wait, run.reason = 0, ""
    if told is None and run.lost_leg:
        told = Told(error=run.lost_leg)
    ended = Ended(run.lane)
    if told is not None:
        run.watch_from, run.lost_leg = 0, ""
        ended = legs.end(run.run_id, run.lane, told)
        run.lane = ended.lane
    if ended.looks_again_in and told is not None:
        run.lost_leg = told.error
        return _wait(run, "queue", ended.looks_again_in)
    if ended.failure not in ("", lanes.TOO_LARGE):
        return _fail(run, ended.failure, ended.reason)
    has_lock, is_wanted = legs.keep(run.run_id, run.lane.counts)
    if not has_lock:
        return _fail(run, "LeaseLost")
    if not is_wanted:
        return _finish(run, "CANCELLED")
    if run.events >= _MOST_EVENTS:
        reason = "It has gone on for as long as a run may; start another one for the rest."
        return _finish(run, "HALTED", reason)
    if ended.failure == lanes.TOO_LARGE:
        return _go_around(run, ended)
    return _watch(run) or _go_on_or_end(run)


def _watch(run: Run) -> Run | None:
    """Say what the canary's messages make of a run; None where they let it go on."""
    redriven = run.lane.counts["redriven"]
    if not run.step or redriven == run.watched or not (_has_all(run) or redriven >= run.step):
        return None
    canary = run.request["canary"]
    most, seconds = canary.get("max_failures", 0), canary["watch_seconds"]
    run.watch_from = run.watch_from or clock.epoch()
    is_over = clock.epoch() - run.watch_from >= seconds
    found = outcome.count(run.run_id, redriven)
    # What has not ended by then counts as failed: no run redrives into a consumer that fails.
    unended = redriven - found.processed
    if found.died_again > most:
        told = f"{found.died_again} of {redriven} redriven messages failed again"
        return _finish(run, "HALTED", f"{told}; max_failures is {most}.")
    if found.processed + found.died_again >= redriven or (is_over and unended <= most):
        run.step = redriven + 2 * (run.step - run.watched)
        run.watched, run.watch_from = redriven, 0
        return None
    if is_over:
        told = f"{unended} of {redriven} redriven messages failed again or had not ended after"
        return _finish(run, "HALTED", f"{told} {seconds} seconds; max_failures is {most}.")
    return _wait(run, "outcomes", -(-seconds // _LOOKS_A_WATCH))


def _go_on_or_end(run: Run) -> Run:
    lane = run.lane
    if not _has_all(run):
        return _next_leg(run)
    if run.oversized:
        return _fail(run, lanes.TOO_LARGE, run.oversized_reason)
    if lane.empty_polls < lanes.EMPTY_POLLS:
        return _finish(run, "SUCCEEDED")
    if lane.in_flight and run.looks < _LOOKS:
        run.looks += 1
        lane.empty_polls = 0
        return _wait(run, "queue", _LOOK_SECONDS)
    run.in_flight, run.missing = lane.in_flight, max(0, run.planned - lane.received)
    if run.in_flight or run.missing:
        return _finish(run, "HALTED", _what_is_missing(run))
    return _finish(run, "SUCCEEDED")


def _has_all(run: Run) -> bool:
    """Tell whether a run is to receive no more."""
    lane, most = run.lane, run.request.get("max_messages")
    return (
        lane.empty_polls >= lanes.EMPTY_POLLS
        or (most is not None and lane.received >= most)
        or lane.refusals >= lanes.REFUSALS
        or run.oversized >= _MOST_OVERSIZED
    )


def _what_is_missing(run: Run) -> str:
    """Say why a run that found no more is no plain success."""
    told = ""
    if run.missing:
        dealt_with = run.planned - run.missing
        told = f"The run dealt with {dealt_with} of the {run.planned} messages of its plan. "
    if run.in_flight:
        told += f"{run.in_flight} are in flight elsewhere, and hide what is behind them in their"
        return f"{told} groups: start another run when they are visible."
    left = run.lane.counts["left"]
    return told + (f"{left} were left out." if left else "No more is on the queue.")


def _go_around(run: Run, ended: Ended) -> Run:
    """Receive one message at a time, and leave one in flight that is too large by itself."""
    lane, in_hand = run.lane, ended.received
    was_alone = lane.size == 1
    lane.size, lane.empty_polls = 1, 0
    if was_alone:
        which = f"Message {in_hand[0].MessageId}" if in_hand else "A message"
        run.oversized += 1
        run.oversized_reason = (
            f"{which} of the dead-letter queue is too large for a state (256 KiB);"
            " receive it by hand."
        )
        if in_hand:
            legs.leave(run.run_id, lane, in_hand[0])
    elif not in_hand:
        return _wait(run, "queue", _VISIBILITY_SECONDS)
    return _watch(run) or _go_on_or_end(run)


def _next_leg(run: Run) -> Run:
    """Let the lane go on when the pause is over that its rate asks for."""
    lane = run.lane
    rest = lane.sent_at + lane.gap - clock.milliseconds()
    if lane.gap and rest > 0:
        return _wait(run, "queue", -(-rest // 1_000))
    begin_leg(run)
    run.events += _EVENTS_OF_A_LEG
    return run


def _wait(run: Run, what_for: Next, seconds: int) -> Run:
    run.next, run.wait = what_for, seconds
    run.events += _EVENTS_OF_A_WAIT
    return run


def _finish(run: Run, status: str, reason: str = "") -> Run:
    run.next, run.status, run.reason = "finish", status, reason
    return run


def _fail(run: Run, failure: str, reason: str = "") -> Run:
    run.next, run.failure, run.reason = "fail", failure, reason
    return run

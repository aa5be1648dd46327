"""The course of a redrive run: what it does next, after each round of its lanes and each wait.

`statemachines/redrive.asl.json` asks here and does what `Run.next` says. What a lane may do within
a leg is `turns.py`'s, and how the lanes share what the run may do, `shares.py`'s.
"""

from workflows.redrive import canary, in_flight, legs, run_record, shares
from workflows.redrive import lane as lanes
from workflows.redrive.lane import Lane
from workflows.redrive.legs import Result
from workflows.redrive.run import Next, Run
from workflows.runtime import clock

# SQS's numbers lag for up to a minute, so that the run's own deletions may still be counted.
_LOOKS, _LOOK_SECONDS = 3, 20
# Until a leg whose answer was lost is over.
_LEG_SECONDS = 5
# For so long a message is in flight that was received and that no state could hold.
_VISIBILITY_SECONDS = 300
# Of the 25,000 events that end an execution, with room for tasks that are tried again.
_MOST_EVENTS = 16_000
_EVENTS_OF_A_ROUND, _EVENTS_OF_A_LEG, _EVENTS_OF_A_WAIT = 11, 8, 9


def decide(run: Run, results: list[Result]) -> Run:
    """Say what a run does next.

    Args:
        run: as it was before; it is changed.
        results: what the run has heard of the legs of its round, in the order of its lanes; none
            after a wait.
    """
    run.wait, run.reason, run.in_flight = 0, "", 0
    if results and not run.looking:
        run.watch_from = 0
    if _end_legs(run, results):
        return _wait(run, "queue", _LEG_SECONDS)
    well = [lane for lane in run.at_work if not lane.failure or _may_measure(lane)]
    # Of a lane that failed the record says more than this would.
    has_lock, is_wanted = legs.keep(run.run_id, run.queue, well) if well else (True, True)
    for lane in run.at_work:
        if lane not in well:
            return _fail(run, lane.failure, lane.reason)
    if not has_lock:
        return _fail(run, "LeaseLost")
    if not is_wanted:
        return _finish(run, "CANCELLED")
    if run.events >= _MOST_EVENTS:
        reason = "It has gone on for as long as a run may; start another one for the rest."
        return _finish(run, "HALTED", reason)
    if _measures(run):
        return _wait(run, "queue", _VISIBILITY_SECONDS)
    return _watch(run) or _go_on_or_end(run)


def _end_legs(run: Run, results: list[Result]) -> bool:
    """Take in what was heard of the legs; tell whether one may still go on."""
    for lane, result in zip(run.at_work, results, strict=False):
        run.lanes[lane.number] = legs.end(run.run_id, run.queue, lane, result)
    if not results:
        for lane in run.at_work:
            if lane.lost:
                heard = Result(error=lane.lost)
                run.lanes[lane.number] = legs.end(run.run_id, run.queue, lane, heard)
    return any(lane.lost for lane in run.at_work)


def _watch(run: Run) -> Run | None:
    """Say what the canary's messages make of a run; None where they let it go on."""
    redriven = run.counts["redriven"]
    is_sent = _has_all(run) or redriven >= run.step
    if not run.step or redriven == run.watched or not (run.looking or is_sent):
        return None
    step = canary.watch(run)
    if step is None:
        return None
    if step.does == "halt":
        return _finish(run, "HALTED", step.reason)
    return begin_round(run) if step.does == "look" else _wait(run, "outcomes", step.seconds)


def _go_on_or_end(run: Run) -> Run:
    if not _has_all(run):
        return _next_round(run)
    if not _is_empty(run):
        return _finish(run, "SUCCEEDED")
    run.in_flight = in_flight.elsewhere(run.counts["left"], run.queue)
    if run.in_flight and run.looks < _LOOKS:
        run.looks, run.alone = run.looks + 1, True
        for lane in run.at_work:
            lane.empty_polls = 0
        return _wait(run, "queue", _LOOK_SECONDS)
    run.missing = max(0, run.planned - run.received)
    if run.in_flight or run.missing:
        return _finish(run, "HALTED", _what_is_missing(run))
    return _finish(run, "SUCCEEDED")


def _has_all(run: Run) -> bool:
    """Tell whether a run is to receive no more."""
    most = run.request.get("max_messages")
    return (
        _is_empty(run)
        or (most is not None and run.received >= most)
        or any(lane.refusals >= lanes.REFUSALS for lane in run.at_work)
    )


def _is_empty(run: Run) -> bool:
    """Tell whether the queue was empty for every lane.

    So it was for the last one of them, whose groups no other had in flight any more.
    """
    return all(lane.empty_polls >= lanes.EMPTY_POLLS for lane in run.at_work)


def _what_is_missing(run: Run) -> str:
    """Say why a run that found no more is no plain success."""
    told = ""
    if run.missing:
        dealt_with = run.planned - run.missing
        told = f"The run dealt with {dealt_with} of the {run.planned} messages of its plan. "
    if run.in_flight:
        told += f"{run.in_flight} are in flight elsewhere, and hide what is behind them in their"
        return f"{told} groups: start another run when they are visible."
    left = run.counts["left"]
    return told + (f"{left} were left out." if left else "No more is on the queue.")


def _may_measure(lane: Lane) -> bool:
    """Tell whether a lane failed because a state was too small for what it did not measure."""
    return lane.failure == lanes.TOO_LARGE and not lane.measured


def _measures(run: Run) -> bool:
    """Let lanes measure what they receive from now on for whom a state was too small.

    Returns:
        whether what one could not even receive has to be visible again first.
    """
    lanes_of_it = [lane for lane in run.at_work if lane.failure]
    for lane in lanes_of_it:
        lane.measured, lane.empty_polls, lane.failure = True, 0, ""
    return not all(lane.in_hand for lane in lanes_of_it)


def _next_round(run: Run) -> Run:
    """Let the lanes go on when the pauses are over that their rates ask for."""
    due = max([lane.sent_at + lane.gap for lane in run.at_work if lane.gap], default=0)
    rest = due - clock.milliseconds()
    if rest > 0:
        return _wait(run, "queue", -(-rest // 1_000))
    return begin_round(run)


def begin_round(run: Run) -> Run:
    """Let a run's lanes begin a leg each."""
    shares.begin_round(run)
    run_record.note_round(run)
    run.events += _EVENTS_OF_A_ROUND + _EVENTS_OF_A_LEG * len(run.working)
    run.next = "lanes"
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

"""The shares of a run's lanes: how many work side by side, and how much of what it may do is whose.

All shares of a limit together are the limit, so no lane needs to know of another. Order inside a
group needs no share: SQS hands out nothing of a group while a message of it is in flight.
"""

from typing import Any

from workflows.redrive.lane import MOST_AT_ONCE, Lane, begin_leg
from workflows.redrive.run import Run
from workflows.runtime.settings import settings

# So deep is a queue for each of its lanes.
_VISIBLE_A_LANE = 200
# A lane that may send fewer in a second, or in all, waits more than it works.
_A_BATCH = 10
# A filter, or a queue that is not ours, takes the room of one of ten.
_ENOUGH_AT_ONCE = 9


def lanes(request: dict[str, Any], visible: int, fitting: int) -> list[Lane]:
    """Return the lanes of a run that begins.

    There is one for each 200 messages, at most as many as the deployment says, or as many as are
    asked for. None has less than one message a second of `max_per_second`; that nobody asked for,
    less than ten.

    Args:
        request: of the run.
        visible: about how many messages can be received now.
        fitting: how many of the largest fit a state at once. Where that is too few, a lane measures
            them as they come.
    """
    asked, rate = request.get("lanes"), request.get("max_per_second")
    most = asked or min(settings().redrive_lanes, _batches(visible, _VISIBLE_A_LANE))
    if rate is not None:
        most = min(most, max(1, int(rate) if asked else int(rate) // _A_BATCH))
    rates = [rate] if most == 1 else _split(rate if rate is None else int(rate), most)
    measured = fitting < _ENOUGH_AT_ONCE
    size = MOST_AT_ONCE if measured else fitting
    return [
        Lane(number=number, size=size, measured=measured, rate=rate)
        for number, rate in enumerate(rates)
    ]


def begin_round(run: Run) -> None:
    """Let as many of a run's lanes begin another leg as there is something to do for.

    One of them looks alone for what others had in flight.
    """
    most, done = run.request.get("max_messages"), run.received
    may_receive = None if most is None else most - done
    may_redrive = run.step - run.counts["redriven"] if run.step else None
    only_looks = bool(run.looking or run.request.get("look"))
    if only_looks:
        may_receive = may_redrive = None
    rooms = [_batches(room, _A_BATCH) for room in (may_receive, may_redrive) if room is not None]
    count = min([1 if run.alone else len(run.lanes), *rooms])
    run.alone = False
    run.round += 1
    run.working = list(range(count))
    shares = zip(run.lanes, _split(may_receive, count), _split(may_redrive, count), strict=False)
    for lane, receives, redrives in shares:
        begin_leg(
            lane,
            run.run_id,
            run.round,
            may_receive=receives,
            may_redrive=redrives,
            waves=run.waves,
            only_looks=only_looks,
        )


def _batches(messages: int, size: int) -> int:
    return max(1, -(-messages // size))


def _split(limit: int | None, count: int) -> list[int | None]:
    """Return so many shares of a limit, as even as may be; None each for no limit."""
    if limit is None:
        return [None] * count
    return [limit // count + (number < limit % count) for number in range(count)]

"""A lane of a redrive run: what came of its batches so far, and what it may do next.

`statemachines/redrive_lane.asl.json` carries a lane from one batch to the next and decides nothing
itself: `turns.py` says with each batch how many messages the next poll may bring, how long to pause
before it, and whether the leg is over. A leg is one execution. The lane is as it was when the next
one begins.
"""

from pydantic import BaseModel, Field

from workflows.messages.ids import stem
from workflows.redrive import state_bytes
from workflows.redrive.counters import COUNTED, received
from workflows.redrive.leg_executions import leg_name
from workflows.redrive.verdict import Kind
from workflows.runtime import clock

# What a run counts of the messages that it dealt with, by the verdict on them.
DEALT_WITH: dict[Kind, str] = {
    "redrive": "redriven",
    "quarantine": "quarantined",
    "settled": "already_processed",
    "discarded": "discarded",
}
TOO_LARGE = "States.DataLimitExceeded"
# A leg begins no batch after so many seconds: the last one has two minutes until the machine's time
# is over.
_LEG_SECONDS = 180
# Empty means empty twice: a group in flight can hide messages once.
EMPTY_POLLS = 2
# In so many batches one after the other SQS or the ledger refused all.
REFUSALS = 5
# A batch brings ten at most, and all of them are carried from state to state, beside the next one.
_MOST_UNSETTLED = 30
MOST_AT_ONCE = 10


class Guarded(BaseModel):
    """A message and its number of redrives."""

    id: str
    redrives: int


class Asked(Guarded):
    """What is to be done with one message of a batch; `after` is the entry ahead in its group."""

    verdict: Kind
    after: str | None = None


class Lane(BaseModel):
    """A lane between two batches, or between two legs.

    `size` is how many messages fit a state at once: in any case, or, where they are `measured` as
    they come, as far as the last ones tell. Where the last one fits none, it was `moved`. Of this
    lane alone are `turns`, a number for
    each batch, `polls` of the queue, and `records` of what it leaves in flight. Its share of what
    the run may do is `rate` messages a second, `may_receive` and `may_redrive`, None for no limit.
    Of all that it guarded up to the turn `settled`, SQS has not `unsent`, which is to be let go,
    and perhaps not the ids `unsure`. `sent_at` (milliseconds since 1970) is when SQS last took
    messages, `window` how many it took since the last pause, `gap` the pause that is due
    (milliseconds). A leg that `only_looks` sends nothing. One has `waves_left`, and ends after
    `until` (seconds since 1970).

    Of a leg that is over, `failure` names the error that ended it, and `reason` says why where the
    name does not; `in_hand` tells whether it then had messages. `lost` is the error of a leg that
    may still go on.

    The machine reads `name` of the leg's execution, `poll` and `attempt_id` of the next receive,
    `mark` of the batch in the rows that it guards, `measured`, `gap`, and `over_because`, why the
    leg is over; "" where it is not.
    """

    number: int = 0
    leg: int = 0
    name: str = ""
    size: int = 1
    measured: bool = False
    moved: bool = False
    turns: int = 0
    polls: int = 0
    records: int = 0
    counts: dict[str, int] = Field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    rate: int | float | None = None
    may_receive: int | None = None
    may_redrive: int | None = None
    asked: list[Asked] = []
    settled: int = 0
    unsent: list[Guarded] = []
    unsure: list[str] = []
    sent_at: int = 0
    window: int = 0
    gap: int = 0
    empty_polls: int = 0
    refusals: int = 0
    only_looks: bool = False
    waves_left: int = 0
    until: int = 0
    poll: int = 1
    attempt_id: str = ""
    mark: str = ""
    over_because: str = ""
    failure: str = ""
    reason: str = ""
    in_hand: bool = False
    lost: str = ""

    @property
    def carries(self) -> tuple[list[str], list[str]]:
        """The ids that a lane takes with it: of the batch before, and of what is to be settled."""
        return [one.id for one in self.asked], [one.id for one in self.unsent]

    @property
    def received(self) -> int:
        """How many messages were dealt with, or refused."""
        return received(self.counts)


def begin_leg(
    lane: Lane,
    run_id: str,
    leg: int,
    *,
    may_receive: int | None,
    may_redrive: int | None,
    waves: int,
    only_looks: bool = False,
) -> None:
    """Let a lane begin another leg.

    Args:
        lane: whose pause is over.
        run_id: whose it is; the name of an execution.
        leg: its number among those of the run.
        may_receive: how many messages it may deal with in this leg; None for any number.
        may_redrive: how many it may redrive.
        waves: how many of them one execution has room for.
        only_looks: whether it is to send nothing.
    """
    lane.leg, lane.name = leg, leg_name(run_id, lane.number, leg)
    lane.may_receive, lane.may_redrive = may_receive, may_redrive
    lane.only_looks = only_looks
    lane.waves_left, lane.until = waves, clock.epoch() + _LEG_SECONDS
    lane.gap, lane.asked = 0, []
    lane.empty_polls %= EMPTY_POLLS  # else a run whose legs are one poll long would never end
    lane.failure, lane.reason, lane.in_hand = "", "", False
    next_poll(lane, run_id)


def next_poll(lane: Lane, run_id: str) -> None:
    """Say how many messages a lane's next poll may bring, or that the leg is over before it."""
    fitting = lane.size if lane.measured else state_bytes.room_for(lane.size, *lane.carries)
    rooms = [fitting, MOST_AT_ONCE, lane.may_receive, lane.may_redrive]
    if lane.rate is not None:
        rooms.append(max(1, int(lane.rate)) - lane.window)
    room = min(room for room in rooms if room is not None)
    lane.polls += 1
    lane.poll = max(1, room)
    # A retry of one poll brings the same messages, instead of waiting for them to be visible again.
    lane.attempt_id = f"{stem(run_id)}-{lane.number}-{lane.polls}"
    lane.over_because = _why_over(lane, room)


def _why_over(lane: Lane, room: int) -> str:
    """Return why a leg is over after the batch that is asked for now; "" if it is not."""
    reasons = {
        "It failed.": lane.failure != "",
        "Its share is used up.": room < 1,
        "The queue was empty twice.": lane.empty_polls >= EMPTY_POLLS,
        # Of the batch that is asked for now nobody knows yet.
        "Batch after batch was refused.": lane.refusals >= REFUSALS - 1,
        "Its history is full.": lane.waves_left <= 0,
        "Its time is over.": clock.epoch() >= lane.until,
        "It carries what it can.": len(lane.unsent) + MOST_AT_ONCE > _MOST_UNSETTLED,
    }
    return next((why for why, holds in reasons.items() if holds), "")

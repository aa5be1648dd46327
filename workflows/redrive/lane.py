"""A lane of a redrive run: what came of its batches so far, and what it may do next.

`statemachines/redrive_lane.asl.json` carries a lane from one batch to the next and decides nothing
itself: `ask` says with each batch how many messages the next poll may bring, how long to pause
before it, and whether the leg is over; `tally` is told which messages of the batch were dealt with.
A leg is one execution. The lane is as it was when the next one begins.
"""

import hashlib
from collections import Counter

from pydantic import BaseModel, Field

from workflows.messages.ids import stem
from workflows.redrive import state_bytes
from workflows.redrive.verdict import Kind, Verdict
from workflows.runtime import clock

# What a run counts of the messages that it dealt with, by the verdict on them.
DEALT_WITH: dict[Kind, str] = {
    "redrive": "redriven",
    "quarantine": "quarantined",
    "settled": "already_processed",
    "discarded": "discarded",
}
COUNTED = (*DEALT_WITH.values(), "failed", "left")
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
_MOST_AT_ONCE = 10
# Of AWS's 80 letters for a name, what leaves room for the lane and the leg.
_NAME_LETTERS = 56


class Sent(BaseModel):
    """A message that was guarded under that number of redrives."""

    id: str
    redrives: int


class Asked(Sent):
    """What is to be done with one message of a batch; `after` is the entry ahead in its group."""

    verdict: Kind
    after: str | None = None


class Lane(BaseModel):
    """A lane between two batches.

    `size` is how many messages fit a state at once. Of this lane alone are `turns`, a number for
    each batch, `polls` of the queue, and `records` of what it leaves in flight. `may_receive` and
    `may_redrive` are its share, None for no limit. `sent` awaits its confirmation in the ledger,
    `unsent` is to be let go. `sent_at` (milliseconds since 1970) is when SQS last took messages,
    `window` how many it took since the last pause, `gap` the pause that is due (milliseconds).
    `in_flight` are about how many messages others had in flight when a poll was empty. A leg has
    `waves_left`, and ends after `until` (seconds since 1970).

    The machine reads `name` of the leg's execution, `poll` and `attempt_id` of the next receive,
    `mark` of the batch in the rows that it guards, `size`, `gap`, and `over_because`, why the leg
    is over; "" where it is not.
    """

    number: int = 0
    leg: int = 0
    name: str = ""
    size: int = 1
    turns: int = 0
    polls: int = 0
    records: int = 0
    counts: dict[str, int] = Field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    may_receive: int | None = None
    may_redrive: int | None = None
    asked: list[Asked] = []
    sent: list[Sent] = []
    unsent: list[Sent] = []
    sent_at: int = 0
    window: int = 0
    gap: int = 0
    empty_polls: int = 0
    refusals: int = 0
    in_flight: int = 0
    waves_left: int = 0
    until: int = 0
    poll: int = 1
    attempt_id: str = ""
    mark: str = ""
    over_because: str = ""

    @property
    def received(self) -> int:
        """How many messages were dealt with, or refused."""
        return sum(n for name, n in self.counts.items() if name != "left")


def leg_name(run_id: str, number: int, leg: int) -> str:
    """Return the name of the execution of a lane's leg; both are counted, the legs from 1."""
    short = run_id
    if len(run_id) > _NAME_LETTERS:
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
        short = f"{run_id[: _NAME_LETTERS - 9]}-{digest}"
    return f"{short}-l{number}-{leg}"


def begin_leg(
    lane: Lane,
    run_id: str,
    *,
    may_receive: int | None,
    may_redrive: int | None,
    rate: float | None,
    waves: int,
) -> None:
    """Let a lane begin another leg.

    Args:
        lane: whose pause is over.
        run_id: whose it is; the name of an execution.
        may_receive: how many messages it may deal with in all from now on; None for any number.
        may_redrive: how many it may redrive.
        rate: how many a second.
        waves: how many of them one execution has room for.
    """
    lane.leg += 1
    lane.name = leg_name(run_id, lane.number, lane.leg)
    lane.may_receive, lane.may_redrive = may_receive, may_redrive
    lane.waves_left, lane.until = waves, clock.epoch() + _LEG_SECONDS
    lane.gap, lane.asked = 0, []
    _next_poll(lane, run_id, rate)


def tally(lane: Lane, done: list[str], sent_at: int, failure: str = "") -> None:
    """Add up what came of the batch that a lane was asked to deal with.

    Of a batch that a failure cut short only what was done counts, and the rest is visible again.
    What was guarded and not sent is let go where that is certain: not after an answer that did not
    come.

    Args:
        lane: to be changed.
        done: the entry ids of the messages that were dealt with.
        sent_at: as in a lane.
        failure: the name of the error that ended the leg in the midst of the batch.
    """
    lane.sent_at = sent_at
    # What the ledger refused was looked at again: what came of it before is not settled any more.
    again = {asked.id for asked in lane.asked if asked.verdict == "redrive"}
    lane.sent = [one for one in lane.sent if one.id not in again]
    lane.unsent = [one for one in lane.unsent if one.id not in again]
    refused = 0
    for index, asked in enumerate(lane.asked):
        kept = Sent(id=asked.id, redrives=asked.redrives + 1)
        if str(index) in done:
            lane.counts[DEALT_WITH[asked.verdict]] += 1
            if asked.verdict == "redrive":
                lane.sent.append(kept)
        elif asked.verdict == "left":
            lane.counts["left"] += not failure
        elif asked.after is None or asked.after in done:  # else its turn never came
            refused += 1
            if asked.verdict == "redrive" and failure in ("", TOO_LARGE):
                lane.unsent.append(kept)
    if not failure:
        lane.counts["failed"] += refused
        lane.refusals = 0 if done else lane.refusals + (refused > 0)
    lane.asked = []


def ask(lane: Lane, verdicts: list[Verdict], run_id: str, rate: float | None) -> None:
    """Note what a lane is asked to do with a batch, and what it may do after it.

    That everything is sent is taken for granted: a leg that ends too early for it is followed by
    another one.

    Args:
        lane: to be changed.
        verdicts: on the batch; none if the poll was empty.
        run_id: whose it is.
        rate: how many messages may be sent in a second; None for any number.
    """
    lane.turns += 1
    lane.mark = f"{run_id}#{lane.number}.{lane.turns}"
    lane.waves_left -= max([1, *(verdict["wave"] + 1 for verdict in verdicts)])
    lane.asked, last = [], dict[str, str]()
    for index, v in enumerate(verdicts):
        asked = Asked(verdict=v["verdict"], id=v["ledger_id"], redrives=v["redrives"])
        if v["verdict"] != "left":
            asked.after, last[v["group"]] = last.get(v["group"]), str(index)
        lane.asked.append(asked)
    kinds = Counter(verdict["verdict"] for verdict in verdicts)
    if lane.may_receive is not None:
        lane.may_receive -= len(verdicts) - kinds["left"]
    if lane.may_redrive is not None:
        lane.may_redrive -= kinds["redrive"]
    lane.empty_polls = 0 if verdicts else lane.empty_polls + 1
    if verdicts:
        lane.in_flight = 0
    lane.gap = 0
    if rate is not None:
        _spend(lane, kinds["redrive"], rate)
    _next_poll(lane, run_id, rate)


def _spend(lane: Lane, count: int, rate: float) -> None:
    """Count messages that are about to be sent, and ask for a pause where they use up the rate."""
    pause = max(1_000, 1_000 / rate)
    if clock.milliseconds() - lane.sent_at >= pause:
        lane.window = 0
    lane.window += count
    if lane.window >= max(1, int(rate)):
        lane.gap, lane.window = round(pause), 0


def _next_poll(lane: Lane, run_id: str, rate: float | None) -> None:
    unsettled = [one.id for one in (*lane.sent, *lane.unsent)]
    fitting = state_bytes.room_for(lane.size, (one.id for one in lane.asked), unsettled)
    rooms = [fitting, _MOST_AT_ONCE, lane.may_receive, lane.may_redrive]
    if rate is not None:
        rooms.append(max(1, int(rate)) - lane.window)
    room = min(room for room in rooms if room is not None)
    lane.polls += 1
    lane.poll = max(1, room)
    # A retry of one poll brings the same messages, instead of waiting for them to be visible again.
    lane.attempt_id = f"{stem(run_id)}-{lane.number}-{lane.polls}"
    lane.over_because = _why_over(lane, room)


def _why_over(lane: Lane, room: int) -> str:
    """Return why a leg is over after the batch that is asked for now; "" if it is not."""
    unsettled = len(lane.sent) + len(lane.unsent)
    reasons = {
        "Its share is used up.": room < 1,
        "The queue was empty twice.": lane.empty_polls >= EMPTY_POLLS,
        # Of the batch that is asked for now nobody knows yet.
        "Batch after batch was refused.": lane.refusals >= REFUSALS - 1,
        "Its history is full.": lane.waves_left <= 0,
        "Its time is over.": clock.epoch() >= lane.until,
        "It carries what it can.": unsettled + _MOST_AT_ONCE > _MOST_UNSETTLED,
    }
    return next((why for why, holds in reasons.items() if holds), "")

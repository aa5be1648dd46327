"""The turns of a lane: what came of one batch, and what is asked for with the next.

A lane goes through them within a leg; the run adds up the last one.
"""

from collections import Counter

from workflows.redrive.lane import DEALT_WITH, TOO_LARGE, Asked, Guarded, Lane, next_poll
from workflows.redrive.verdict import Verdict
from workflows.runtime import clock


def tally(lane: Lane, done: list[str], sent_at: int, failure: str = "") -> None:
    """Add up what came of the batch that a lane was asked to deal with.

    Of a batch that a failure cut short only what was done counts, and the rest is visible again.
    What was guarded and not sent is let go where that is certain: not after an answer that did not
    come. Then it is only noted, for the sweep.

    Args:
        lane: to be changed.
        done: the entry ids of the messages that were dealt with.
        sent_at: as in a lane.
        failure: the name of the error that ended the leg in the midst of the batch.
    """
    lane.sent_at = sent_at
    # What the ledger refused was looked at again: what came of it before is not settled any more.
    again = {asked.id for asked in lane.asked if asked.verdict == "redrive"}
    lane.unsent = [one for one in lane.unsent if one.id not in again]
    refused = 0
    for index, asked in enumerate(lane.asked):
        if str(index) in done:
            lane.counts[DEALT_WITH[asked.verdict]] += 1
        elif asked.verdict == "left":
            lane.counts["left"] += not failure
        elif asked.after is None or asked.after in done:  # else its turn never came
            refused += 1
            if asked.verdict == "redrive":
                _note_unsent(lane, asked, is_certain=failure in ("", TOO_LARGE))
    if not failure:
        lane.counts["failed"] += refused
        lane.refusals = 0 if done else lane.refusals + (refused > 0)
    lane.asked, lane.settled = [], lane.turns


def fail(lane: Lane, failure: str) -> None:
    """Let a lane's leg be over for a failure that ended no execution."""
    lane.failure, lane.over_because = failure, "It failed."


def _note_unsent(lane: Lane, asked: Asked, *, is_certain: bool) -> None:
    if is_certain:
        lane.unsent.append(Guarded(id=asked.id, redrives=asked.redrives + 1))
    else:
        lane.unsure.append(asked.id)


def ask(lane: Lane, verdicts: list[Verdict], run_id: str) -> None:
    """Note what a lane is asked to do with a batch, and what it may do after it.

    That everything is sent is taken for granted: a leg that ends too early for it is followed by
    another one.

    Args:
        lane: to be changed.
        verdicts: on the batch; none if the poll was empty.
        run_id: whose it is.
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
    lane.gap = 0
    if lane.rate is not None:
        _spend(lane, kinds["redrive"], lane.rate)
    next_poll(lane, run_id)


def _spend(lane: Lane, count: int, rate: float) -> None:
    """Count messages that are about to be sent, and ask for a pause where they use up the rate."""
    pause = max(1_000, 1_000 / rate)
    if clock.milliseconds() - lane.sent_at >= pause:
        lane.window = 0
    lane.window += count
    if lane.window >= max(1, int(rate)):
        lane.gap, lane.window = round(pause), 0

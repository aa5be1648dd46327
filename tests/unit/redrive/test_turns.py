"""The turns of a lane: what came of a batch, and what may be asked for with the next."""

import pytest

from workflows.redrive import lane as lanes
from workflows.redrive import turns
from workflows.redrive.lane import REFUSALS, TOO_LARGE, Asked, Guarded, Lane
from workflows.runtime import clock

RUN = "run-1"


@pytest.fixture(autouse=True)
def at(monkeypatch):
    """Give the time of the lane in milliseconds, in a list of one."""
    moment = [1_000_000]
    monkeypatch.setattr(clock, "milliseconds", lambda: moment[0])
    monkeypatch.setattr(clock, "epoch", lambda: moment[0] // 1_000)
    return moment


def begun(*, may_receive=None, may_redrive=None, waves=300, **fields):
    lane = Lane(**{"size": 10} | fields)
    lanes.begin_leg(lane, RUN, 1, may_receive=may_receive, may_redrive=may_redrive, waves=waves)
    return lane


def verdicts(*kinds, waves=None):
    """Return verdicts on messages of a group each, or of one group if they have several waves."""
    return [
        {"verdict": kind, "ledger_id": f"m-{n}", "redrives": 1}
        | {"wave": waves[n] if waves else 0, "group": "g" if waves else f"g-{n}"}
        for n, kind in enumerate(kinds)
    ]


def ask(lane, *kinds, waves=None):
    turns.ask(lane, verdicts(*kinds, waves=waves), RUN)


# What came of a batch

BATCH = ["redrive", "quarantine", "settled", "discarded", "left", "redrive"]


def told(done, failure=""):
    """Return what a lane counted of a batch, and which of it were not sent, or perhaps not."""
    asked = [Asked(verdict=k, id=f"m-{n}", redrives=1) for n, k in enumerate(BATCH)]
    lane = Lane(turns=4, settled=3, asked=asked)
    turns.tally(lane, done, 7, failure)
    assert (lane.asked, lane.sent_at, lane.settled) == ([], 7, 4)
    counts = {name: count for name, count in lane.counts.items() if count}
    return counts, [one.id for one in lane.unsent], lane.unsure


DONE = {"redriven": 1, "quarantined": 1, "already_processed": 1, "discarded": 1}


@pytest.mark.parametrize(
    ("done", "failure", "expected"),
    [
        ("01235", "", (DONE | {"redriven": 2, "left": 1}, [], [])),
        ("0123", "", (DONE | {"failed": 1, "left": 1}, ["m-5"], [])),
        ("", "", ({"failed": 5, "left": 1}, ["m-0", "m-5"], [])),
        # What was not dealt with is visible again, or comes to light as lost: it counts nowhere.
        ("0123", "Sqs.SqsException", (DONE, [], ["m-5"])),
        ("", "LeaseLost", ({}, [], ["m-0", "m-5"])),
        # Of what was too large it is certain that it was not sent.
        ("0123", TOO_LARGE, (DONE, ["m-5"], [])),
    ],
    ids=["all", "one refused", "all refused", "cut short", "nothing done", "too large"],
)
def test_batch_is_counted_as_it_ended(done, failure, expected):
    assert told(list(done), failure) == expected


def test_what_was_not_sent_is_known_by_its_new_number_of_redrives():
    lane = Lane(asked=[Asked(verdict="redrive", id="m-1", redrives=2)])
    turns.tally(lane, [], 7)

    assert lane.unsent == [Guarded(id="m-1", redrives=3)]


def test_batch_that_is_asked_for_is_not_settled_until_it_is_counted():
    lane = begun(turns=4, settled=4)
    ask(lane, "redrive")
    assert (lane.turns, lane.settled) == (5, 4)

    turns.tally(lane, ["0"], 7)
    assert lane.settled == 5


def test_what_is_dealt_with_anew_is_settled_by_its_last_life_alone():
    before = [Guarded(id="m-1", redrives=1), Guarded(id="m-2", redrives=1)]
    lane = Lane(unsent=before, asked=[Asked(verdict="redrive", id="m-1", redrives=1)])
    turns.tally(lane, ["0"], 7)

    assert lane.unsent == [Guarded(id="m-2", redrives=1)]


@pytest.mark.parametrize(
    ("done", "failed", "unsent"),
    [("", 1, ["m-0"]), ("0", 1, ["m-2"]), ("02", 1, ["m-3"]), ("023", 0, [])],
)
def test_what_waited_behind_a_refused_message_of_its_group_never_had_its_turn(done, failed, unsent):
    lane = begun()
    ask(lane, "redrive", "left", "redrive", "redrive", waves=[0, 0, 1, 2])
    turns.tally(lane, list(done), 0)

    assert (lane.counts["failed"], lane.counts["left"]) == (failed, 1)
    assert [one.id for one in lane.unsent] == unsent
    assert lane.received == len(done) + failed


def test_refused_message_keeps_no_other_group_waiting():
    lane = begun()
    first, other, behind = verdicts("redrive", "redrive", "redrive")
    turns.ask(lane, [first, other, behind | {"group": first["group"]}], RUN)
    turns.tally(lane, ["1"], 0)

    assert [one.id for one in lane.unsent] == ["m-0"]


@pytest.mark.parametrize(
    ("kinds", "done", "failure", "refusals"),
    [
        (["redrive"], [], "", 3),
        (["redrive", "redrive"], ["1"], "", 0),
        (["redrive", "settled"], ["1"], "", 0),
        (["left"], [], "", 2),
        ([], [], "", 2),
        (["redrive"], [], "Sqs.SqsException", 2),
    ],
    ids=["all refused", "one", "settled", "left", "empty poll", "cut short"],
)
def test_refusals_are_batches_in_a_row_of_which_nothing_was_dealt_with(
    kinds, done, failure, refusals
):
    lane = Lane(refusals=2)
    ask(lane, *kinds)
    turns.tally(lane, done, 0, failure)

    assert lane.refusals == refusals


# What a lane may do next


@pytest.mark.parametrize(
    ("given_", "kinds", "poll", "over"),
    [
        ({}, ["redrive"] * 10, 10, False),
        ({"size": 3}, ["redrive"] * 3, 3, False),
        ({"size": 60}, ["redrive"] * 10, 10, False),  # SQS's own limit
        ({"may_receive": 12}, ["redrive"] * 8, 4, False),
        ({"may_receive": 12}, ["quarantine"] * 6 + ["settled"] * 2, 4, False),
        ({"may_receive": 12}, ["left"] * 10, 10, False),
        ({"may_receive": 10}, ["redrive"] * 9 + ["left"], 1, False),
        ({"may_receive": 10}, ["redrive"] * 10, 1, True),
        ({"may_redrive": 12}, ["redrive"] * 8, 4, False),
        ({"may_redrive": 12}, ["quarantine"] * 8, 10, False),
        ({"may_redrive": 2}, ["redrive"] * 2, 1, True),
        ({"may_redrive": 5, "may_receive": 4}, ["redrive"], 3, False),
    ],
)
def test_next_poll_brings_no_more_than_the_shares_leave(given_, kinds, poll, over):
    lane = begun(**given_)
    first = lane.poll
    ask(lane, *kinds)

    assert len(kinds) <= first
    assert (lane.poll, lane.over_because) == (poll, "Its share is used up." if over else "")


def test_leg_is_over_when_the_queue_was_empty_twice_in_a_row():
    lane = begun()
    seen = []
    for kinds in ([], ["redrive"], [], []):
        ask(lane, *kinds)
        seen.append((lane.empty_polls, lane.over_because))

    assert seen == [(1, ""), (0, ""), (1, ""), (2, "The queue was empty twice.")]


@pytest.mark.parametrize(
    ("refusals", "why"),
    [(REFUSALS - 2, ""), (REFUSALS - 1, "Batch after batch was refused.")],
)
def test_leg_is_over_when_the_batch_asked_for_may_be_the_last_refusal(refusals, why):
    lane = begun(refusals=refusals)
    ask(lane, "redrive")

    assert lane.over_because == why


@pytest.mark.parametrize(
    ("waves", "left"), [((0, 0, 0), 299), ((0, 1, 2), 297), ((), 299)],
    ids=["one", "three", "empty poll"],
)  # fmt: skip
def test_each_wave_and_each_poll_takes_its_room_in_the_history(waves, left):
    lane = begun()
    ask(lane, *["redrive"] * len(waves), waves=waves)

    assert (lane.waves_left, lane.over_because) == (left, "")


@pytest.mark.parametrize(("waves", "why"), [(1, "Its history is full."), (2, "")])
def test_leg_is_over_when_its_waves_are_used_up(waves, why):
    lane = begun(waves=waves)
    ask(lane, "redrive")

    assert lane.over_because == why


@pytest.mark.parametrize(("seconds", "why"), [(179, ""), (180, "Its time is over.")])
def test_leg_is_over_after_three_minutes(at, seconds, why):
    lane = begun()
    at[0] += seconds * 1_000
    ask(lane, "redrive")

    assert lane.over_because == why
    lanes.begin_leg(lane, RUN, 2, may_receive=None, may_redrive=None, waves=300)
    assert lane.over_because == ""


@pytest.mark.parametrize(("unsent", "why"), [(20, ""), (21, "It carries what it can.")])
def test_leg_is_over_when_a_state_has_no_room_for_more_to_settle(unsent, why):
    lane = begun(unsent=[Guarded(id="m", redrives=1)] * unsent)
    ask(lane, "redrive")

    assert lane.over_because == why


@pytest.mark.parametrize(
    ("size", "letters", "unsent", "poll"),
    [(10, 36, 10, 10), (10, 120, 0, 9), (10, 36, 19, 9), (2, 120, 3, 1), (1, 120, 20, 1)],
    ids=["short ids", "long ids", "many unsettled", "of two", "of one"],
)
def test_lane_that_carries_much_asks_for_one_message_less(size, letters, unsent, poll):
    known = Guarded(id="i" * letters, redrives=1)
    lane = begun(size=size, unsent=[known] * unsent)
    asked = [v | {"ledger_id": "i" * letters} for v in verdicts(*["redrive"] * size)]
    turns.ask(lane, asked, RUN)

    assert lane.poll == poll


# The rate


class Sending:
    """A lane that redrives for ever, as its machine does: the times at which it sent, in ms."""

    def __init__(self, at, rate):
        self.at, self.sent = at, []
        self.done: list[str] = []
        self.lane = begun(rate=rate)
        self.lane.sent_at = 0

    def batch(self, milliseconds, share, waves):
        """Receive a share of what is asked for, send it in waves, and pause where that is due."""
        count = max(1, round(share * self.lane.poll))
        turns.tally(self.lane, self.done, self.lane.sent_at)
        ask(self.lane, *["redrive"] * count)
        for wave in range(waves):
            self.at[0] += milliseconds
            times = [self.at[0]] * len(range(wave, count, waves))
            self.sent += times
            if times:
                self.at[0] += 10  # the answer comes later
                self.lane.sent_at = self.at[0]
        self.done = [str(n) for n in range(count)]
        self.at[0] = max(self.at[0], self.lane.sent_at + self.lane.gap)


def most_in(span, times):
    """Return how many of these times lie in the fullest half-open span of so many ms."""
    return max((sum(first <= t < first + span for t in times) for first in times), default=0)


# Batches: how many ms until each wave is sent, what share of what was asked for SQS gave, waves.
WEATHER = {
    "full": [(300, 1, 1)] * 4,
    "half": [(300, 0.5, 1)] * 8,
    "late in the second": [(20, 0.1, 1), (900, 0.8, 1), (200, 1, 1), (20, 1, 1)],
    "one group": [(350, 1, 3)] * 4,
    "slow": [(1_200, 1, 1)] * 3,
}


@pytest.mark.parametrize("batches", WEATHER.values(), ids=WEATHER)
@pytest.mark.parametrize("rate", [0.5, 1.5, 10, 25])
def test_no_second_sees_more_than_the_rate(at, rate, batches):
    sending = Sending(at, rate)
    for batch in batches:
        sending.batch(*batch)

    assert most_in(max(1_000, 1_000 / rate), sending.sent) <= max(1, int(rate))


@pytest.mark.parametrize(
    ("rate", "window", "elapsed", "poll", "gap"),
    [
        (25, 0, 0, 10, 0),
        (25, 18, 500, 6, 0),  # one is sent with this batch
        (25, 24, 500, 10, 1_000),  # after a pause
        (25, 24, 1_000, 10, 0),
        (3, 0, 5_000, 2, 0),
        (0.1, 0, 20_000, 1, 10_000),
        (None, 24, 0, 10, 0),
    ],
)
def test_no_more_is_asked_for_than_may_be_sent(at, rate, window, elapsed, poll, gap):
    lane = begun(window=window, rate=rate)
    lane.sent_at = at[0] - elapsed
    ask(lane, "redrive")

    assert (lane.poll, lane.gap) == (poll, gap)


def test_leg_that_begins_after_a_pause_goes_on_in_the_same_second():
    lane = begun(rate=25, window=20, gap=1_000)

    assert (lane.gap, lane.window, lane.poll) == (0, 20, 5)


def test_each_batch_has_a_mark_of_its_own_that_names_the_run():
    lane, marks = begun(number=2), []
    for _ in range(2):
        ask(lane, "redrive")
        marks.append(lane.mark)

    assert marks == ["run-1#2.1", "run-1#2.2"]

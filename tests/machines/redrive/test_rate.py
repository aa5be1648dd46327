"""`max_per_second`: no second sees more messages sent to the work queue, whatever SQS hands out."""

import pytest

from tests.support.redrive_expressions import evaluate, states

COUNTS = dict.fromkeys(
    ("redriven", "quarantined", "already_processed", "discarded", "failed", "left"), 0
)


class Run:
    """The variables of a run that redrives for ever, and when it sent each message, in ms."""

    def __init__(self, rate):
        self.clock = 1_000_000
        self.sent = []
        self.variables = {
            "request": {"max_per_second": rate},
            "window_from": 0,
            "window_sent": 0,
            "counts": COUNTS,
            "batch_size": 10,
            "step": 0,
        }

    def wait(self):
        (rule,) = [c for c in states()["MoreToDo"]["Choices"] if c["Next"] == "WaitForRate"]
        while evaluate(rule["Condition"], millis=self.clock, **self.variables):
            seconds = states()["WaitForRate"]["Seconds"]
            self.clock += 1_000 * evaluate(seconds, millis=self.clock, **self.variables)

    def room(self):
        expression = states()["ReceiveDeadLetters"]["Arguments"]["MaxNumberOfMessages"]
        return evaluate(expression, millis=self.clock, **self.variables)

    def send(self, count):
        self.sent += [self.clock] * count
        self.clock += 10  # the answer comes later
        result = {"result": {"Successful": [{"Id": str(n)} for n in range(count)]}}
        assign = states()["RedriveMessages"]["Assign"]
        self.variables |= {
            name: evaluate(assign[name], millis=self.clock, states=result, **self.variables)
            for name in ("window_sent", "window_from")
        }


def most_in(span, times):
    """Return how many of these times lie in the fullest half-open span of so many ms."""
    return max((sum(first <= t < first + span for t in times) for first in times), default=0)


# Batches: how many ms until each wave is sent, what share of what was asked for SQS gave, waves.
SCENARIOS = {
    "full": [(300, 1, 1)] * 4,
    "half": [(300, 0.5, 1)] * 8,
    "late in the second": [(20, 0.1, 1), (900, 0.8, 1), (200, 1, 1), (20, 1, 1)],
    "one group": [(350, 1, 3)] * 4,
    "slow": [(1_200, 1, 1)] * 3,
}


@pytest.mark.parametrize("batches", SCENARIOS.values(), ids=SCENARIOS)
@pytest.mark.parametrize("rate", [0.5, 1.5, 10])
def test_no_second_sees_more_than_the_rate(rate, batches):
    run = Run(rate)
    for milliseconds, share, waves in batches:
        run.wait()
        given_out = round(share * run.room())
        for wave in range(waves):
            run.clock += milliseconds
            count = len(range(wave, given_out, waves))
            if count:
                run.send(count)

    assert most_in(max(1_000, 1_000 / rate), run.sent) <= max(1, int(rate))


def room(rate, window_sent, elapsed):
    run = Run(rate)
    run.variables |= {"window_from": run.clock - elapsed, "window_sent": window_sent}
    return run.room()


@pytest.mark.parametrize(
    ("rate", "window_sent", "elapsed", "expected"),
    [(25, 0, 0, 10), (25, 20, 500, 5), (25, 25, 1_001, 10), (3, 0, 5_000, 3), (0.1, 0, 20_000, 1)],
)
def test_no_more_is_received_than_may_be_sent(rate, window_sent, elapsed, expected):
    assert room(rate, window_sent, elapsed) == expected

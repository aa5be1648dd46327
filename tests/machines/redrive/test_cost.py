"""What a redrive costs: the state transitions of a run with full batches and no option set."""

import pytest

from tests.support.redrive_runs import FINISH, JUDGED, NO_MORE, START, WAVE, counters
from tests.support.stack_fixtures import dead_letter, run_machine, transaction

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]


def test_full_batch_costs_eight_transitions_and_a_run_of_hundred_at_most_ninety(stack):
    for _ in range(100):
        dead_letter(stack, transaction())

    run = run_machine(stack, "redrive")

    full_batch = [*JUDGED, *WAVE]
    assert len(full_batch) == 8
    assert run.states == [*START, *full_batch * 10, *NO_MORE, *FINISH]
    assert len(run.states) <= 0.9 * 100
    assert counters(stack, run) == {"received": 100, "redriven": 100}

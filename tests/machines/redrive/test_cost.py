"""What a redrive costs: the state transitions of a run with full batches and no option set."""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.support.redrive_runs import FINISH, JUDGED, NO_MORE, START, WAVE, counters
from tests.support.stack_fixtures import dead_letters, run_machine
from workflows.redrive import plan


@pytest.fixture
def stack():
    with MotoStack() as moto:
        yield moto


def test_full_batch_costs_seven_transitions_and_a_run_of_hundred_at_most_ninety(stack):
    dead_letters(stack, 100)

    run = run_machine(stack, "redrive")

    full_batch = [*JUDGED, *WAVE]
    assert len(full_batch) == plan._STATES_A_BATCH == 7
    assert run.states == [*START, *full_batch * 10, *NO_MORE, *FINISH]
    cost = len(run.states) + len(["RunLane"])  # in the Map, whose items' states are not shown
    assert cost == plan._STATES_A_RUN + plan._STATES_A_LANE + 10 * plan._STATES_A_BATCH <= 0.9 * 100
    assert counters(stack, run) == {"received": 100, "redriven": 100}

"""The shares of lanes: how many there are, and what of the run's limits is whose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cloud import ENVIRONMENT
from workflows.redrive import shares
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Lane
from workflows.redrive.run import new

pytestmark = pytest.mark.usefixtures("environment")
MOST = int(ENVIRONMENT["REDRIVE_LANES"])


@pytest.mark.parametrize(
    ("request_", "visible", "count"),
    [
        ({}, 0, 1),
        ({}, 200, 1),
        ({}, 201, 2),
        ({}, 1_000_000, MOST),
        ({"lanes": 1}, 1_000_000, 1),
        ({"lanes": 40}, 0, 40),
        ({"max_per_second": 19}, 1_000, 1),
        ({"max_per_second": 20}, 1_000, 2),
        ({"max_per_second": 0.5}, 1_000, 1),
        ({"max_per_second": 3_000}, 1_000, 5),
        ({"max_per_second": 3, "lanes": 5}, 0, 3),
        ({"max_per_second": 0.5, "lanes": 5}, 0, 1),
    ],
)
def test_run_has_as_many_lanes_as_its_queue_and_its_rate_have_work_for(request_, visible, count):
    found = shares.lanes(request_, visible, 10)

    assert [lane.number for lane in found] == list(range(count))


@pytest.mark.parametrize(("fitting", "size"), [(10, 10), (9, 9), (8, 10), (1, 10)])
def test_lane_measures_what_comes_where_too_few_of_the_largest_fit_a_state(fitting, size):
    (lane,) = shares.lanes({}, 0, fitting)

    assert (lane.size, lane.measured) == (size, size != fitting)


@pytest.mark.parametrize(
    ("rate", "lanes", "rates"),
    [
        (None, 3, [None] * 3),
        (25, 3, [9, 8, 8]),
        (25.9, 3, [9, 8, 8]),  # never more than was asked for
        (25.9, 1, [25.9]),
        (0.1, 3, [0.1]),
        (1.5, 3, [1.5]),
    ],
)
def test_rate_is_shared_out(rate, lanes, rates):
    request = {"lanes": lanes} | ({} if rate is None else {"max_per_second": rate})

    assert [lane.rate for lane in shares.lanes(request, 0, 10)] == rates


def a_run(count, done=0, **fields):
    run = new("run-1", "arn:run-1", {})
    run.lanes = [Lane(number=number, size=10) for number in range(count)]
    run.lanes[0].counts = dict.fromkeys(COUNTED, 0) | {"redriven": done}
    return run.model_copy(update={"waves": 300} | fields)


@pytest.mark.parametrize(
    ("fields", "receive", "redrive"),
    [
        ({}, [None] * 3, [None] * 3),
        ({"request": {"max_messages": 100}}, [34, 33, 33], [None] * 3),
        ({"request": {"max_messages": 100}, "done": 79}, [7, 7, 7], [None] * 3),
        ({"request": {"max_messages": 100}, "done": 80}, [10, 10], [None] * 2),
        ({"request": {"max_messages": 100}, "done": 99}, [1], [None]),
        ({"step": 5}, [None], [5]),
        ({"step": 45, "done": 15}, [None] * 3, [10, 10, 10]),
        ({"step": 15, "request": {"max_messages": 100}}, [50, 50], [8, 7]),
        ({"alone": True}, [None], [None]),
        ({"alone": True, "request": {"max_messages": 100}}, [100], [None]),
    ],
)
def test_lanes_share_what_a_run_may_still_do(fields, receive, redrive):
    run = a_run(3, **fields)
    shares.begin_round(run)

    assert run.working == list(range(len(receive)))
    assert [lane.may_receive for lane in run.at_work] == receive
    assert [lane.may_redrive for lane in run.at_work] == redrive
    assert [lane.name for lane in run.at_work] == [f"run-1-l{n}-1" for n in run.working]
    assert all(not lane.name for lane in run.lanes[len(receive) :])


@given(
    count=st.integers(1, 40),
    most=st.integers(1, 5_000),
    step=st.integers(1, 5_000),
    rate=st.none() | st.floats(0.1, 3_000),
)
def test_shares_are_the_limit_and_no_lane_is_without_one(count, most, step, rate):
    asked = {"lanes": count} | ({} if rate is None else {"max_per_second": rate})
    run = a_run(1, step=step, request={"max_messages": most})
    run.lanes = shares.lanes(asked, 0, 10)
    shares.begin_round(run)

    receive = [lane.may_receive or 0 for lane in run.at_work]
    redrive = [lane.may_redrive or 0 for lane in run.at_work]
    assert (sum(receive), sum(redrive)) == (most, step)
    assert min(receive) >= 1
    assert min(redrive) >= 1
    if rate is not None:
        rates = [lane.rate or 0 for lane in run.lanes]
        assert sum(rates) == (rate if len(rates) == 1 else int(rate))
        assert len(rates) == 1 or min(rates) >= 1

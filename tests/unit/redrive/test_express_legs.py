"""The legs of lanes that are Express executions, of which Step Functions tells nothing after."""

import pytest

from tests.support.messages import an_operator
from workflows.queues.queue import default
from workflows.redrive import leg_executions, legs, ownership, progress, runs, statements
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Lane, begin_leg
from workflows.redrive.legs import Result
from workflows.redrive.partiql import execute
from workflows.runtime.settings import settings


@pytest.fixture(autouse=True)
def express(tables, monkeypatch):
    monkeypatch.setenv("REDRIVE_LANE_TYPE", "EXPRESS")
    settings.cache_clear()
    ownership.acquire("run-1", default(), "api", an_operator(), {})
    yield
    settings.cache_clear()


def unanswered(lane=None):
    if lane is None:
        lane = Lane(number=2)
        begin_leg(lane, "run-1", 1, may_receive=None, may_redrive=None, waves=300)
    return legs.end("run-1", default(), lane, Result(error=lane.lost or "States.Timeout"))


def test_leg_that_gave_no_answer_is_lost_until_it_is_over_in_any_case(later):
    lane = unanswered()
    assert (lane.lost, lane.failure) == ("States.Timeout", "")

    later(290)
    assert unanswered(lane).lost == "States.Timeout"

    counted = Lane(number=2, counts=dict.fromkeys(COUNTED, 0) | {"redriven": 7})
    execute([statements.note_progress("run-1", [counted])])
    later(310)
    lane = unanswered(lane)
    assert (lane.lost, lane.failure) == ("", "LaneStopped")
    assert lane.reason == "Lane 2 gave no answer: States.Timeout."
    assert lane.counts["redriven"] == 7  # as its guards had noted


def test_nobody_looks_for_the_executions_of_legs_whose_arns_nobody_knows():
    row = runs.get("run-1") | {"working": [0, 1], "round": 3, "lane_1": {"redriven": 2}}

    assert leg_executions.of_row(row) == []
    (lane,) = progress.lanes(row)
    assert (lane.lane, lane.redriven, lane.execution_arn) == (1, 2, None)

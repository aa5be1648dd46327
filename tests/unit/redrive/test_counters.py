"""The counters of a run in its row: a column for each lane, and all of them added up."""

from typing import Any

import pytest

from workflows.redrive import counters, leg_executions, partiql, statements
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Lane
from workflows.runtime import aws

ZEROS = dict.fromkeys(COUNTED, 0)


def a_lane(number, **counts):
    return Lane(number=number, counts=ZEROS | counts)


def test_column_of_a_lane_has_no_zeros():
    lanes = [a_lane(0, redriven=3, left=1), a_lane(12)]

    assert counters.columns(lanes) == {"lane_0": {"redriven": 3, "left": 1}, "lane_12": {}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"lane_0": {"redriven": 3}}, {"received": 3, "redriven": 3}),
        (
            {"lane_0": {"redriven": 3, "left": 2}, "lane_11": {"redriven": 4, "failed": 1}},
            {"received": 8, "redriven": 7, "failed": 1, "left": 2},
        ),
        ({"redriven": 9, "lane_0": {}}, {}),  # of the totals only the lanes know
    ],
    ids=["one lane", "two", "nothing yet"],
)
def test_counters_of_all_lanes_are_the_run_s(row, expected):
    found = counters.added_up(row)

    assert found == row | {"received": 0} | ZEROS | expected


def test_row_from_before_there_were_lanes_is_as_it_was():
    row = {"run_id": "run-1", "received": 3, "redriven": 3}

    assert counters.added_up(row) == row
    assert counters.of_lanes(row) == {}


def test_lanes_are_in_the_order_of_their_numbers():
    row: dict[str, Any] = {f"lane_{number}": {} for number in (10, 9, 0)}

    assert list(counters.of_lanes(row)) == [0, 9, 10]


def noted():
    return counters.added_up(
        aws.dynamodb().get_item(TableName="Runs", Key={"run_id": "run-1"})["Item"]
    )


@pytest.mark.usefixtures("tables")
def test_lane_that_writes_its_counters_again_counts_once_and_no_other_s():
    aws.dynamodb().put_item(TableName="Runs", Item={"run_id": "run-1", "status": "RUNNING"})
    for lane in (a_lane(0, redriven=3), a_lane(1, redriven=4), a_lane(1, redriven=4)):
        partiql.execute([statements.note_progress("run-1", [lane])])
    assert noted()["redriven"] == 7
    partiql.execute([statements.note_progress("run-1", [a_lane(1, redriven=5)])])

    assert (noted()["redriven"], noted()["lane_0"]) == (8, {"redriven": 3})


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({}, []),
        ({"round": 7, "working": [0]}, ["run-1-l0-7"]),
        ({"round": 7, "working": [0, 1]}, ["run-1-l0-7", "run-1-l1-7"]),
    ],
    ids=["before the first leg", "one lane", "two"],
)
def test_row_says_which_legs_were_the_last(row, names):
    found = leg_executions.of_row({"run_id": "run-1"} | row)

    assert [arn.rpartition(":")[2] for arn in found] == names
    assert all(":execution:redrive_lane:" in arn for arn in found)

"""The arithmetic of lanes on AWS."""

import pytest

from local import bench_reckoned
from local.bench_ways import Measured
from workflows.redrive.prices import Item

LANE = Measured(rate=20.0, message={Item.TRANSITIONS: 0.5, Item.WRITES: 8.0}, once={})


def test_rate_grows_with_the_lanes_and_each_quota_is_used_by_its_share():
    part = bench_reckoned.part({0: {}, 40: {"one lane": LANE}})

    rows = {name: cells for name, *cells in part.rows}
    assert rows.pop("messages a second") == ["", "20", "80", "200", "800"]
    assert list(rows.values()) == [
        ["3,000", "0.7%", "2.7%", "6.7%", "26.7%"],
        ["700,000", "0.0%", "0.0%", "0.0%", "0.1%"],
        ["10,000", "0.2%", "0.8%", "2.0%", "8.0%"],
        ["500", "4.0%", "16.0%", "40.0%", "160.0%"],
        ["10,000", "0.2%", "0.8%", "2.0%", "8.0%"],
    ]


def test_nothing_is_reckoned_of_what_was_not_measured():
    with pytest.raises(LookupError, match="one lane was not measured"):
        bench_reckoned.part({40: {}})

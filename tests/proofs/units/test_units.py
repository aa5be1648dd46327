"""What each path takes of DynamoDB, held against the page that tells of it."""

import pytest

from local.stack import ROOT
from tests.proofs.units.paths import RUN, Part, measure, side_by_side
from tests.support import tables
from workflows.redrive import estimate
from workflows.redrive.prices import Item

# Write units a message, of bodies of 500 bytes.
MOST = {
    "healthy: sent, processed": 7,
    "failing: sent, failed four times, dead": 30,
    "redriven: the run": 4.7,
    "redriven: the consumer": 10,
    "parked: consumed behind a failing one, processed": 22.7,
}
# Which of their sixteen shards takes most is chance.
SHARDED = {"Messages/TroubleIndex", "Messages/RunIndex", "Groups/FencedIndex"}
DOCUMENT = ROOT / "docs" / "performance.md"


@pytest.fixture(scope="module")
def parts():
    return measure()


@pytest.mark.tables
def test_page_tells_the_units_of_each_path(parts):
    header = ("path", "write units", "read units", "of the writes", "hottest keys")
    rows = [
        (part.name, f"{part.write_units:.1f}", f"{part.read_units:.1f}", _places(part), _hot(part))
        for part in parts
    ]

    tables.hold("units", header, rows, DOCUMENT)


def test_no_path_takes_more_than_it_may(parts):
    assert [part.name for part in parts] == list(MOST)
    over = {one.name: one.write_units for one in parts if one.write_units > MOST[one.name]}
    assert over == {}


def test_no_key_that_messages_share_takes_a_tenth_of_a_path(parts):
    """Beside the group's own items, which no other group writes."""
    for part in parts:
        for place in part.bill.by_place():
            key, units = part.bill.hottest(place)
            own = part.name.startswith("parked") and "/" not in place
            assert own or units <= part.bill.write_units / 10, (part.name, place, key)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lanes", [4, pytest.param(40, marks=pytest.mark.soak)])
def test_no_key_takes_a_tenth_of_a_run_however_many_lanes_it_has(lanes):
    """The hottest are the run's own row and its lock, which each guard of each lane writes."""
    run = side_by_side(lanes)

    keys = {
        f"{place} {key}": units / run.bill.write_units
        for place in run.bill.by_place()
        for key, units in run.bill.by_key(place).items()
    }
    assert {key: part for key, part in keys.items() if part > 0.1} == {}


def test_plan_reckons_with_what_a_run_writes_and_reads(parts):
    (run,) = (part for part in parts if part.name == RUN)

    reckoned = estimate.usage(run.messages, batches=-(-run.messages // 10), transitions=0)

    assert reckoned[Item.WRITES] == pytest.approx(run.bill.write_units, rel=0.1)
    assert reckoned[Item.READS] == pytest.approx(run.bill.read_units, rel=0.1)


def _places(part: Part) -> str:
    found = sorted(part.bill.by_place(), key=lambda place: -part.at(place))
    return ", ".join(f"{place} {part.at(place):.1f}" for place in found if part.at(place) >= 0.05)


def _hot(part: Part) -> str:
    """Return the hottest key of each place, where messages share any: its units a message."""
    found = {}
    for place, units in part.bill.by_place().items():
        if place in SHARDED:
            continue
        _, hottest = part.bill.hottest(place)
        if hottest >= units * 2 / part.messages:
            found[place] = hottest / part.messages
    hot = sorted(found.items(), key=lambda one: -one[1])
    return ", ".join(f"{place} {units:.1f}" for place, units in hot if units >= 0.05) or "none"

"""Every fault that must be survived has a test of its own; what else is named as proof exists."""

import pytest

from tests.proofs.faults import checked
from tests.proofs.faults.rows import ROWS, exists, rows
from tests.support import invariants
from tests.support.tables import hold


def test_rows_are_numbered_without_a_gap():
    assert sorted(ROWS) == list(range(1, 28))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"row {row.number}")
def test_row_has_a_test_of_its_own_and_all_its_tests_exist(row):
    assert any(test.startswith("proofs.faults.") for test in row.tests), row.fault
    assert [test for test in row.tests if not exists(test)] == []


def test_missing_test_is_found():
    assert not exists("machines.redrive.test_faults::test_that_is_not_there")
    assert not exists("machines.scenarios::test_that_is_not_there")
    assert not exists("machines.test_that_is_not_there::test_of_nothing")
    assert not exists("machines.redrive.test_let_go::stopped_in")  # no test


def test_test_that_asks_nothing_is_found(world):
    proves, reads = pytest.mark.fault(1).mark, pytest.mark.fault(1, unchecked="It reads.").mark
    with checked.asking() as worlds:
        pass
    checked.demand([reads], worlds)
    with pytest.raises(AssertionError, match="never asked"):
        checked.demand([proves], worlds)

    with checked.asking() as worlds:
        invariants.broken(world)
    assert worlds == [world]
    checked.demand([proves], worlds)
    with pytest.raises(AssertionError, match="no need"):
        checked.demand([reads], worlds)


@pytest.mark.tables
def test_document_has_the_rows():
    hold(
        "faults",
        ("row", "fault", "must hold", "own tests in", "also", "not produced here"),
        (
            (
                row.number,
                row.fault,
                row.holds,
                ", ".join(dict.fromkeys(_module(test) for test in row.tests if _is_own(test))),
                ", ".join(dict.fromkeys(_module(test) for test in row.tests if not _is_own(test))),
                row.note,
            )
            for row in rows()
        ),
    )


def _is_own(test):
    return test.startswith("proofs.faults.")


def _module(test):
    return f"`{test.partition('::')[0].removeprefix('proofs.faults.').replace('.', '/')}`"

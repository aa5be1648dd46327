"""The shipped redriver stands what the naive one does not, and no mutant of it passes unseen."""

from collections.abc import Iterable
from functools import cache

import pytest

from tests.proofs.faults.rows import ROWS
from tests.proofs.redrivers.fence_stories import FENCE_STORIES
from tests.proofs.redrivers.hostile_stories import HOSTILE_STORIES
from tests.proofs.redrivers.mutants import MUTANTS
from tests.proofs.redrivers.naive import NaiveRedriver
from tests.proofs.redrivers.registered_mutants import REGISTERED_MUTANTS
from tests.proofs.redrivers.registered_stories import REGISTERED_STORIES
from tests.proofs.redrivers.run_stories import RUN_STORIES
from tests.proofs.redrivers.stories import STORIES, Told
from tests.proofs.redrivers.telling import breaches, tell
from tests.support.tables import hold

FOR_ANY = (*STORIES, *HOSTILE_STORIES)
_OTHERS = (*FENCE_STORIES, *RUN_STORIES, *REGISTERED_STORIES)
ALL = {told.name: told for told in (*FOR_ANY, *_OTHERS)}
ALL_MUTANTS = [*MUTANTS, *REGISTERED_MUTANTS]
# What the consumer, the ledger and the guard make good even for a redriver that knows of none.
_NAIVE_FAILS = {
    "soon_after_it_was_sent",
    "some_are_not_sent",
    "first_of_a_group_is_not_sent",
    "two_at_once",
    "queue_looks_empty",
    "malformed",
    "unknown_to_the_ledger",
}


@cache
def _ours(name: str) -> list[str]:
    """Return what the shipped redriver breaks in a story, told once for all tests of a worker."""
    return tell(ALL[name])


@pytest.mark.xdist_group("naive-redriver")
@pytest.mark.parametrize("name", ALL)
def test_shipped_redriver_keeps_every_promise(name: str) -> None:
    assert _ours(name) == []


@pytest.mark.tables
@pytest.mark.xdist_group("naive-redriver")
@pytest.mark.timeout(300)
def test_naive_redriver_breaks_what_it_must() -> None:
    found = {told.name: tell(told, NaiveRedriver()) for told in FOR_ANY}
    rows = [
        (
            told.sentence,
            _numbers(told.rows),
            _in_words(found[told.name]),
            _in_words(_ours(told.name)),
        )
        for told in FOR_ANY
    ]
    others = {
        "Stories of fence and consumer, in which no redriver can do right or wrong.": FENCE_STORIES,
        "Stories of a run and its lane, which other redrivers have not.": RUN_STORIES,
        "Stories of a registered queue, of whose messages nobody else knows.": REGISTERED_STORIES,
    }
    rows += [
        *(
            (
                sentence,
                _numbers(_rows_of(found_by) - _rows_of(FOR_ANY)),
                "not told",
                _in_words([sentence for told in found_by for sentence in _ours(told.name)]),
            )
            for sentence, found_by in others.items()
        ),
        (
            "No story: the tests of these rows are named above.",
            _numbers(ROWS.keys() - _rows_of(ALL.values())),
            "not told",
            "not told",
        ),
    ]
    hold("naive", ("what happens", "rows of faults", "naive redriver", "ours"), rows)
    assert {name for name, sentences in found.items() if breaches(sentences)} == _NAIVE_FAILS


@pytest.mark.tables
@pytest.mark.xdist_group("mutants")
@pytest.mark.timeout(300)
def test_every_mutant_is_caught() -> None:
    rows, unseen = [], []
    for mutant in ALL_MUTANTS:
        with mutant.alive() as definitions:
            seen = tell(ALL[mutant.seen_by], definitions=definitions)
        rows.append((mutant.name, ALL[mutant.seen_by].sentence, _in_words(seen)))
        unseen += [] if breaches(seen) else [mutant.name]
    hold("mutants", ("broken on purpose", "seen in the story", "as"), rows)
    assert unseen == []


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", ALL_MUTANTS, ids=lambda mutant: mutant.name)
def test_what_every_story_sees_of_a_mutant(mutant) -> None:
    with mutant.alive() as definitions:
        seen = [name for name, told in ALL.items() if breaches(tell(told, definitions=definitions))]
    assert mutant.seen_by in seen


def test_mutant_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="does not stand"), _mutant("no such text").alive():
        pass


def _mutant(old: str):
    from tests.proofs.redrivers.mutants import Mutant

    return Mutant("none", "healthy", (("redrive_lane", "MoreToDo", old, ""),))


def _rows_of(stories: Iterable[Told]) -> set[int]:
    return {number for told in stories for number in told.rows}


def _numbers(rows: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(rows)))


def _in_words(sentences: list[str]) -> str:
    """Return the invariants that were broken, once each, without what differs from run to run."""
    kinds = dict.fromkeys(sentence.partition(":")[0].lower() for sentence in sentences)
    return ", ".join(kinds) or "holds"

"""The model says what the code does: the table between them, held to both."""

import re
import tomllib

import pytest

from tests.proofs.model.searches import MUTANTS, PROVED, SEARCHES
from tests.proofs.model.sources import SOURCES
from tests.proofs.model.spin import MODEL
from tests.support.tables import hold

TABLE = tomllib.loads((MODEL / "transitions.toml").read_text(encoding="utf-8"))
_STEP = re.compile(r":: (?:d_step|atomic) \{")
_NAME = re.compile(r"/\* @([a-z_]+\.[a-z_]+)[a-z_ ]* \*/")


def lines():
    """Yield the model's lines, a macro's with what continues them, as (file, line)."""
    for path in sorted(MODEL.glob("*.pml")):
        for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            yield path.name, line


def steps():
    """Return the lines on which a step of the model begins."""
    macros = {
        found[1] for _, line in lines() if (found := re.match(r"#define (\w+)\(.*:: d_step", line))
    }
    return [
        (name, line.strip())
        for name, line in lines()
        if not line.startswith("#define")
        and (_STEP.search(line) or re.match(rf"\s*({'|'.join(macros)})\(", line))
    ]


def named():
    return {found[1] for _, line in lines() for found in _NAME.finditer(line)}


def test_each_step_of_the_model_has_a_name():
    assert [step for step in steps() if not _NAME.search(step[1])] == []


def test_each_transition_has_a_row_and_each_row_a_transition():
    assert sorted(TABLE) == sorted(named())


def test_each_row_has_a_condition_or_says_why_it_has_none():
    assert {name for name, row in TABLE.items() if "condition" in row} == SOURCES.keys()
    assert [name for name, row in TABLE.items() if not row.get("condition", row.get("about"))] == []


@pytest.mark.parametrize("name", SOURCES)
def test_condition_in_the_code_is_the_one_that_the_model_has(name, environment):
    """When this fails: change the model first, run `make model`, then write the new text here."""
    assert SOURCES[name]() == TABLE[name]["condition"]


def test_each_mutant_of_the_model_is_searched():
    """A mutant that no search has would prove nothing."""
    mutants = {found for _, line in lines() for found in re.findall(r"MUTANT_\w+", line)}

    assert {found for one in SEARCHES for found in re.findall(r"MUTANT_\w+", one.defines)} == (
        mutants - {"MUTANT_"}
    )


def test_each_search_says_what_must_come_of_it():
    assert [
        one.name for one in PROVED if one.breaks or not one.states or "MUTANT" in one.defines
    ] == []
    assert [one.name for one in MUTANTS if not one.breaks or "MUTANT" not in one.defines] == []
    assert len({one.name for one in SEARCHES}) == len(SEARCHES)


@pytest.mark.tables
def test_document_has_the_searches():
    hold(
        "model",
        ("search", "what", "states", "defines"),
        [
            (one.name, one.about, f"{one.states:,}", f"`{one.defines}`{' (`--all`)' * one.long}")
            for one in PROVED
        ],
    )
    hold(
        "model mutants",
        ("mutant", "what", "breaks", "defines"),
        [(one.name, one.about, one.breaks, f"`{one.defines}`") for one in MUTANTS],
    )

"""Each `Assign` gives the same on AWS, which assigns all at once, as here, one after the other."""

import re
from typing import Any

import pytest

from tests.support.redrive_expressions import evaluate, states

# What reads a variable that the same Assign set before it: (state, set, read by).
READ_AFTER = {("MoreToDo", "past", "turn")}


def assigns() -> list[tuple[str, dict[str, Any]]]:
    """Return every Assign of the machine with the name of its state."""
    found = []
    for name, state in states().items():
        holders = [state, *state.get("Choices", []), *state.get("Catch", [])]
        found += [(name, holder["Assign"]) for holder in holders if "Assign" in holder]
    return found


def test_no_assign_reads_what_it_has_just_set_but_where_it_does_not_matter():
    found = set()
    for state, assign in assigns():
        names = list(assign)
        for position, name in enumerate(names):
            for reader in names[position + 1 :]:
                if re.search(rf"\${name}\b(?!\s*:=)", str(assign[reader])):
                    found.add((state, name, reader))

    assert found == READ_AFTER


def judged(index, group, wave, outcome=None):
    found = {"index": index, "group": group, "wave": wave, "verdict": "redrive"}
    return found | ({"outcome": outcome} if outcome else {})


@pytest.mark.parametrize("outcome", ["redrive", "refused", "quarantine"])
def test_next_wave_is_the_same_in_both_orders(outcome):
    (assign,) = [assign for state, assign in assigns() if state == "MoreToDo" and "past" in assign]
    variables = {
        "past": [judged(0, "a", 0, "refused")],
        "turn": [judged(1, "b", 1, outcome), judged(2, "c", 1, "redrive")],
        "verdicts": [judged(3, "a", 2), judged(4, "b", 2), judged(5, "c", 2), judged(6, "d", 3)],
        "wave": 1,
    }
    at_once = {name: evaluate(text, **variables) for name, text in assign.items()}
    one_by_one = dict(variables)
    for name, text in assign.items():
        one_by_one[name] = evaluate(text, **one_by_one)

    assert at_once == {name: one_by_one[name] for name in assign}
    assert at_once["wave"] == 2
    stays = outcome == "refused"
    assert [v["group"] for v in at_once["turn"]] == (["c"] if stays else ["b", "c"])

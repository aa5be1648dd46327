"""`docs/decisions.md`: each entry has its parts, and the contents list every entry."""

import re

import pytest

from local.stack import ROOT
from tests.support import tables

PAGE = ROOT / "docs" / "decisions.md"
ENTRY = re.compile(
    r"\n(?P<date>\d{4}-\d\d-\d\d) · undo: (?P<undo>(easy|hard)[^\n]*)\n\n"
    r"\*\*Chosen\.\*\* \S.*?\n\n\*\*Instead of\.\*\* \S.*?\n\n\*\*Why\.\*\* \S.*",
    re.DOTALL,
)


def text():
    return PAGE.read_text(encoding="utf-8")


def entries():
    """Return the entries by title, with the section that each is in."""
    found = {}
    for section in text().split("\n## ")[1:]:
        name, _, rest = section.partition("\n")
        before, *written = rest.split("\n### ")
        assert (bool(written), before.strip()) == (True, ""), f"not an entry of a section: {name}"
        for entry in written:
            title, _, body = entry.partition("\n")
            assert title not in found
            found[title] = (name, "\n" + body)
    return found


def parts(body: str) -> re.Match[str]:
    found = ENTRY.fullmatch(body)
    assert found, f"not the parts of an entry: {body}"
    return found


def anchor(title):
    """Return what GitHub makes of a heading to link to."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def contents():
    lines, last = [], ""
    for title, (section, body) in entries().items():
        if section != last:
            lines += [f"\n**[{section}](#{anchor(section)})**\n"]
            last = section
        is_hard = parts(body)["undo"].startswith("hard")
        lines += [f"- [{title}](#{anchor(title)}){' · hard to undo' if is_hard else ''}"]
    return "\n".join(lines) + "\n\n"


@pytest.mark.parametrize("title", entries())
def test_entry_says_what_was_chosen_what_else_was_possible_why_and_how_hard_to_undo(title):
    _, body = entries()[title]

    assert parts(body)
    assert [body.count(part) for part in ("**Chosen.**", "**Instead of.**", "**Why.**")] == [1] * 3


def test_entries_of_a_section_stand_in_the_order_of_their_dates():
    by_section: dict[str, list[str]] = {}
    for section, body in entries().values():
        by_section.setdefault(section, []).append(parts(body)["date"])

    assert {section: sorted(dates) for section, dates in by_section.items()} == by_section


@pytest.mark.tables
def test_contents_list_every_entry():
    tables.hold_text("contents", contents(), PAGE)

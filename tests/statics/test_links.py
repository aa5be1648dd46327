"""What our pages point to is there: pages, headings, files, and targets of `make`."""

import re

import pytest

from local.stack import ROOT

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "statemachines" / "README.md",
    ROOT / "tests" / "README.md",
]
FOLDERS = ("clients", "docs", "lambdas", "local", "statemachines", "tests", "workflows", ".github")
RULES = re.findall(
    r"^([a-z -]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
)
TARGETS = {target for rule in RULES for target in rule.split()}


def text(page):
    return page.read_text(encoding="utf-8")


def prose(page):
    """Return a page without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return what GitHub makes of a page's headings to link to."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def links(page):
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not link.startswith(("http://", "https://"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page):
    begins = rf"(?:(?<![\w/.-])|\$PWD/)((?:{'|'.join(FOLDERS)})/[\w./-]*\w)"
    # The tests' own page leaves out what all of its paths begin with.
    places = (ROOT, page.parent, page.parent / "unit")

    assert [
        path
        for path in re.findall(begins, text(page))
        if not any((place / path).exists() for place in places)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_that_a_page_names_are_there(page):
    named = re.findall(r"`make ([a-z-]+)|^ *make ([a-z-]+)", text(page), re.MULTILINE)

    assert {one or other for one, other in named} <= TARGETS


def test_readme_leads_to_every_page():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}

    assert {page for page in PAGES if page.name != "README.md"} <= linked
    assert {ROOT / "tests" / "README.md", ROOT / "statemachines" / "README.md"} <= linked

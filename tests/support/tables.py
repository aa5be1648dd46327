"""Parts of our pages that tests make of what they find, and hold against it; most of testing.md.

`make tables` writes what the tests found; otherwise a part that says something else fails its
test.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from local.stack import ROOT

DOCUMENT = ROOT / "docs" / "testing.md"


def hold(
    name: str,
    header: tuple[str, ...],
    rows: Iterable[tuple[object, ...]],
    document: Path = DOCUMENT,
) -> None:
    """Hold a table of a document against what a test found, or write it if asked to.

    Args:
        name: the table stands between `<!-- name -->` and `<!-- /name -->`.
        header: of the columns.
        rows: as many values each.
        document: the page.

    Raises:
        AssertionError: the document says something else.
    """
    lines = [header, tuple("---" for _ in header), *rows]
    hold_text(name, "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines), document)


def hold_text(name: str, part: str, document: Path) -> None:
    """Hold a part of a document, which stands between the same two comments, or write it.

    Raises:
        AssertionError: the document says something else.
    """
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", text, re.DOTALL)
    assert found, f"{document.name} has no part {name}"
    if os.environ.get("WRITE_TABLES"):
        document.write_text(text[: found.start(2)] + part + text[found.end(2) :], encoding="utf-8")
        return
    assert found[2] == part, f"{document.name} tells of {name} otherwise: run `make tables`"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")

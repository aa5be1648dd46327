"""Parts of our pages that tests make of what they find, and hold against it; most of testing.md.

`make tables` writes what the tests found; otherwise a part that says something else fails its
test.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from local import pages
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
    hold_text(name, pages.markdown(header, rows), document)


def hold_text(name: str, part: str, document: Path) -> None:
    """Hold a part of a document, which stands between the same two comments, or write it.

    Raises:
        AssertionError: the document says something else.
    """
    if os.environ.get("WRITE_TABLES"):
        pages.write(document, name, part)
        return
    found = pages.part(document, name)[2]
    assert found == part, f"{document.name} tells of {name} otherwise: run `make tables`"

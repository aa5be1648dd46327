"""The tables in `docs/testing.md`: made by the tests that prove them, and held against them.

`make tables` writes what the tests found; otherwise a table that says something else fails its
test.
"""

import os
import re
from collections.abc import Iterable

from local.stack import ROOT

DOCUMENT = ROOT / "docs" / "testing.md"


def hold(name: str, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Hold a table of the document against what a test found, or write it if asked to.

    Args:
        name: the table stands between `<!-- name -->` and `<!-- /name -->`.
        header: of the columns.
        rows: as many values each.

    Raises:
        AssertionError: the document says something else.
    """
    lines = [header, tuple("---" for _ in header), *rows]
    table = "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", text, re.DOTALL)
    assert found, f"{DOCUMENT.name} has no table {name}"
    if os.environ.get("WRITE_TABLES"):
        DOCUMENT.write_text(text[: found.start(2)] + table + text[found.end(2) :], encoding="utf-8")
        return
    assert found[2] == table, f"{DOCUMENT.name} tells of {name} otherwise: run `make tables`"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")

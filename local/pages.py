"""Parts of our pages that are made of what was found: each stands between two comments."""

import re
from collections.abc import Iterable
from pathlib import Path


class NoSuchPart(Exception):
    """The page has no such part."""


def markdown(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table."""
    columns = list(header)
    lines: list[Iterable[object]] = [columns, ["---" for _ in columns], *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def part(page: Path, name: str) -> re.Match[str]:
    """Find what stands between `<!-- name -->` and `<!-- /name -->`: the match's second group.

    Raises:
        NoSuchPart: nothing does.
    """
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", text, re.DOTALL)
    if not found:
        raise NoSuchPart(f"{page.name} has no part {name}.")
    return found


def write(page: Path, name: str, text: str) -> None:
    """Write a part anew."""
    found = part(page, name)
    whole = found.string[: found.start(2)] + text + found.string[found.end(2) :]
    page.write_text(whole, encoding="utf-8")


def put(page: Path, name: str, header: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    """Write a table into its part."""
    write(page, name, markdown(header, rows))


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")

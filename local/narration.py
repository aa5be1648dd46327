"""Telling a story on a terminal of 100 columns: chapters, calls, tables, and claims checked."""

import json
import re
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from local.client import Answer

WIDTH = 100
_TOKEN = re.compile(r'("access_token": ?")([^"]{8})[^"]*"')


def chapter(title: str, began: float) -> None:
    """Begin a chapter; `began` is the story's start in `time.monotonic()`."""
    print(f"\n== {title} ".ljust(WIDTH - 8, "=") + f"{time.monotonic() - began:5.0f} s", flush=True)


def say(text: str) -> None:
    """Say a paragraph."""
    print(textwrap.fill(text, WIDTH), flush=True)


def look(text: str) -> None:
    """Show something to look at, a little to the right."""
    print(_wrapped(text, "    ", "      "), flush=True)


def call(method: str, path: str, body: str | None, answer: Answer) -> None:
    """Show an API call and its answer; of an access token, its beginning."""
    print(_wrapped(f"{method} {path} {body or ''}".rstrip(), "  > ", "      "))
    text = answer.text
    if answer.headers.get_content_type() == "application/json":
        text = json.dumps(answer.json, ensure_ascii=False)
    text = _TOKEN.sub(r'\1\2..."', text)
    print(_wrapped(f"{answer.status} {text}", "    < ", "      "), flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; a column of numbers is aligned to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    for line in [list(header), ["-" * width for width in widths], *cells]:
        print(
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, numeric, strict=True)
            ).rstrip()
        )


def records(names: Sequence[str], found: Sequence[dict[str, Any]]) -> None:
    """Print these fields of the API's records; of `at` the time of day, of `run_id` its end."""
    parts = {"at": slice(11, 23), "run_id": slice(-8, None)}
    rows = [
        ["-" if record.get(n) is None else str(record[n])[parts.get(n, slice(None))] for n in names]
        for record in found
    ]
    table(names, rows)


@dataclass
class Claims:
    """What the story says, each held against what was found."""

    failed: int = 0
    lines: list[str] = field(default_factory=list)

    def equal(self, claim: str, found: object, expected: object) -> None:
        """Claim that what was found is what was expected."""
        self.holds(claim, found == expected, f"found {found!r}, expected {expected!r}")

    def holds(self, claim: str, true: bool, otherwise: str) -> None:
        """Claim something; `otherwise` says what was found instead."""
        if not true:
            self.failed += 1
        self.lines.append(f"ok      {claim}" if true else f"FAILED  {claim}: {otherwise}")

    def show(self) -> None:
        """Print every claim on a line of its own."""
        for line in self.lines:
            print(_wrapped(line, "", "        "))


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )

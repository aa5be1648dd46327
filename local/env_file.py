"""`.env`, beside the Makefile: settings of the local stack's commands, as in `.env.sample`."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What the commands take from it; for anything else a `.env` may hold, such as a region or an AWS
# profile, the environment of the shell is asked alone.
NAMES = ("PORT", "LATENCY_MS", "SFN_MOCK_CONFIG", "APP_USER_EMAIL", "APP_USER_PASSWORD")


def load(path: Path = ROOT / ".env") -> None:
    """Put what a file says into the environment, where that says nothing.

    Raises:
        ValueError: in one sentence, naming the line and never its value.
    """
    if path.exists():
        for name, value in _settings(path.read_text(encoding="utf-8").splitlines(), path.name):
            if name in NAMES:
                os.environ.setdefault(name, value)


def _settings(lines: Iterable[str], file: str) -> Iterable[tuple[str, str]]:
    """Yield name and value of each line, read as a shell reads it."""
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line.removeprefix("export "), comments=True)
        except ValueError:
            words = ["", ""]
        if not words:
            continue
        name, equals, value = words[0].partition("=")
        if len(words) > 1 or not equals or not name.isidentifier():
            raise ValueError(f"Line {number} of {file} is no NAME=value; quote what has spaces.")
        yield name, value

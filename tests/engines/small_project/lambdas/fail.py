"""A function that always fails."""

from typing import Any, NoReturn

print("cold start")  # noqa: T201 - counted by a test


class AccountFrozen(Exception):
    """An exception whose text is hard to tell from its name."""


def handler(event: Any, context: Any) -> NoReturn:
    """Raise it."""
    raise AccountFrozen("first line: of\ntwo lines")

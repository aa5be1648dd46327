"""A function that always fails."""

from typing import Any, NoReturn


class AccountFrozen(Exception):
    """An exception whose text is hard to tell from its name."""


def handler(event: Any, context: Any) -> NoReturn:
    """Raise it."""
    raise AccountFrozen("first line: of\ntwo lines")

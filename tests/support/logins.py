"""Logins: who tries, from where and when."""

from contextlib import suppress

import pytest

from workflows.access import sign_in as signing_in
from workflows.access.failures import TooManyFailures
from workflows.access.sign_in import WrongCredentials
from workflows.access.users import User
from workflows.runtime import clock

EMAIL = "ann@example.com"
PASSWORD = "correct horse battery"
WRONG = "a wrong password"
NOBODY = "nobody@example.com"
NOW = 1_764_000_000
# Addresses for documentation (RFC 5737, RFC 3849).
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def at(monkeypatch: pytest.MonkeyPatch, second: int) -> None:
    """Let it be so many seconds after the tests began."""
    monkeypatch.setattr(clock, "epoch", lambda: NOW + second)


def sign_in(email: str = EMAIL, password: str = PASSWORD, source: str = HERE) -> User:
    return signing_in.sign_in(email, password, source)


def fail(email: str = EMAIL, times: int = 1, source: str = HERE) -> None:
    """Try a wrong password; each is told to be wrong."""
    for _ in range(times):
        with pytest.raises(WrongCredentials):
            sign_in(email, WRONG, source)


def told(email: str, guesses: int, sources: list[str]) -> int:
    """Return how many of so many guesses, from each source in turn, are told to be wrong."""
    found = 0
    for guess in range(guesses):
        with suppress(TooManyFailures):
            try:
                sign_in(email, WRONG, sources[guess % len(sources)])
            except WrongCredentials:
                found += 1
    return found

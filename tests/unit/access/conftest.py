"""Users and their logins: hashes that cost little, and somebody who may sign in."""

import pytest

from tests.support.logins import EMAIL, PASSWORD, at
from workflows.access import passwords
from workflows.operator.user_changes import add_user


@pytest.fixture
def quick(monkeypatch):
    """Let a hash cost a thousandth, alike for those who are there and who are not."""
    today = passwords.SCRYPT | {"n": 2**5}
    monkeypatch.setattr(passwords, "SCRYPT", today)
    monkeypatch.setattr(passwords, "FORMER", passwords.FORMER | {"n": 2**2})
    nobody = passwords.NOBODY["scrypt"] | today
    monkeypatch.setattr(passwords, "NOBODY", passwords.NOBODY | {"scrypt": nobody})


@pytest.fixture
def ann(tables, quick, monkeypatch):
    """Add a user, at the time that tests begin with."""
    at(monkeypatch, 0)
    add_user(EMAIL, PASSWORD, ["producer"])

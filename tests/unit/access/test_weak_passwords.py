"""Passwords that are guessed first, and passwords that only look a little like them."""

import pytest

from tests.support.logins import PASSWORD
from workflows.access.users import InvalidUser
from workflows.access.weak_passwords import weakness
from workflows.operator.user_changes import add_user

EMAIL = "annabel.lee@example.com"


@pytest.mark.parametrize("password", [
    "1qaz2wsx3edc", "QwertyUiop123", "Password1234", "password!!!!", "12345password",
    "P4ssw0rd2026", "passwordpassword", "letmeinletmein", "Sunshine2026!", "qwerty123456",
    "abcabcabcabc", "aaaaaaaaaaaa", "aaaabbbbcccc", "abcdefghijkl", "123456789012",
    "zyxwvutsrqpo", "987654321098", "correctcorrect", "annabel.lee@example.com",
    "Annabel.Lee@Example.com", "annabel2026!", "leeannabel12", "example.com1234",
    "ｐａｓｓｗｏｒｄ1234",
])  # fmt: skip
def test_what_is_guessed_first_is_refused(password):
    with pytest.raises(InvalidUser, match=r"^The password (is|has)"):
        add_user(EMAIL, password, ["producer"])


@pytest.mark.parametrize("password", [
    PASSWORD, "correct horse battery staple", "another password", "tr0mbone & kettle",
    "ünïcödé häßlich", "annabel lee by the sea", "monkeys dragons 7", "x8Kq-0pLm-77ab",
])  # fmt: skip
def test_what_is_not_is_taken(password):
    assert weakness(password, EMAIL) is None


def test_common_passwords_are_thousands_and_none_is_too_short_to_matter():
    from workflows.access.weak_passwords import _common

    assert len(_common()) > 9_000
    assert min(map(len, _common())) == 6
    assert {"password", "qwerty", "1qaz2wsx3edc"} <= _common()
    assert all(word == word.casefold() for word in _common())

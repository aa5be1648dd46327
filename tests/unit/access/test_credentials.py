"""Whatever a keyboard makes of an accent: one password, and one e-mail address."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.logins import EMAIL, sign_in
from workflows.access.credentials import check_password, clean_email
from workflows.access.sign_in import WrongCredentials
from workflows.access.users import InvalidUser
from workflows.operator.user_changes import add_user

ACCENTS = "d\u00e9j\u00e0 vu \u1e69 \uac00\u212b"
FORMS = ("NFC", "NFD")


def form(name, text=ACCENTS):
    return unicodedata.normalize(name, text)


@pytest.mark.usefixtures("tables", "quick")
@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("typed", FORMS)
def test_password_is_the_same_in_either_form(stored, typed):
    assert form("NFC") != form("NFD")
    add_user(EMAIL, form(stored), ["producer"])

    assert sign_in(EMAIL, form(typed)).email == EMAIL


@pytest.mark.usefixtures("tables", "quick")
@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("typed", FORMS)
def test_email_is_the_same_in_either_form_and_case(stored, typed):
    add_user(form(stored, "zo\u00eb@example.com"), "correct horse battery", ["producer"])

    found = sign_in(form(typed, "ZO\u00cb@example.com"), "correct horse battery")

    assert found.email == form("NFC", "zo\u00eb@example.com")


@pytest.mark.usefixtures("tables", "quick")
@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("stra\u00dfe-stra\u00dfe", "strasse-strasse"),
        ("correct horse", "Correct horse"),
        ("correct \ufb01horse", "correct fihorse"),
        ("\uff41bcdef horse", "abcdef horse"),
        ("correct horse", " correct horse"),
    ],
)
def test_what_only_looks_alike_is_another_password(stored, typed):
    add_user(EMAIL, stored, ["producer"])

    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, typed)


@pytest.mark.usefixtures("tables", "quick")
def test_space_of_whatever_width_is_a_space():
    add_user(EMAIL, "correct\u00a0horse\u3000battery", ["producer"])

    assert sign_in(EMAIL, "correct horse battery").email == EMAIL


@pytest.mark.parametrize(
    ("one", "other"), [("stra\u00dfe@a.de", "strasse@a.de"), ("a@\uff41.de", "a@a.de")]
)
def test_emails_that_only_look_alike_are_two_users(one, other):
    assert clean_email(one) != clean_email(other)


def test_length_is_of_the_composed_password():
    eleven = "e\u0301" * 11
    with pytest.raises(InvalidUser, match="fewer than 12"):
        add_user(EMAIL, eleven, ["producer"])
    assert len(check_password(form("NFD", "\uac01" * 341)).encode()) == 1_023
    for password in (form("NFD", "\uac01" * 342), "p" * 1_025, "e\u0301" * 1_000_000):
        with pytest.raises(ValueError, match=r"1,?024|1024"):
            check_password(password)


@given(st.text(max_size=80))
def test_clean_text_stays_as_it_is(text):
    for clean in (check_password, clean_email):
        try:
            found = clean(text)
        except ValueError:
            continue
        assert clean(found) == found == unicodedata.normalize("NFC", found)

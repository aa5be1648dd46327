"""Sessions: a token ends with what its user was when it was issued."""

import pytest

from tests.support.logins import EMAIL, PASSWORD, sign_in
from workflows.access import tokens, users
from workflows.access.sessions import SessionEnded, roles_of
from workflows.access.sign_in import WrongCredentials
from workflows.operator.user_changes import add_user, remove_user

pytestmark = pytest.mark.usefixtures("tables", "token_key", "quick")


@pytest.fixture(autouse=True)
def operator(tables, quick):
    add_user(EMAIL, PASSWORD, ["operator"])


def session(password=PASSWORD):
    return tokens.verify(tokens.issue(sign_in(EMAIL, password)).access_token)


def test_session_goes_on_until_something_changes():
    first, second = session(), session()

    assert roles_of(first) == roles_of(second) == ["operator"]


def test_removed_user_is_signed_out():
    claims = session()
    remove_user(f" {EMAIL.upper()} ")
    with pytest.raises(SessionEnded):
        roles_of(claims)


@pytest.mark.parametrize("again", [PASSWORD, "another password"])
@pytest.mark.parametrize("roles", [["operator"], ["producer"]])
def test_demoted_or_repassworded_user_is_signed_out_everywhere(again, roles):
    claims = [session(), session()]
    add_user(EMAIL, again, roles)
    for found in claims:
        with pytest.raises(SessionEnded):
            roles_of(found)
    assert roles_of(session(again)) == roles


def test_who_is_removed_and_added_again_begins_anew():
    claims = session()
    remove_user(EMAIL)
    add_user(EMAIL, PASSWORD, ["operator"])
    with pytest.raises(SessionEnded):
        roles_of(claims)


def test_roles_are_those_of_the_row_even_if_a_hand_changed_it(tables):
    claims = session()
    tables.update_item(
        TableName="Users", Key={"email": EMAIL}, UpdateExpression="SET #r = :r",
        ExpressionAttributeNames={"#r": "roles"},
        ExpressionAttributeValues={":r": ["producer", "admin"]},
    )  # fmt: skip
    assert roles_of(claims) == ["producer"]


def test_row_that_only_counts_failures_is_no_user():
    claims = session()
    remove_user(EMAIL)
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, PASSWORD)
    with pytest.raises(SessionEnded):
        roles_of(claims)


def test_row_of_before_versions_gets_one_when_its_user_signs_in(tables):
    tables.update_item(
        TableName="Users", Key={"email": EMAIL}, UpdateExpression="REMOVE session_version"
    )
    first, second = session(), session()

    assert first.session_version == second.session_version
    assert roles_of(first) == ["operator"]


def test_failures_and_signing_in_end_no_session():
    claims = session()
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, "a wrong password")
    session()
    assert roles_of(claims) == ["operator"]


def test_nobody_can_be_removed_who_is_not_there():
    for email in ("bob@example.com", "no address"):
        with pytest.raises(users.InvalidUser):
            remove_user(email)
    with pytest.raises(WrongCredentials):
        sign_in("bob@example.com", PASSWORD)
    with pytest.raises(users.InvalidUser):
        remove_user("bob@example.com")  # whose row counts failures

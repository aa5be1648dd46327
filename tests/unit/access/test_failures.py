"""Failed logins: who locks out whom, for how long, and how many guesses there are in a day."""

import pytest

from tests.support.logins import (
    ELSEWHERE,
    EMAIL,
    HERE,
    NOBODY,
    NOW,
    PASSWORD,
    at,
    fail,
    sign_in,
    told,
)
from workflows.access import failures
from workflows.access.failures import TooManyFailures
from workflows.access.sign_in import WrongCredentials
from workflows.operator.user_changes import add_user

pytestmark = pytest.mark.usefixtures("ann")

DAY = 86_400
STRANGERS = [f"203.0.113.{host}" for host in range(1, 201)]


@pytest.fixture
def few(monkeypatch):
    """Let strangers have a dozen tries a day: 480 take moto some seconds."""
    monkeypatch.setattr(failures, "MAX_OF_STRANGERS", 12)


def items(tables):
    """Return what is counted, by the part of its key after the e-mail and the version."""
    found = tables.scan(TableName="Users")["Items"]
    return {item["email"].split(" ", 2)[2]: item for item in found if "password_hash" not in item}


# From one source


@pytest.mark.parametrize("email", [EMAIL, NOBODY])
def test_fifth_failure_locks_even_the_right_password_out(monkeypatch, email):
    fail(email, times=5)
    at(monkeypatch, 300)

    with pytest.raises(TooManyFailures) as refusal:
        sign_in(email)

    assert refusal.value.retry_after == 600
    assert "600 seconds" in str(refusal.value)


def test_window_begins_with_the_first_failure_and_ends_by_itself(monkeypatch, tables):
    fail(times=3)
    at(monkeypatch, 899)
    fail(times=2)
    with pytest.raises(TooManyFailures) as refusal:
        sign_in()
    assert refusal.value.retry_after == 1

    at(monkeypatch, 900)
    assert sign_in()
    assert "failed_logins" not in items(tables)[HERE]


def test_attempts_during_the_lock_do_not_lengthen_it(monkeypatch):
    fail(times=5)
    for second in (1, 500, 899):
        at(monkeypatch, second)
        with pytest.raises(TooManyFailures):
            sign_in(password="a wrong password")

    at(monkeypatch, 900)
    fail(times=5)
    with pytest.raises(TooManyFailures) as refusal:
        sign_in()
    assert refusal.value.retry_after == 900


def test_failures_that_a_right_password_forgot_do_not_count():
    fail(times=4)
    sign_in()
    fail(times=5)
    with pytest.raises(TooManyFailures):
        sign_in()


def test_lock_is_of_one_email():
    fail(NOBODY, times=5)
    assert sign_in()


def test_new_password_lifts_the_lock():
    fail(times=5)
    add_user(EMAIL, "another password", ["producer"])
    assert sign_in(password="another password")


# From others


def test_five_tries_of_a_stranger_do_not_lock_the_user_out():
    fail(times=5, source=ELSEWHERE)
    with pytest.raises(TooManyFailures):
        sign_in(source=ELSEWHERE)

    assert sign_in(source=HERE)


def test_five_strangers_do_not_lock_the_user_out_where_she_was_never_before():
    for host in range(1, 6):
        fail(times=5, source=f"203.0.113.{host}")

    assert sign_in(source=HERE)


@pytest.mark.parametrize("email", [EMAIL, NOBODY])
def test_any_number_of_strangers_guess_480_times_a_day_as_one_does(email):
    assert told(email, 500, STRANGERS) == 480
    with pytest.raises(TooManyFailures) as refusal:
        sign_in(email, source=HERE)
    assert refusal.value.retry_after == DAY
    assert DAY // failures.WINDOW_SECONDS * failures.MAX_FAILED_LOGINS == 480


def test_where_a_user_signed_in_before_strangers_lock_nobody_out(monkeypatch, few):
    sign_in(source=HERE)
    told(EMAIL, 20, STRANGERS)

    at(monkeypatch, 60)
    assert sign_in(source=HERE)
    fail(times=5, source=HERE)  # and guessing goes on to be counted there
    with pytest.raises(TooManyFailures):
        sign_in(source=HERE)
    with pytest.raises(TooManyFailures):
        sign_in(source=ELSEWHERE)


def test_lock_of_strangers_ends_with_its_day(monkeypatch, few):
    told(EMAIL, 20, STRANGERS)
    at(monkeypatch, DAY)
    assert sign_in(source=ELSEWHERE)


def test_source_is_known_for_thirty_days_after_the_last_time(monkeypatch, tables):
    sign_in()
    at(monkeypatch, 29 * DAY)
    sign_in()
    assert items(tables)[HERE]["known_until"] == NOW + 59 * DAY
    fail()
    assert items(tables)[HERE]["expires_at"] == NOW + 59 * DAY
    assert "failed_logins" not in items(tables)["strangers"]

    at(monkeypatch, 59 * DAY)
    fail()
    assert items(tables)["strangers"]["failed_logins"] == 1


def test_wrong_password_makes_no_source_known(few):
    fail(source=ELSEWHERE)
    told(EMAIL, 20, STRANGERS)
    with pytest.raises(TooManyFailures):
        sign_in(source=ELSEWHERE)


def test_right_password_of_a_stranger_in_the_lock_makes_nothing_known(tables, few):
    """Even if it was checked before the lock was there."""
    tries = failures.Tries(EMAIL, "v", ELSEWHERE)
    for _ in range(12):
        failures._count(f"{EMAIL} v strangers", 12, DAY)

    with pytest.raises(TooManyFailures):
        tries.succeeded()
    assert ELSEWHERE not in items(tables)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:DB8:0:0::1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("no address", "no address", True),
    ],
)
def test_a_whole_ipv6_network_is_one_source(first, second, same):
    fail(times=5, source=first)
    if same:
        with pytest.raises(TooManyFailures):
            sign_in(source=second)
    else:
        assert sign_in(source=second)


# What is kept


def test_what_is_counted_expires_and_the_row_of_a_user_never(tables):
    fail(EMAIL)
    fail(NOBODY)

    found = items(tables)
    assert found[HERE]["expires_at"] == NOW + 900
    assert found["strangers"]["expires_at"] == NOW + DAY
    user = tables.get_item(TableName="Users", Key={"email": EMAIL})["Item"]
    assert not {"expires_at", "failed_logins", "window_ends"} & set(user)
    assert "Item" not in tables.get_item(TableName="Users", Key={"email": NOBODY})


def test_no_item_of_a_count_can_be_signed_in_as(tables):
    fail()
    for key in [item["email"] for item in items(tables).values()]:
        with pytest.raises(WrongCredentials):
            sign_in(key, PASSWORD)

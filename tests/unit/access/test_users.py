"""Users: what is stored, who may sign in, and the lock against guessing."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from moto.dynamodb.models import DynamoDBBackend

from workflows.access import passwords, users
from workflows.access.users import (
    InvalidUser,
    TooManyFailures,
    User,
    WrongCredentials,
    add_user,
    sign_in,
)
from workflows.runtime import clock

EMAIL = "ann@example.com"
PASSWORD = "correct horse battery"
NOBODY = "nobody@example.com"
NOW = 1_764_000_000


SHIPPED = passwords.SCRYPT
OF_NOBODY = passwords.NOBODY["scrypt"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let a hash cost a thousandth, alike for those who are there and who are not."""
    cheap = SHIPPED | {"n": 2**4}
    monkeypatch.setattr(passwords, "SCRYPT", cheap)
    monkeypatch.setitem(passwords.NOBODY, "scrypt", OF_NOBODY | cheap)


@pytest.fixture(autouse=True)
def ann(tables, quick, monkeypatch):
    at(monkeypatch, NOW)
    add_user(EMAIL, PASSWORD, ["producer"])


def at(monkeypatch, second):
    monkeypatch.setattr(clock, "epoch", lambda: second)


def row(tables, email=EMAIL):
    return tables.get_item(TableName="Users", Key={"email": email}).get("Item")


def fail(email=EMAIL, times=1):
    for _ in range(times):
        with pytest.raises(WrongCredentials):
            sign_in(email, "a wrong password")


def test_email_has_no_case_and_no_spaces_around_it(tables):
    add_user("  Bob@Example.COM ", PASSWORD, ["operator", "producer", "operator"])

    user = sign_in("bob@EXAMPLE.com\n", PASSWORD)
    assert (user.email, user.roles) == ("bob@example.com", ("operator", "producer"))
    assert row(tables, "bob@example.com")


def test_guess_for_nobody_is_hashed_as_dearly_as_any_other():
    assert OF_NOBODY.items() >= SHIPPED.items()


def test_row_holds_salt_and_parameters_but_no_password(tables, monkeypatch):
    monkeypatch.setattr(passwords, "SCRYPT", SHIPPED)
    add_user(EMAIL, PASSWORD, ["producer"])
    first = row(tables)
    add_user(EMAIL, PASSWORD, ["producer"])
    second = row(tables)

    assert len(bytes(first["password_hash"])) == 32
    assert len(bytes(first["scrypt"]["salt"])) == 16
    assert {name: first["scrypt"][name] for name in "nrp"} == {"n": 2**14, "r": 8, "p": 1}
    assert first["password_hash"] != second["password_hash"]
    assert PASSWORD not in str(first)
    assert set(first) == {
        "email",
        "roles",
        "password_hash",
        "scrypt",
        "session_version",
        "updated_at",
    }


def test_parameters_of_the_row_are_used_not_todays(monkeypatch):
    monkeypatch.setattr(passwords, "SCRYPT", {"n": 2**10, "r": 8, "p": 1})
    assert sign_in(EMAIL, PASSWORD)
    add_user(EMAIL, "another password", ["producer"])
    monkeypatch.undo()
    assert sign_in(EMAIL, "another password")


@pytest.mark.parametrize("password", ["", "Correct horse battery", PASSWORD + " ", "\0", "\ud800"])
def test_wrong_password_is_refused(password):
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, password)


def test_unknown_email_and_wrong_password_are_told_apart_by_nothing(monkeypatch, tables):
    calls: dict[str, list[str]] = {EMAIL: [], NOBODY: []}
    for email, recorded in calls.items():
        monkeypatch.setattr(passwords, "hashed", spy(recorded, "scrypt", passwords.hashed))
        monkeypatch.setattr(users, "_update", spy(recorded, "update", users._update))
        monkeypatch.setattr(users, "_read", spy(recorded, "read", users._read))
        for _ in range(users.MAX_FAILED_LOGINS):
            with pytest.raises(WrongCredentials) as refusal:
                sign_in(email, "a wrong password")
            recorded.append(str(refusal.value))
        with pytest.raises(TooManyFailures) as lock:
            sign_in(email, "a wrong password")
        recorded.append(str(lock.value))
        monkeypatch.undo()
        at(monkeypatch, NOW)

    assert calls[EMAIL] == calls[NOBODY]
    assert calls[EMAIL][:5] == ["read", "scrypt", "update", "update", ""]
    assert calls[EMAIL][-2:] == ["read", str(lock.value)]


def spy(recorded, name, function):
    def call(*arguments):
        recorded.append(name)
        return function(*arguments)

    return call


@pytest.mark.parametrize("email", [EMAIL, NOBODY])
def test_fifth_failure_locks_even_the_right_password_out(monkeypatch, email):
    fail(email, times=5)
    at(monkeypatch, NOW + 300)

    with pytest.raises(TooManyFailures) as refusal:
        sign_in(email, PASSWORD)

    assert refusal.value.retry_after == 600
    assert "600 seconds" in str(refusal.value)


def test_window_begins_with_the_first_failure_and_ends_by_itself(monkeypatch, tables):
    fail(times=3)
    at(monkeypatch, NOW + 899)
    fail(times=2)
    with pytest.raises(TooManyFailures) as refusal:
        sign_in(EMAIL, PASSWORD)
    assert refusal.value.retry_after == 1

    at(monkeypatch, NOW + 900)
    assert sign_in(EMAIL, PASSWORD)
    assert not {"failed_logins", "window_ends"} & set(row(tables))


def test_attempts_during_the_lock_do_not_lengthen_it(monkeypatch):
    fail(times=5)
    for second in (1, 500, 899):
        at(monkeypatch, NOW + second)
        with pytest.raises(TooManyFailures):
            sign_in(EMAIL, "a wrong password")

    at(monkeypatch, NOW + 900)
    fail(times=5)
    with pytest.raises(TooManyFailures) as refusal:
        sign_in(EMAIL, PASSWORD)
    assert refusal.value.retry_after == 900


def test_lock_is_of_one_email():
    fail(NOBODY, times=5)
    assert sign_in(EMAIL, PASSWORD)


def test_row_of_nobody_expires_and_row_of_a_user_never(tables):
    fail(EMAIL)
    fail(NOBODY)

    assert row(tables, NOBODY) == {
        "email": NOBODY,
        "failed_logins": 1,
        "window_ends": NOW + 900,
        "expires_at": NOW + 900,
    }
    assert "expires_at" not in row(tables, EMAIL)


def test_adding_a_user_lifts_the_lock_and_keeps_the_row(tables):
    fail(NOBODY, times=5)
    add_user(NOBODY, PASSWORD, ["operator"])

    assert not {"expires_at", "failed_logins", "window_ends"} & set(row(tables, NOBODY))
    assert sign_in(NOBODY, PASSWORD).roles == ("operator",)


def test_adding_again_replaces_password_and_roles():
    add_user(EMAIL, "another password", ["operator"])

    fail()
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, PASSWORD)
    assert sign_in(EMAIL, "another password").roles == ("operator",)


@pytest.fixture
def serial_updates(monkeypatch):
    """DynamoDB's updates of an item come one after another; moto's of several threads do not."""
    lock, update = threading.Lock(), DynamoDBBackend.update_item

    def update_alone(*arguments, **named):
        with lock:
            return update(*arguments, **named)

    monkeypatch.setattr(DynamoDBBackend, "update_item", update_alone)


def burst(attempts, email, password):
    ready = threading.Barrier(attempts)

    def attempt(_):
        ready.wait()
        try:
            return sign_in(email, password)
        except (WrongCredentials, TooManyFailures) as refusal:
            return type(refusal)

    with ThreadPoolExecutor(attempts) as pool:
        return list(pool.map(attempt, range(attempts)))


@pytest.mark.parametrize("email", [EMAIL, NOBODY])
def test_of_a_parallel_burst_five_guesses_are_told(serial_updates, email, tables):
    outcomes = burst(20, email, "a wrong password")

    assert outcomes.count(WrongCredentials) == users.MAX_FAILED_LOGINS
    assert outcomes.count(TooManyFailures) == 15
    assert row(tables, email)["failed_logins"] == users.MAX_FAILED_LOGINS


def test_parallel_right_logins_do_not_lock_each_other_out(serial_updates, tables):
    version = row(tables)["session_version"]
    assert burst(12, EMAIL, PASSWORD) == [User(EMAIL, ("producer",), version)] * 12
    assert "failed_logins" not in row(tables)


def overtaken(monkeypatch, by):
    """Have something happen while the next login is checked."""
    check = passwords.matches

    def slowly(secret, stored):
        monkeypatch.setattr(passwords, "matches", check)
        by()
        return check(secret, stored)

    monkeypatch.setattr(passwords, "matches", slowly)


@pytest.mark.parametrize("password", [PASSWORD, "a wrong password"])
def test_guess_that_the_lock_overtook_is_not_told_whether_it_was_right(monkeypatch, password):
    """However many are checked at once: what ends after the fifth failure is told nothing."""
    calls: list[str] = []
    overtaken(monkeypatch, lambda: fail(times=5))
    overtaken_update = users._update

    def count(*arguments):
        calls.append("update")
        return overtaken_update(*arguments)

    monkeypatch.setattr(users, "_update", count)
    with pytest.raises(TooManyFailures) as refusal:
        sign_in(EMAIL, password)

    assert refusal.value.retry_after == 900
    assert calls == ["update"] * (2 + 4 + 1)  # five failures, the first of which opens; and this


def test_right_password_that_four_failures_overtook_is_right(monkeypatch, tables):
    overtaken(monkeypatch, lambda: fail(times=4))

    assert sign_in(EMAIL, PASSWORD)
    assert "failed_logins" not in row(tables)


def test_failures_that_a_right_password_forgot_do_not_count_for_one_under_way(monkeypatch):
    fail(times=4)
    overtaken(monkeypatch, lambda: sign_in(EMAIL, PASSWORD))

    fail()
    fail(times=4)
    with pytest.raises(TooManyFailures):
        sign_in(EMAIL, PASSWORD)


def test_password_changed_while_it_was_checked_is_wrong(monkeypatch, tables):
    def change_meanwhile(secret, stored):
        monkeypatch.undo()
        add_user(EMAIL, "another password", ["producer"])
        return True

    monkeypatch.setattr(passwords, "matches", change_meanwhile)
    with pytest.raises(WrongCredentials):
        users.sign_in(EMAIL, PASSWORD)


def test_user_added_during_the_first_failure_is_not_made_to_expire(monkeypatch, tables):
    update, calls = users._update, []

    def add_between(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            add_user(NOBODY, PASSWORD, ["producer"])
        return update(*arguments)

    monkeypatch.setattr(users, "_update", add_between)
    fail(NOBODY)

    assert "expires_at" not in row(tables, NOBODY)
    assert row(tables, NOBODY)["failed_logins"] == 1


@pytest.mark.parametrize("email", [
    "", "ann", "ann@example", "@example.com", "ann@@example.com", "a nn@example.com",
    "ann@example.com\0", "\ud800@example.com", "a" * 243 + "@example.com",
    "ä" * 122 + "@example.com", "a@" + "." * 1_000_000,
])  # fmt: skip
def test_what_is_no_email_is_never_looked_up(monkeypatch, email):
    for call in ("_read", "_update"):
        monkeypatch.setattr(users, call, lambda *_: pytest.fail("it was looked up"))

    with pytest.raises(InvalidUser):
        add_user(email, PASSWORD, ["producer"])
    with pytest.raises(WrongCredentials):
        sign_in(email, PASSWORD)


def test_longest_email_is_taken():
    email = "a" * 242 + "@example.com"
    add_user(email, PASSWORD, ["producer"])
    assert sign_in(email, PASSWORD).email == email


@pytest.mark.parametrize("password", ["eleven char", "p" * 1_025, "ü" * 513, "\ud800" * 12])
def test_password_out_of_bounds_is_refused(password):
    with pytest.raises(InvalidUser, match="password"):
        add_user(EMAIL, password, ["producer"])
    assert sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize("password", ["twelve chars", "p" * 1_024, "ü" * 512])
def test_password_within_bounds_is_taken(password):
    add_user(EMAIL, password, ["producer"])
    assert sign_in(EMAIL, password)


def test_overlong_password_costs_no_hash(monkeypatch):
    monkeypatch.setattr(passwords, "hashed", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, "p" * 1_025)


@pytest.mark.parametrize("roles", [[], ["admin"], ["producer", "Operator"], "producer"])
def test_unknown_roles_are_refused(roles):
    with pytest.raises(InvalidUser, match="producer, operator"):
        add_user(EMAIL, PASSWORD, roles)


def test_another_table_can_be_named(tables, monkeypatch):
    tables.create_table(
        TableName="Elsewhere",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "email", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "email", "KeyType": "HASH"}],
    )
    monkeypatch.setattr(users, "settings", lambda: pytest.fail("the settings were read"))

    add_user("bob@example.com", PASSWORD, ["producer"], table="Elsewhere")

    assert tables.scan(TableName="Elsewhere")["Count"] == 1

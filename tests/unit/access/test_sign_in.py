"""Signing in: who may, what the time and the answers tell, and rows of before that are renewed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from unittest.mock import Mock

import pytest
from moto.dynamodb.models import DynamoDBBackend

from tests.support.logins import EMAIL, HERE, NOBODY, PASSWORD, WRONG, fail, sign_in
from workflows.access import failures, passwords
from workflows.access import sign_in as signing_in
from workflows.access.failures import TooManyFailures
from workflows.access.sign_in import WrongCredentials
from workflows.access.users import InvalidUser, User
from workflows.operator.user_changes import add_user, remove_user
from workflows.runtime import aws

pytestmark = pytest.mark.usefixtures("ann")

SHIPPED, FORMER = passwords.SCRYPT, passwords.FORMER
OF_NOBODY = passwords.NOBODY["scrypt"]


def row(tables, email=EMAIL):
    return tables.get_item(TableName="Users", Key={"email": email}).get("Item")


def make_old(tables):
    """Let Ann's row be as it was before passwords were hashed more dearly, and had no version."""
    salt = b"s" * 16
    old = passwords.hashed(PASSWORD.encode(), passwords.FORMER | {"salt": salt})
    tables.update_item(
        TableName="Users", Key={"email": EMAIL},
        UpdateExpression="SET password_hash = :h, scrypt = :s REMOVE session_version",
        ExpressionAttributeValues={":h": old, ":s": passwords.FORMER | {"salt": salt}},
    )  # fmt: skip


def test_hashes_cost_what_owasp_asks_for():
    assert SHIPPED == {"n": 2**17, "r": 8, "p": 1}
    assert OF_NOBODY.items() >= SHIPPED.items()


def test_shipped_parameters_can_be_hashed():
    """OpenSSL refuses what needs more than `maxmem`."""
    assert len(passwords.hashed(b"x", OF_NOBODY)) == 32


@pytest.mark.parametrize("password", ["", "Correct horse battery", PASSWORD + " ", "\0", "\ud800"])
def test_wrong_password_is_refused(password):
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, password)


def test_password_that_was_typed_otherwise_is_the_same_one():
    add_user(EMAIL, "cafe\u0301 at the corner", ["producer"])
    assert sign_in(EMAIL, "caf\u00e9\u00a0at the corner")


# Rows of before


def test_old_row_is_hashed_anew_when_its_user_signs_in(tables):
    make_old(tables)
    assert sign_in()

    renewed = row(tables)
    assert {name: int(renewed["scrypt"][name]) for name in "nrp"} == passwords.SCRYPT
    assert sign_in()
    assert row(tables)["scrypt"] == renewed["scrypt"]  # once


def test_wrong_password_renews_nothing(tables):
    make_old(tables)
    before = row(tables)
    fail()
    assert row(tables) == before


def test_renewal_ends_no_session(tables):
    version = sign_in().session_version
    make_old(tables)
    tables.update_item(
        TableName="Users", Key={"email": EMAIL}, UpdateExpression="SET session_version = :v",
        ExpressionAttributeValues={":v": version},
    )  # fmt: skip
    assert sign_in().session_version == version


# What nothing may tell


@pytest.mark.parametrize("who", ["new", "old", "nobody"])
@pytest.mark.parametrize("is_right", [True, False])
def test_every_check_costs_the_same_two_hashes(tables, monkeypatch, who, is_right):
    if who == "old":
        make_old(tables)
    hashed = Mock(wraps=passwords.hashed)
    monkeypatch.setattr(passwords, "hashed", hashed)

    with suppress(WrongCredentials):
        sign_in(NOBODY if who == "nobody" else EMAIL, PASSWORD if is_right else WRONG)

    costs = [int(call.args[1]["n"]) for call in hashed.call_args_list]
    assert sorted(costs) == sorted([passwords.SCRYPT["n"], passwords.FORMER["n"]])


def spy(monkeypatch, recorded):
    """Record each call to DynamoDB and each hash."""
    client = aws.dynamodb()
    for name in ("get_item", "update_item"):
        method = getattr(client, name)
        monkeypatch.setattr(
            client, name, lambda _n=name, _m=method, **g: (recorded.append(_n), _m(**g))[1]
        )
    hashed = passwords.hashed
    monkeypatch.setattr(passwords, "hashed", lambda *g: (recorded.append("hash"), hashed(*g))[1])


@pytest.mark.parametrize("times", [1, 2, 5, 6])
def test_unknown_email_old_row_and_wrong_password_are_told_apart_by_nothing(
    monkeypatch, tables, times
):
    make_old(tables)
    add_user("bob@example.com", PASSWORD, ["producer"])
    found = []
    for email in (EMAIL, "bob@example.com", NOBODY):
        recorded: list[str] = []
        with monkeypatch.context() as patched:
            spy(patched, recorded)
            for _ in range(times):
                try:
                    sign_in(email, WRONG)
                except (WrongCredentials, TooManyFailures) as refusal:
                    recorded.append(str(refusal) or type(refusal).__name__)
        found.append(recorded)

    assert found[0] == found[1] == found[2]
    assert found[0].count("hash") == 2 * min(times, 5)


@pytest.mark.parametrize("password", [PASSWORD, WRONG])
def test_guess_that_the_lock_overtook_is_not_told_whether_it_was_right(monkeypatch, password):
    """However many are checked at once: what ends after the fifth failure is told nothing."""
    recorded: list[str] = []

    def lock():
        fail(times=5)
        spy(monkeypatch, recorded)

    overtaken(monkeypatch, lock)
    with pytest.raises(TooManyFailures) as refusal:
        sign_in(EMAIL, password)

    assert refusal.value.retry_after == 900
    assert recorded == ["hash", "hash", "update_item", "update_item"]


# What happens meanwhile


def overtaken(monkeypatch, by):
    """Have something happen while the next login is checked."""
    check = passwords.check

    def slowly(secret, stored):
        monkeypatch.setattr(passwords, "check", check)
        by()
        return check(secret, stored)

    monkeypatch.setattr(passwords, "check", slowly)


def test_right_password_that_four_failures_overtook_is_right(monkeypatch):
    overtaken(monkeypatch, lambda: fail(times=4))

    assert sign_in()
    fail(times=5)  # they are forgotten


def test_password_changed_while_it_was_checked_is_wrong(monkeypatch):
    overtaken(monkeypatch, lambda: add_user(EMAIL, "another password", ["producer"]))
    with pytest.raises(WrongCredentials):
        sign_in()


def test_user_removed_while_the_password_was_checked_is_nobody(monkeypatch, tables):
    overtaken(monkeypatch, lambda: remove_user(EMAIL))
    with pytest.raises(WrongCredentials):
        sign_in()
    assert row(tables) is None


def test_row_renewed_while_it_was_checked_is_right(monkeypatch, tables):
    make_old(tables)
    overtaken(monkeypatch, sign_in)
    assert sign_in()


# At the same time


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
def test_of_a_parallel_burst_five_guesses_are_told(serial_updates, email):
    outcomes = burst(20, email, WRONG)

    assert outcomes.count(WrongCredentials) == failures.MAX_FAILED_LOGINS
    assert outcomes.count(TooManyFailures) == 15


@pytest.mark.parametrize("is_old", [False, True])
def test_parallel_right_logins_do_not_lock_each_other_out(serial_updates, tables, is_old):
    if is_old:
        make_old(tables)
    found = burst(3 if is_old else 12, EMAIL, PASSWORD)

    version = row(tables)["session_version"]
    assert found == [User(EMAIL, ("producer",), version)] * len(found)
    fail(times=5)


# What costs nothing


@pytest.mark.parametrize("email", [
    "", "ann", "ann@example", "@example.com", "ann@@example.com", "a nn@example.com",
    "ann@example.com\0", "\ud800@example.com", "a" * 243 + "@example.com",
    "ä" * 122 + "@example.com", "a@" + "." * 1_000_000, f"{EMAIL} {HERE}", f"{EMAIL}  strangers",
])  # fmt: skip
def test_what_is_no_email_is_never_looked_up(monkeypatch, email):
    recorded: list[str] = []
    spy(monkeypatch, recorded)

    with pytest.raises(InvalidUser):
        add_user(email, PASSWORD, ["producer"])
    with pytest.raises(WrongCredentials):
        sign_in(email, PASSWORD)
    assert recorded == []


def test_overlong_password_costs_no_hash(monkeypatch):
    monkeypatch.setattr(passwords, "hashed", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(WrongCredentials):
        sign_in(EMAIL, "p" * 1_025)


def test_login_in_a_lock_costs_no_hash(monkeypatch):
    fail(times=5)
    monkeypatch.setattr(passwords, "hashed", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(TooManyFailures):
        sign_in()
    assert signing_in._LOST_RACES >= 2

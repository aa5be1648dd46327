"""Users: what is stored of them, what nobody can have, and the record of each change."""

import pytest

from tests.support.cloud import audited
from tests.support.logins import EMAIL, NOW, PASSWORD, at, sign_in
from workflows.access import tokens, users
from workflows.access.failures import TooManyFailures
from workflows.access.sign_in import WrongCredentials
from workflows.access.users import InvalidUser
from workflows.ledger import audit
from workflows.operator.user_changes import Tables, add_service, add_user, remove_user

DAY = 86_400
ARN = "arn:aws:iam::123456789012:user/ada"

pytestmark = pytest.mark.usefixtures("ann")


def row(tables, email=EMAIL):
    return tables.get_item(TableName="Users", Key={"email": email}).get("Item")


def test_email_has_no_case_and_no_spaces_around_it(tables):
    add_user("  Bob@Example.COM ", PASSWORD, ["operator", "producer", "operator"])

    user = sign_in("bob@EXAMPLE.com\n", PASSWORD)
    assert (user.email, user.roles) == ("bob@example.com", ("operator", "producer"))
    assert row(tables, "bob@example.com")


def test_row_holds_salt_and_parameters_but_no_password(tables):
    first = row(tables)
    add_user(EMAIL, PASSWORD, ["producer"])
    second = row(tables)

    assert len(bytes(first["password_hash"])) == 32
    assert len(bytes(first["scrypt"]["salt"])) == 16
    assert set(first["scrypt"]) == {"n", "r", "p", "salt"}
    assert first["password_hash"] != second["password_hash"]
    assert PASSWORD not in str(first)
    columns = {"email", "roles", "password_hash", "scrypt", "session_version", "updated_at"}
    assert set(first) == columns


def test_adding_again_replaces_password_and_roles():
    add_user(EMAIL, "another password", ["operator"])

    assert sign_in(EMAIL, "another password").roles == ("operator",)


def test_longest_email_is_taken():
    email = "a" * 242 + "@example.com"
    add_user(email, PASSWORD, ["producer"])
    assert sign_in(email, PASSWORD).email == email


@pytest.mark.parametrize("password", ["eleven char", "p" * 1_025, "ü" * 513, "\ud800" * 12])
def test_password_out_of_bounds_is_refused(password):
    with pytest.raises(InvalidUser, match="password"):
        add_user(EMAIL, password, ["producer"])
    assert sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize(
    "password", ["twelve chars", "pqrst" * 204 + "uvwx", "".join(map(chr, range(0x100, 0x300)))]
)
def test_password_within_bounds_is_taken(password):
    add_user(EMAIL, password, ["producer"])
    assert sign_in(EMAIL, password)


@pytest.mark.parametrize("roles", [[], ["admin"], ["producer", "Operator"], "producer"])
def test_unknown_roles_are_refused(roles):
    with pytest.raises(InvalidUser, match="producer, operator"):
        add_user(EMAIL, PASSWORD, roles)


# Services


def test_service_signs_in_by_a_secret_that_nobody_chose(tables):
    secret = add_service("ci@example.com", "producer", 90)

    user = sign_in("ci@example.com", secret)
    assert (user.roles, user.valid_until) == (("producer",), NOW + 90 * DAY)
    assert len(secret) >= 43  # 256 bits
    assert secret != add_service("ci@example.com", "producer", 90)
    assert secret not in str(row(tables, "ci@example.com"))
    assert "valid_until" not in row(tables)
    with pytest.raises(WrongCredentials):
        sign_in("ci@example.com", secret)  # of before


def test_service_ends_with_its_days_and_so_does_its_last_token(monkeypatch, token_key):
    secret = add_service("ci@example.com", "operator", 1)
    at(monkeypatch, DAY - 60)
    token = tokens.issue(sign_in("ci@example.com", secret))
    assert token.expires_in == 60

    at(monkeypatch, DAY)
    with pytest.raises(WrongCredentials):
        sign_in("ci@example.com", secret)


def test_service_that_is_over_is_refused_as_anybody(monkeypatch):
    secret = add_service("ci@example.com", "producer", 1)
    at(monkeypatch, DAY)
    for _ in range(5):
        with pytest.raises(WrongCredentials):
            sign_in("ci@example.com", secret)
    with pytest.raises(TooManyFailures):
        sign_in("ci@example.com", secret)


@pytest.mark.parametrize(
    ("role", "days"), [("admin", 90), ("", 90), ("producer", 0), ("producer", 367)]
)
def test_service_has_one_role_and_a_year_at_most(role, days):
    with pytest.raises(InvalidUser):
        add_service("ci@example.com", role, days)


def test_service_is_recorded_without_its_secret():
    secret = add_service("ci@example.com", "producer", 90, by=ARN)

    (record,) = [one for one in audited() if one["input"].get("kind")]
    assert (record["actor"], record["action"]) == (ARN, "add_user")
    assert record["input"] == {
        "email": "ci@example.com", "roles": ["producer"], "kind": "service", "valid_days": 90,
    }  # fmt: skip
    assert secret not in str(audited())


def test_whoever_takes_the_place_of_a_service_is_none():
    add_service("ci@example.com", "producer", 90)
    add_user("ci@example.com", PASSWORD, ["producer"])
    assert sign_in("ci@example.com").valid_until is None


# The audit


def changes():
    found = [record for record in audited() if record["action"].endswith("_user")]
    return [(one["actor"], one["action"], one["result"], one["input"]) for one in found]


def test_each_change_of_a_user_is_recorded_by_who_made_it():
    add_user("bob@example.com", PASSWORD, ["operator"], by=ARN)
    add_user("bob@example.com", "another password", ["producer"], by=ARN)
    remove_user("bob@example.com", by=ARN)

    bob = {"email": "bob@example.com"}
    demoted = {"roles": ["producer"], "roles_before": ["operator"]}
    assert changes() == [
        ("console", "add_user", "ADDED", {"email": EMAIL, "roles": ["producer"]}),
        (ARN, "add_user", "ADDED", bob | {"roles": ["operator"]}),
        (ARN, "change_user", "CHANGED", bob | demoted),
        (ARN, "remove_user", "REMOVED", bob),
    ]
    assert PASSWORD not in str(audited())


def test_no_change_is_made_that_cannot_be_recorded(tables, monkeypatch):
    before = row(tables)
    (record, *_) = audited()
    taken = {"day": record["day"], "entry": record["entry"]}
    entry = audit.entry

    def again(*arguments, **named):
        part = entry(*arguments, **named)
        part["Put"]["Item"] |= taken
        return part

    monkeypatch.setattr(audit, "entry", again)
    with pytest.raises(InvalidUser):
        remove_user(EMAIL)
    add_user(EMAIL, "another password", ["operator"])
    assert row(tables) == before


def test_refused_change_leaves_no_record():
    before = audited()
    with pytest.raises(InvalidUser):
        add_user(EMAIL, "short", ["producer"])
    with pytest.raises(InvalidUser):
        remove_user("nobody@example.com")
    assert audited() == before


def test_other_tables_can_be_named(tables, monkeypatch):
    for name, keys in (("Elsewhere", ["email"]), ("AuditElsewhere", ["day", "entry"])):
        kinds = ("HASH", "RANGE")
        tables.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": k, "KeyType": kind} for k, kind in zip(keys, kinds, strict=False)
            ],
        )
    monkeypatch.setattr(audit, "settings", lambda: pytest.fail("the settings were read"))

    there = Tables("Elsewhere", "AuditElsewhere")
    add_user("bob@example.com", PASSWORD, ["producer"], tables=there)
    remove_user("bob@example.com", tables=there)

    assert tables.scan(TableName="Elsewhere")["Count"] == 0
    assert tables.scan(TableName="AuditElsewhere")["Count"] == 2


def test_version_is_another_one_each_time():
    assert len({users.new_version() for _ in range(100)}) == 100

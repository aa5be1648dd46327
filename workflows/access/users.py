"""The `Users` table: who may sign in, with which roles, and how often in vain.

Failed logins are counted for each e-mail in a window that begins with the first of them; the lock
is the full window. A login counts once it was checked, by one conditional write, and is answered
only by what that write says. So right passwords never lock each other out, and of guesses at once
as many are told as of guesses one after the other: five in 15 minutes, whatever else was hashed.

An e-mail that nobody has is counted in a row of its own, which DynamoDB's TTL removes, because a
lock that only users get would tell which e-mails exist. In a row of a user, `expires_at` is never
set.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workflows.access import passwords
from workflows.access.credentials import check_password, clean_email
from workflows.access.roles import ROLES
from workflows.runtime import clock
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.refusals import NotSignedIn, TooMany
from workflows.runtime.settings import settings

MAX_FAILED_LOGINS = 5
WINDOW_SECONDS = 900
MIN_PASSWORD_CHARACTERS = 12

# Each lost race means that another attempt was counted, and a window takes only five.
_LOST_RACES = 2 * MAX_FAILED_LOGINS


class InvalidUser(ValueError):
    """No user can have this e-mail, password or role."""


class WrongCredentials(NotSignedIn):
    """The e-mail or the password is wrong."""

    code = "wrong_credentials"


class TooManyFailures(TooMany):
    """The e-mail takes no logins for now, not even right ones; `retry_after` is in seconds."""

    code = "too_many_failures"

    def __init__(self, retry_after: int) -> None:
        """Take the seconds until the window ends."""
        super().__init__(f"Too many failed logins. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


@dataclass(frozen=True)
class User:
    """Somebody who has signed in."""

    email: str
    roles: tuple[str, ...]
    session_version: str


def add_user(email: str, password: str, roles: Iterable[str], *, table: str | None = None) -> None:
    """Add a user, or give an existing one this password and these roles and lift its lock.

    Tokens that an existing one has end with it.

    Args:
        email: upper and lower case are the same.
        password: at least 12 characters and at most 1,024 bytes.
        roles: one or more of `ROLES`.
        table: the `Users` table; by default the one of the settings.

    Raises:
        InvalidUser: saying what is wrong; nothing was stored.
    """
    granted = sorted(set(roles))
    try:
        key = clean_email(email)
    except ValueError as error:
        raise InvalidUser(f"The e-mail {error}.") from None
    try:
        password = check_password(password)
    except ValueError as error:
        raise InvalidUser(f"The password {error}.") from None
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise InvalidUser(f"The password has fewer than {MIN_PASSWORD_CHARACTERS} characters.")
    if not granted or not set(granted) <= set(ROLES):
        raise InvalidUser(f"Roles are one or more of {', '.join(ROLES)}.")
    # The whole row: counter, lock and, if the e-mail was nobody's before, `expires_at` go with it.
    dynamodb().put_item(
        TableName=table or settings().users_table,
        Item={
            "email": key,
            "roles": granted,
            **passwords.columns(password.encode()),
            "session_version": _new_version(),
            "updated_at": clock.now(),
        },
    )


def remove_user(email: str, *, table: str | None = None) -> None:
    """Remove a user, whose tokens end with it.

    Raises:
        InvalidUser: no user has the e-mail.
    """
    try:
        key = clean_email(email)
    except ValueError as error:
        raise InvalidUser(f"The e-mail {error}.") from None
    try:
        dynamodb().delete_item(
            TableName=table or settings().users_table,
            Key={"email": key},
            ConditionExpression="attribute_exists(password_hash)",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException:
        raise InvalidUser("No user has this e-mail.") from None


def sign_in(email: str, password: str) -> User:
    """Return the user, if e-mail and password are right.

    Raises:
        WrongCredentials: one of them is not; which one shows neither in the answer nor in the time.
        TooManyFailures: five attempts failed in the last 15 minutes.
    """
    try:
        key, secret = clean_email(email), check_password(password).encode()
    except ValueError:
        raise WrongCredentials from None
    row = _read(key)
    _refuse_if_locked(row)
    known = "password_hash" in row
    if not (passwords.matches(secret, row if known else passwords.NOBODY) and known):
        _count_failure(key)
        raise WrongCredentials
    forgotten, now = _forget_failures(key, row)
    if not forgotten:
        # No other write than a wrong password's, or the time would tell a right one in the lock.
        _refuse_if_locked(now)
        _count_failure(key)  # the password was changed, or the user removed, while it was checked
        raise WrongCredentials
    return User(key, tuple(str(role) for role in now["roles"]), str(now["session_version"]))


def _new_version() -> str:
    """Return what no token carries: whoever is removed and added again begins anew."""
    return secrets.token_hex(8)


def _read(email: str) -> dict[str, Any]:
    found = dynamodb().get_item(
        TableName=settings().users_table, Key={"email": email}, ConsistentRead=True
    )
    return dict(found.get("Item", {}))


def _refuse_if_locked(row: dict[str, Any]) -> None:
    left = int(row.get("window_ends", 0)) - clock.epoch()
    if left > 0 and int(row["failed_logins"]) >= MAX_FAILED_LOGINS:
        raise TooManyFailures(left)


def _count_failure(email: str) -> None:
    """Count a failed attempt; raise `TooManyFailures` if five others were counted before it.

    A user and an e-mail that nobody has cost the same number of calls.
    """
    now = clock.epoch()
    for _ in range(_LOST_RACES):
        counted, row = _update(
            email,
            "SET failed_logins = failed_logins + :one",
            "window_ends > :now AND failed_logins < :limit",
            {":one": 1, ":now": now, ":limit": MAX_FAILED_LOGINS},
        )
        if counted:
            return
        if int(row.get("window_ends", 0)) > now:
            raise TooManyFailures(int(row["window_ends"]) - now)
        known = "password_hash" in row
        opened, row = _update(
            email,
            "SET failed_logins = :one, window_ends = :ends"
            + ("" if known else ", expires_at = :ends"),
            f"{'attribute_exists' if known else 'attribute_not_exists'}(password_hash)"
            " AND (attribute_not_exists(window_ends) OR window_ends <= :now)",
            {":one": 1, ":now": now, ":ends": now + WINDOW_SECONDS},
        )
        if opened:
            return
        # Another attempt opened the window, or the user was added, a moment ago: count in that.
    raise TooManyFailures(1)


def _update(
    email: str, change: str, condition: str, values: dict[str, Any]
) -> tuple[bool, dict[str, Any]]:
    """Change a row on a condition; return whether it held, and the row as it is now."""
    try:
        answer: Any = dynamodb().update_item(
            TableName=settings().users_table,
            Key={"email": email},
            UpdateExpression=change,
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return False, plain(error.response)
    return True, answer["Attributes"]


def _forget_failures(email: str, row: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Let a right password begin anew; refused if it is not right any more, or came too late.

    It came too late if five failures were counted while it was checked: so of any number of
    guesses at once, a right one is told only if it is among the first that are.
    """
    return _update(
        email,
        # A row of before there were versions gets its first.
        "SET session_version = if_not_exists(session_version, :version)"
        " REMOVE failed_logins, window_ends",
        "password_hash = :password_hash AND (attribute_not_exists(window_ends)"
        " OR window_ends <= :now OR failed_logins < :limit)",
        {
            ":password_hash": row["password_hash"],
            ":version": _new_version(),
            ":now": clock.epoch(),
            ":limit": MAX_FAILED_LOGINS,
        },
    )

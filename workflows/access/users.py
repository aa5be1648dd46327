"""Users as the table `Users` has them: people and services that may sign in, with which roles."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workflows.access import passwords, weak_passwords
from workflows.access.credentials import check_password, clean_email
from workflows.access.roles import ROLES
from workflows.runtime import clock

MIN_PASSWORD_CHARACTERS = 12
SERVICE = "service"
_SECRET_BYTES = 32
_SERVICE_PREFIX = "guarded-redrive_"  # by which scanners of repositories and logs know one
_MOST_DAYS = 366


class InvalidUser(ValueError):
    """No user can have this e-mail, password or role."""


@dataclass(frozen=True)
class User:
    """Somebody, or a service, who has signed in.

    `valid_until`, in seconds since 1970, is of a service only.
    """

    email: str
    roles: tuple[str, ...]
    session_version: str
    valid_until: int | None = None


def row(email: str, password: str, roles: Iterable[str]) -> dict[str, Any]:
    """Return the whole row of a user; all that another one had under the e-mail is gone with it.

    Args:
        email: upper and lower case are the same.
        password: at least 12 characters and at most 1,024 bytes, and none that is guessed first.
        roles: one or more of `ROLES`.

    Raises:
        InvalidUser: saying what is wrong.
    """
    key, granted = key_of(email), sorted(set(roles))
    try:
        password = check_password(password)
    except ValueError as error:
        raise InvalidUser(f"The password {error}.") from None
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise InvalidUser(f"The password has fewer than {MIN_PASSWORD_CHARACTERS} characters.")
    weakness = weak_passwords.weakness(password, key)
    if weakness:
        raise InvalidUser(f"The password {weakness}.")
    return _row(key, password, granted)


def service_row(email: str, role: str, days: int) -> tuple[dict[str, Any], str]:
    """Return the whole row of a service, and its secret, which is in it as a hash only.

    A service signs in as a person does; its secret is made here, because nobody has to remember it.

    Args:
        email: its name, in the form of an address.
        role: the one that it has.
        days: after which it is over, a year and a day at most.

    Raises:
        InvalidUser: saying what is wrong.
    """
    key = key_of(email)
    if not 1 <= days <= _MOST_DAYS:
        raise InvalidUser(f"A service is valid for 1 to {_MOST_DAYS} days.")
    secret = f"{_SERVICE_PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"
    valid_until = clock.epoch() + days * 86_400
    return _row(key, secret, [role]) | {"kind": SERVICE, "valid_until": valid_until}, secret


def is_valid(row: dict[str, Any]) -> bool:
    """Return whether somebody may sign in by a row: a user's, or a service's in its time."""
    until = row.get("valid_until")
    return "password_hash" in row and (until is None or int(until) > clock.epoch())


def user(row: dict[str, Any]) -> User:
    """Return whose row it is."""
    until = row.get("valid_until")
    return User(
        str(row["email"]),
        tuple(map(str, row["roles"])),
        str(row["session_version"]),
        None if until is None else int(until),
    )


def _row(key: str, secret: str, roles: list[str]) -> dict[str, Any]:
    if not roles or not set(roles) <= set(ROLES):
        raise InvalidUser(f"Roles are one or more of {', '.join(ROLES)}.")
    return {
        "email": key,
        "roles": roles,
        **passwords.columns(secret.encode()),
        "session_version": new_version(),
        "updated_at": clock.now(),
    }


def key_of(email: str) -> str:
    """Return the key of a user's row.

    Raises:
        InvalidUser: nobody can have this e-mail.
    """
    try:
        return clean_email(email)
    except ValueError as error:
        raise InvalidUser(f"The e-mail {error}.") from None


def new_version() -> str:
    """Return what no token carries: whoever is removed and added again begins anew."""
    return secrets.token_hex(8)

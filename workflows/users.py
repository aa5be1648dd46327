"""The `Users` table: who may sign in, with which roles, and how often in vain.

Failed logins are counted for each e-mail in a window that begins with the first of them; the lock
is the full window. An e-mail that nobody has is counted in a row of its own, which DynamoDB's TTL
removes, because a lock that only users get would tell which e-mails exist. In a row of a user,
`expires_at` is never set.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, WithJsonSchema

from workflows import clock
from workflows.aws import dynamodb, plain
from workflows.settings import settings

Role = Literal["producer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)

MAX_FAILED_LOGINS = 5
WINDOW_SECONDS = 900
MIN_PASSWORD_CHARACTERS = 12

# RFC 5321 4.5.3.1.3: a path has 256 octets, and the angle brackets are two of them.
_MAX_EMAIL_BYTES = 254
_MAX_PASSWORD_BYTES = 1_024
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
# RFC 7914's parameters for interactive logins: 16 MiB and some 50 ms a guess. They stand in each
# row, so that stronger ones can be set here without locking anybody out.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_SCRYPT_MEMORY = 2**26
_SALT_BYTES = 16
_HASH_BYTES = 32
# Each lost race means that another attempt was counted, and a window takes only five.
_LOST_RACES = 2 * MAX_FAILED_LOGINS


class InvalidUser(ValueError):
    """No user can have this e-mail, password or role."""


class WrongCredentials(Exception):
    """The e-mail or the password is wrong."""


class TooManyFailures(Exception):
    """The e-mail takes no logins for now, not even right ones; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        """Take the seconds until the window ends."""
        super().__init__(f"Too many failed logins. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


@dataclass(frozen=True)
class User:
    """Somebody who has signed in."""

    email: str
    roles: tuple[str, ...]


def _clean_email(email: str) -> str:
    """Return the e-mail as the table's key: lower-cased, without spaces around it."""
    key = email.strip().lower()
    if len(key.encode(errors="replace")) > _MAX_EMAIL_BYTES:  # before a long one costs a search
        raise ValueError(f"is longer than {_MAX_EMAIL_BYTES} bytes")
    # isprintable: a lone surrogate or a control character would only fail later, in DynamoDB.
    if not (_EMAIL.fullmatch(key) and key.isprintable()):
        raise ValueError("is not an e-mail address")
    return key


def _check_password(password: str) -> str:
    """Return a password that can be hashed at all; short ones are only wrong, not invalid."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise ValueError("is not Unicode text") from None
    if not 1 <= size <= _MAX_PASSWORD_BYTES:
        raise ValueError(f"has not between 1 and {_MAX_PASSWORD_BYTES} bytes")
    return password


# What a login request may hold; anything else is refused before it costs a hash.
EmailAddress = Annotated[
    str,
    AfterValidator(_clean_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": _MAX_EMAIL_BYTES}),
]
Password = Annotated[
    str,
    AfterValidator(_check_password),
    WithJsonSchema({"type": "string", "format": "password", "minLength": 1, "writeOnly": True}),
]


def add_user(email: str, password: str, roles: Iterable[str], *, table: str | None = None) -> None:
    """Add a user, or give an existing one this password and these roles and lift its lock.

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
        key = _clean_email(email)
    except ValueError as error:
        raise InvalidUser(f"The e-mail {error}.") from None
    try:
        secret = _check_password(password).encode()
    except ValueError as error:
        raise InvalidUser(f"The password {error}.") from None
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise InvalidUser(f"The password has fewer than {MIN_PASSWORD_CHARACTERS} characters.")
    if not granted or not set(granted) <= set(ROLES):
        raise InvalidUser(f"Roles are one or more of {', '.join(ROLES)}.")
    scrypt = _SCRYPT | {"salt": secrets.token_bytes(_SALT_BYTES)}
    # The whole row: counter, lock and, if the e-mail was nobody's before, `expires_at` go with it.
    dynamodb().put_item(
        TableName=table or settings().users_table,
        Item={
            "email": key,
            "roles": granted,
            "password_hash": _hash(secret, scrypt),
            "scrypt": scrypt,
            "updated_at": clock.now(),
        },
    )


def sign_in(email: str, password: str) -> User:
    """Return the user, if e-mail and password are right.

    Raises:
        WrongCredentials: one of them is not; which one shows neither in the answer nor in the time.
        TooManyFailures: five attempts failed in the last 15 minutes.
    """
    try:
        key, secret = _clean_email(email), _check_password(password).encode()
    except ValueError:
        raise WrongCredentials from None
    row = _reserve_attempt(key)
    known = "password_hash" in row
    if not (_matches(secret, row if known else _NOBODY) and known):
        raise WrongCredentials
    _forget_failures(key, row)
    return User(key, tuple(str(role) for role in row["roles"]))


def _reserve_attempt(email: str) -> dict[str, Any]:
    """Count an attempt as failed before anybody looks at it, and return the row.

    Counting afterwards would let a burst of parallel guesses all be tried before the first of them
    counts. A user and an e-mail that nobody has cost the same number of calls.
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
            return row
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
            return row
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


def _forget_failures(email: str, row: dict[str, Any]) -> None:
    forgotten, _ = _update(
        email,
        "REMOVE failed_logins, window_ends",
        "password_hash = :password_hash",
        {":password_hash": row["password_hash"]},
    )
    if not forgotten:  # the password was changed, or the user removed, while it was checked
        raise WrongCredentials


def _matches(secret: bytes, row: dict[str, Any]) -> bool:
    return hmac.compare_digest(_hash(secret, row["scrypt"]), bytes(row["password_hash"]))


def _hash(secret: bytes, scrypt: dict[str, Any]) -> bytes:
    return hashlib.scrypt(
        secret,
        salt=bytes(scrypt["salt"]),
        n=int(scrypt["n"]),
        r=int(scrypt["r"]),
        p=int(scrypt["p"]),
        maxmem=_SCRYPT_MEMORY,
        dklen=_HASH_BYTES,
    )


# What a guess for an e-mail that nobody has is checked against, to take as long as any other.
_NOBODY: dict[str, Any] = {
    "password_hash": secrets.token_bytes(_HASH_BYTES),
    "scrypt": _SCRYPT | {"salt": secrets.token_bytes(_SALT_BYTES)},
}

"""Signing in by e-mail and password."""

from typing import Any

from workflows.access import passwords, users
from workflows.access.credentials import check_password, clean_email
from workflows.access.failures import Tries
from workflows.access.users import User
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.refusals import NotAllowed, NotSignedIn
from workflows.runtime.settings import settings

# A row changes once when it is hashed anew, and else only by an administrator's hand.
_LOST_RACES = 3


class WrongCredentials(NotSignedIn):
    """The e-mail or the password is wrong."""

    code = "wrong_credentials"


class NoPasswords(NotAllowed):
    """Here nobody signs in by password: send a token of your company's issuer."""

    code = "no_passwords"


def sign_in(email: str, password: str, source_ip: str) -> User:
    """Return the user, if e-mail and password are right.

    A row whose password was hashed more cheaply than today's are is given another hash of it.

    Args:
        email: as it was typed.
        password: likewise.
        source_ip: where the login comes from.

    Raises:
        WrongCredentials: one of them is not; which one shows neither in the answer nor in the time.
        workflows.access.failures.TooManyFailures: too many attempts failed before.
        NoPasswords: the stack takes none.
    """
    if settings().own_sign_in != "true":
        raise NoPasswords
    try:
        key, secret = clean_email(email), check_password(password).encode()
    except ValueError:
        raise WrongCredentials from None
    row = _read(key)
    for _ in range(_LOST_RACES):
        tries = Tries(key, str(row.get("session_version", "")), source_ip)
        is_user = "password_hash" in row
        is_right, columns = passwords.check(secret, row if is_user else passwords.NOBODY)
        if not (is_right and users.is_valid(row)):
            tries.failed()
            raise WrongCredentials
        tries.succeeded()
        confirmed, row = _confirm(key, row, columns)
        if confirmed:
            return users.user(row)
        # Hashed anew by another login, or another password's, or removed: look again.
    raise WrongCredentials


def _read(email: str) -> dict[str, Any]:
    found = dynamodb().get_item(
        TableName=settings().users_table, Key={"email": email}, ConsistentRead=True
    )
    return dict(found.get("Item", {}))


def _confirm(
    email: str, row: dict[str, Any], columns: dict[str, Any]
) -> tuple[bool, dict[str, Any]]:
    """Keep a password's columns if its row has not changed; return whether, and the row as it is.

    A row of before there were versions gets its first.
    """
    try:
        answer: Any = dynamodb().update_item(
            TableName=settings().users_table,
            Key={"email": email},
            UpdateExpression="SET password_hash = :hash, scrypt = :scrypt,"
            " session_version = if_not_exists(session_version, :version)",
            ConditionExpression="password_hash = :before",
            ExpressionAttributeValues={
                ":hash": columns["password_hash"],
                ":scrypt": columns["scrypt"],
                ":version": users.new_version(),
                ":before": row["password_hash"],
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return False, plain(error.response)
    return True, answer["Attributes"]

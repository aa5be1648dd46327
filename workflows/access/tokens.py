"""Access tokens: JSON Web Tokens signed by HMAC-SHA256 with a key that only this stack knows.

Replacing the key in Secrets Manager ends every session, at the latest when the copies of it that
running functions keep are five minutes old.
"""

import time
import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self, cast

import jwt

from workflows.access.roles import ROLES, Role
from workflows.runtime import aws, clock
from workflows.runtime.settings import settings

if TYPE_CHECKING:  # an authorizer needs no more of the users than their roles
    from workflows.access.users import User

ISSUER = "guarded-redrive"
_ALGORITHM = "HS256"
_CLAIMS = ("sub", "roles", "iat", "exp", "jti", "iss")
_MIN_KEY_BYTES = 32  # RFC 7518 3.2: a key of at least the size of the hash
_KEY_SECONDS = 300


class InvalidToken(Exception):
    """The access token is not one of ours, or no longer valid."""


class TokenKeyUnread(Exception):
    """Secrets Manager did not give the token key."""


class WeakTokenKey(Exception):
    """The token key is not text of at least 32 bytes."""


@dataclass(frozen=True)
class Token:
    """An access token and its lifetime in seconds."""

    access_token: str
    expires_in: int


@dataclass(frozen=True)
class Claims:
    """What a valid token says about its bearer; `expires_at` is in seconds since 1970."""

    email: str
    roles: list[Role]
    expires_at: int

    @classmethod
    def of(cls, claims: dict[str, Any]) -> Self:
        """Read a token's claims.

        Raises:
            ValueError: one has not the type that a token of ours gives it.
        """
        email, roles, expires_at = claims["sub"], claims["roles"], claims["exp"]
        if not (isinstance(email, str) and email):
            raise ValueError("sub is no text")
        if not (isinstance(roles, list) and all(role in ROLES for role in roles)):
            raise ValueError("roles are not a list of roles")
        if type(expires_at) is not int:  # neither a fraction nor a truth value
            raise ValueError("exp is no whole number")
        return cls(email, cast("list[Role]", roles), expires_at)


def issue(user: "User") -> Token:
    """Return a token for a user who has signed in.

    Raises:
        TokenKeyUnread: no key.
        WeakTokenKey: the key would not protect anything.
    """
    now, lifetime = clock.epoch(), settings().token_lifetime_seconds
    claims = {
        "sub": user.email,
        "roles": list(user.roles),
        "iat": now,
        "exp": now + lifetime,
        "jti": str(uuid.uuid4()),
        "iss": ISSUER,
    }
    return Token(jwt.encode(claims, _key(), algorithm=_ALGORITHM), lifetime)


def verify(token: str) -> Claims:
    """Return the claims of a token.

    Raises:
        InvalidToken: for whatever is wrong with it; the cause says what, and may quote the token.
        TokenKeyUnread: no key.
        WeakTokenKey: the key would not protect anything.
    """
    key = _key()
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],  # never what the token's own header asks for
            issuer=ISSUER,
            options={"require": list(_CLAIMS)},
        )
        return Claims.of(claims)
    # ValueError: for a claim of the wrong type, and a token that is not Unicode text.
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidToken from error


class KeyStore:
    """Reads the token key, and keeps it for five minutes."""

    def __init__(self) -> None:
        self._key: object = None
        self._until = 0.0

    def key(self) -> object:
        """Return the key as Secrets Manager has it.

        Raises:
            TokenKeyUnread: it cannot be read.
        """
        if time.time() >= self._until:
            try:
                found = aws.secrets().get_secret_value(SecretId=settings().token_key_secret)
            except Exception as error:
                raise TokenKeyUnread from error
            self._key = found.get("SecretString")
            self._until = time.time() + _KEY_SECONDS
        return self._key


@cache
def key_store() -> KeyStore:
    """Return this process's."""
    return KeyStore()


def _key() -> str:
    key = key_store().key()
    if not isinstance(key, str) or len(key.encode()) < _MIN_KEY_BYTES:
        raise WeakTokenKey
    return key

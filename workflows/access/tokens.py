"""Access tokens: JSON Web Tokens signed by HMAC-SHA256 with a key that only this stack knows.

The key is rotated by putting another one into Secrets Manager (`local/token_key.py` does it). What
was put signs after five minutes, when every function has read it; the key before it is believed
until the last token that it signed is over, one lifetime later, and never again. A key that is
replaced twice is gone within five minutes: those that functions keep are four minutes old at most,
and API Gateway keeps an answer of the authorizer for one.
"""

import time
import uuid
from contextlib import suppress
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
ALGORITHM = "HS256"
_CLAIMS = ("sub", "roles", "session_version", "iat", "exp", "jti", "iss")
_MIN_KEY_BYTES = 32  # RFC 7518 3.2: a key of at least the size of the hash
# Keys are kept for so long; with the `ReauthorizeEvery` of the template five minutes in all.
KEY_SECONDS = 240
# So long after it was put a key is believed only: no function is then without it. A minute more
# than they keep one, for clocks that differ.
UNUSED_SECONDS = 300


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
    session_version: str

    @classmethod
    def of(cls, claims: dict[str, Any]) -> Self:
        """Read a token's claims.

        Raises:
            ValueError: one has not the type that a token of ours gives it.
        """
        email, roles, expires_at = claims["sub"], claims["roles"], claims["exp"]
        version = claims["session_version"]
        if not (isinstance(email, str) and email):
            raise ValueError("sub is no text")
        if not (isinstance(roles, list) and all(role in ROLES for role in roles)):
            raise ValueError("roles are not a list of roles")
        if type(expires_at) is not int:  # neither a fraction nor a truth value
            raise ValueError("exp is no whole number")
        if not (isinstance(version, str) and version):
            raise ValueError("session_version is no text")
        return cls(email, cast("list[Role]", roles), expires_at, version)


@dataclass(frozen=True)
class Keys:
    """The token key, since when it is that (seconds since 1970), and the one before it, if any."""

    current: str
    put_at: float
    previous: str | None

    @property
    def signing(self) -> str:
        """The key that signs: a new one only when every function has it."""
        fresh = time.time() < self.put_at + UNUSED_SECONDS
        return self.previous if fresh and self.previous is not None else self.current

    @property
    def believed(self) -> list[str]:
        """The keys whose signatures count now, the current one first."""
        over = counts_until(self.put_at, settings().token_lifetime_seconds)
        counts = self.previous is not None and time.time() < over
        return [self.current, cast("str", self.previous)] if counts else [self.current]


def counts_until(put_at: float, lifetime: int) -> float:
    """Return until when the key before one that was put then is believed; all are seconds."""
    return put_at + UNUSED_SECONDS + lifetime


def issue(user: "User") -> Token:
    """Return a token for a user who has signed in.

    Raises:
        TokenKeyUnread: no key.
        WeakTokenKey: the key would not protect anything.
    """
    now, lifetime = clock.epoch(), settings().token_lifetime_seconds
    if user.valid_until is not None:
        lifetime = min(lifetime, user.valid_until - now)
    claims = {
        "sub": user.email,
        "roles": list(user.roles),
        "session_version": user.session_version,
        "iat": now,
        "exp": now + lifetime,
        "jti": str(uuid.uuid4()),
        "iss": ISSUER,
    }
    return Token(jwt.encode(claims, key_store().keys().signing, algorithm=ALGORITHM), lifetime)


def verify(token: str) -> Claims:
    """Return the claims of a token.

    Raises:
        InvalidToken: for whatever is wrong with it; the cause says what, and may quote the token.
        TokenKeyUnread: no key.
        WeakTokenKey: the key would not protect anything.
    """
    first, *others = key_store().keys().believed
    try:
        return _claims(token, first)
    except InvalidToken as error:
        if not (others and isinstance(error.__cause__, jwt.InvalidSignatureError)):
            raise
    return _claims(token, others[0])


def _claims(token: str, key: str) -> Claims:
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],  # never what the token's own header asks for
            issuer=ISSUER,
            options={"require": list(_CLAIMS)},
        )
        return Claims.of(claims)
    # ValueError: for a claim of the wrong type, and a token that is not Unicode text.
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidToken from error


class KeyStore:
    """Reads the keys, and keeps them for four minutes."""

    def __init__(self) -> None:
        self._keys: Keys | None = None
        self._until = 0.0

    def keys(self) -> Keys:
        """Return the keys as Secrets Manager has them.

        Raises:
            TokenKeyUnread: they cannot be read.
            WeakTokenKey: the current one would not protect anything.
        """
        if self._keys is None or time.time() >= self._until:
            try:
                self._keys = _read()
            except WeakTokenKey:
                raise
            except Exception as error:
                raise TokenKeyUnread from error
            self._until = time.time() + KEY_SECONDS
        return self._keys


@cache
def key_store() -> KeyStore:
    """Return this process's."""
    return KeyStore()


def _read() -> Keys:
    secret, store = settings().token_key_secret, aws.secrets()
    # In this order: of a rotation between the calls the new key is missed, which signs nothing yet.
    found = store.get_secret_value(SecretId=secret)
    current, put_at, previous = _strong(found), found["CreatedDate"].timestamp(), None
    if current is None:
        raise WeakTokenKey
    if time.time() < counts_until(put_at, settings().token_lifetime_seconds):
        with suppress(store.exceptions.ResourceNotFoundException):  # the stack's first key
            before = store.get_secret_value(SecretId=secret, VersionStage="AWSPREVIOUS")
            previous = _strong(before)
    return Keys(current, put_at, previous)


def _strong(found: Any) -> str | None:
    key = found.get("SecretString")
    return key if isinstance(key, str) and len(key.encode()) >= _MIN_KEY_BYTES else None

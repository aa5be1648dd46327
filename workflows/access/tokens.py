"""Access tokens: JSON Web Tokens signed by HMAC-SHA256 with a key that only this stack knows.

Replacing the key in Secrets Manager ends every session, at the latest when the copies of it that
running functions keep are five minutes old.
"""

import uuid
from dataclasses import dataclass
from functools import cache

import boto3
import jwt
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

from workflows.access.users import Role, User
from workflows.runtime import clock
from workflows.runtime.settings import settings

ISSUER = "guarded-redrive"
_ALGORITHM = "HS256"
_CLAIMS = ("sub", "roles", "iat", "exp", "jti", "iss")
_MIN_KEY_BYTES = 32  # RFC 7518 3.2: a key of at least the size of the hash
_KEY_SECONDS = 300
# API Gateway gives an authorizer 10 s: two tries of 3 s leave time to say what failed.
_CONFIG = Config(
    connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
)


class InvalidToken(Exception):
    """The access token is not one of ours, or no longer valid."""


class WeakTokenKey(Exception):
    """The token key is not text of at least 32 bytes."""


@dataclass(frozen=True)
class Token:
    """An access token and its lifetime in seconds."""

    access_token: str
    expires_in: int


class Claims(BaseModel):
    """What a valid token says about its bearer; `expires_at` is in seconds since 1970."""

    model_config = ConfigDict(frozen=True, strict=True)

    email: str = Field(validation_alias="sub", min_length=1)
    roles: list[Role]
    expires_at: int = Field(validation_alias="exp")


def issue(user: User) -> Token:
    """Return a token for a user who has signed in.

    Raises:
        aws_lambda_powertools.utilities.parameters.exceptions.GetParameterError: no key.
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
        aws_lambda_powertools.utilities.parameters.exceptions.GetParameterError: no key.
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
        return Claims.model_validate(claims)
    # ValueError: pydantic's, for a claim of the wrong type, and a token that is not Unicode text.
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidToken from error


@cache
def key_store() -> SecretsProvider:
    """Return the reader of Secrets Manager, which keeps what it has read for five minutes."""
    return SecretsProvider(boto3_client=boto3.client("secretsmanager", config=_CONFIG))


def _key() -> str:
    key = key_store().get(settings().token_key_secret, max_age=_KEY_SECONDS)
    if not isinstance(key, str) or len(key.encode()) < _MIN_KEY_BYTES:
        raise WeakTokenKey
    return key

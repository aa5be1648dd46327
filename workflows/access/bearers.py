"""Bearers: whose a token is, whether this stack issued it or the company's issuer.

Which of the two is read of the token itself, and decides nothing but who verifies it: each of them
takes its own algorithm and its own keys, and no others.
"""

import jwt

from workflows.access import sessions, tokens
from workflows.access.roles import Role
from workflows.access.tokens import Claims, InvalidToken
from workflows.runtime.settings import settings


class SignInElsewhere(Exception):
    """This stack issues no tokens."""


def of(token: str) -> tuple[Claims, list[Role]]:
    """Return what a token says of its bearer, and the roles that the bearer has now.

    Raises:
        InvalidToken: for whatever is wrong with it; the cause says what, and may quote the token.
        Exception: it could not be found out.
    """
    if settings().oidc_issuer and not _is_symmetric(token):
        from workflows.access import company  # only where there is one

        claims = company.verify(token)
        return claims, claims.roles
    if settings().own_sign_in != "true":
        raise InvalidToken from SignInElsewhere()
    claims = tokens.verify(token)
    return claims, sessions.roles_of(claims)


def _is_symmetric(token: str) -> bool:
    try:
        return jwt.get_unverified_header(token).get("alg") == tokens.ALGORITHM
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidToken from error

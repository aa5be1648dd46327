"""Company sign-in: tokens of an OIDC issuer that the stack's parameters name, by RFC 8725.

The issuer says who somebody is and which of its roles they have; `OidcRoles` says which of ours
those are. Such a token ends when it says so, and at the latest `TokenLifetimeSeconds` after it was
issued: the issuer's users have no row here that could end it sooner.
"""

from typing import Any

import jwt

from workflows.access.issuer import issuer_keys
from workflows.access.roles import ROLES
from workflows.access.rs256 import Rs256Tokens
from workflows.access.tokens import Claims, InvalidToken
from workflows.runtime.settings import settings

ALGORITHM = "RS256"
# RFC 8725 3.11: no token that was made for something else, such as a logout token.
_TYPES = ("JWT", "AT+JWT", "APPLICATION/AT+JWT")
_LEEWAY_SECONDS = 30  # of the issuer's clock
_NAME_LENGTH = 254  # as an e-mail address, which is what names are elsewhere
_NOT_A_NAME = {"schedule", "console"}  # actors of the audit
_tokens = Rs256Tokens()


def verify(token: str) -> Claims:
    """Return the claims of a token of the issuer.

    Raises:
        InvalidToken: for whatever is wrong with it; the cause says what, and may quote the token.
        workflows.access.issuer.IssuerUnread: the issuer does not tell its keys.
    """
    known = settings()
    try:
        claims = _tokens.decode(
            token,
            _key(jwt.get_unverified_header(token)),
            algorithms=[ALGORITHM],  # never what the token's own header asks for
            issuer=known.oidc_issuer,
            audience=known.oidc_audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "sub", "iat", "exp"]},
        )
        return _claims(claims)
    # ValueError: for a claim of the wrong type, and a token that is not Unicode text.
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidToken from error


def _key(header: dict[str, Any]) -> Any:
    kid, kind = header.get("kid"), header.get("typ", "JWT")
    if not (isinstance(kid, str) and isinstance(kind, str) and kind.upper() in _TYPES):
        raise jwt.InvalidTokenError("no kid, or a token of another kind")
    if header.get("alg") != ALGORITHM:  # before anybody is asked for a key
        raise jwt.InvalidAlgorithmError
    key = issuer_keys(settings().oidc_issuer).find(kid)
    if key is None:
        raise jwt.InvalidKeyError("not a key of the issuer")
    return key


def _claims(claims: dict[str, Any]) -> Claims:
    user_claim, roles_claim = settings().oidc_claims.split(",")
    name = _value(claims, user_claim)
    if not (isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH and name.isprintable()):
        raise ValueError("the user's claim is no name")
    # What stands for no person in the audit, however it is written.
    if name != name.strip() or name.lower() in _NOT_A_NAME or name.lower().startswith("arn:"):
        raise ValueError("the user's claim is no name")
    if user_claim == "email" and claims.get("email_verified", True) is not True:
        raise ValueError("the e-mail is not verified")
    issued_at, expires_at = claims["iat"], claims["exp"]
    if type(issued_at) is not int or type(expires_at) is not int:
        raise ValueError("iat or exp is no whole number")
    expires_at = min(expires_at, issued_at + settings().token_lifetime_seconds)
    theirs = _value(claims, roles_claim)
    words = theirs.split() if isinstance(theirs, str) else theirs
    given = {word for word in words if isinstance(word, str)} if isinstance(words, list) else set()
    wanted = [part.split("=") for part in settings().oidc_roles.split(",") if part]
    roles = {role for role, value in wanted if value in given}
    return Claims(name, [role for role in ROLES if role in roles], expires_at, "")


def _value(claims: dict[str, Any], name: str) -> Any:
    """Return a claim by its name, or by its way from object to object: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found

"""An OIDC issuer's keys: found as OpenID Connect Discovery says, and kept within bounds.

They are asked for again after ten minutes, so that a key that the issuer takes back is believed for
no longer, and sooner for a key that is not known, once in half a minute at most: whoever sends made
up tokens makes nobody ask more. While the issuer does not answer, what it said is believed for an
hour.
"""

import base64
import json
import re
import time
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from workflows.access.rs256 import RsaKey, UnfitKey

KEEP_SECONDS, AGAIN_SECONDS, STALE_SECONDS = 600, 30, 3_600
_MOST_KEYS, _MOST_BYTES, _KID_LENGTH = 50, 262_144, 256
# Two calls and those to AWS are less than the ten seconds that API Gateway waits.
_TIMEOUT_SECONDS = 2
# Plain HTTP only to this computer: for tests.
_ADDRESS = re.compile(r"https://\S+|http://(127\.0\.0\.1|localhost)(:\d+)?(/\S*)?")


class IssuerUnread(Exception):
    """The issuer does not tell its keys."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None  # which makes an error of it: where keys come from is for nobody else to say


_opener = build_opener(_NoRedirect)


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: dict[str, RsaKey] = {}
        self._read_at = self._asked_at = 0.0

    def find(self, kid: str) -> RsaKey | None:
        """Return the key of an id, or None if the issuer has none.

        Raises:
            IssuerUnread: it has not said so for an hour.
        """
        now = time.time()
        is_due = now >= self._read_at + KEEP_SECONDS or kid not in self._keys
        if is_due and now >= self._asked_at + AGAIN_SECONDS:
            self._asked_at = now
            self._ask(now)
        if now >= self._read_at + STALE_SECONDS:
            raise IssuerUnread
        return self._keys.get(kid)

    def _ask(self, now: float) -> None:
        try:
            found = _read(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self._issuer:  # OpenID Connect Discovery 4.3
                raise ValueError("it is another issuer's")
            keys = _read(str(found.get("jwks_uri"))).get("keys")
            self._keys, self._read_at = _usable(keys), now
        except (URLError, HTTPException, OSError, RecursionError, ValueError) as error:
            if now >= self._read_at + STALE_SECONDS:
                raise IssuerUnread from error


@cache
def issuer_keys(issuer: str) -> IssuerKeys:
    """Return this process's."""
    return IssuerKeys(issuer)


def _read(address: str) -> dict[str, Any]:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("not an address of HTTPS")
    request = Request(address, headers={"Accept": "application/json"})  # noqa: S310 - see _ADDRESS
    with _opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        text = answer.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError("too large")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _usable(keys: Any) -> dict[str, RsaKey]:
    """Return the keys that are for signatures by RS256; an issuer may have others."""
    if not isinstance(keys, list):
        raise ValueError("no keys")
    found = {}
    for key in keys[:_MOST_KEYS]:
        kid = key.get("kid") if isinstance(key, dict) else None
        if not (isinstance(kid, str) and len(kid) <= _KID_LENGTH and key.get("kty") == "RSA"):
            continue
        if key.get("use", "sig") != "sig" or key.get("alg", "RS256") != "RS256":
            continue
        try:
            found[kid] = RsaKey.of(_number(key.get("n")), _number(key.get("e")))
        except UnfitKey:
            continue
    return found


def _number(text: Any) -> int:
    """Return a number as RFC 7518 2 writes it."""
    if not (isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,1024}", text)):
        raise UnfitKey
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")

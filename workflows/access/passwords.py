"""Passwords as they are stored: scrypt (RFC 7914), with a salt and parameters of each row."""

import hashlib
import hmac
import secrets
from typing import Any

# OWASP's first choice for scrypt: 128 MiB and 0.3 s of a whole CPU a guess. They stand in each row,
# and a row that has others gets these when its user signs in.
# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
SCRYPT = {"n": 2**17, "r": 8, "p": 1}
# What rows had before 2026-12-01, RFC 7914's parameters of 2009 for interactive logins.
FORMER = {"n": 2**14, "r": 8, "p": 1}
_SCRYPT_MEMORY = 2**28
_SALT_BYTES = 16
_HASH_BYTES = 32


def columns(secret: bytes) -> dict[str, Any]:
    """Return what a row holds of a password."""
    scrypt = SCRYPT | {"salt": secrets.token_bytes(_SALT_BYTES)}
    return {"password_hash": hashed(secret, scrypt), "scrypt": scrypt}


def check(secret: bytes, row: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Return whether a password is a row's, and the columns by which the row is to have it.

    Every check costs a hash by today's parameters and one by those of before, whatever the row has:
    the time tells neither old rows from new ones nor either from `NOBODY`.
    """
    is_current = SCRYPT.items() <= {name: row["scrypt"][name] for name in SCRYPT}.items()
    parameters = (FORMER if is_current else SCRYPT) | {"salt": secrets.token_bytes(_SALT_BYTES)}
    found, other = hashed(secret, row["scrypt"]), hashed(secret, parameters)
    kept = {"password_hash": row["password_hash"], "scrypt": row["scrypt"]}
    renewed = {"password_hash": other, "scrypt": parameters}
    is_right = hmac.compare_digest(found, bytes(row["password_hash"]))
    return is_right, kept if is_current else renewed


def hashed(secret: bytes, scrypt: dict[str, Any]) -> bytes:
    """Return a password's hash by these parameters, one of them the salt."""
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
NOBODY: dict[str, Any] = {
    "password_hash": secrets.token_bytes(_HASH_BYTES),
    "scrypt": SCRYPT | {"salt": secrets.token_bytes(_SALT_BYTES)},
}

"""Passwords as they are stored: scrypt (RFC 7914), with a salt and parameters of each row."""

import hashlib
import hmac
import secrets
from typing import Any

# RFC 7914's parameters for interactive logins: 16 MiB and some 50 ms a guess. They stand in each
# row, so that stronger ones can be set here without locking anybody out.
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_SCRYPT_MEMORY = 2**26
_SALT_BYTES = 16
_HASH_BYTES = 32


def columns(secret: bytes) -> dict[str, Any]:
    """Return what a row holds of a password."""
    scrypt = SCRYPT | {"salt": secrets.token_bytes(_SALT_BYTES)}
    return {"password_hash": hashed(secret, scrypt), "scrypt": scrypt}


def matches(secret: bytes, row: dict[str, Any]) -> bool:
    """Return whether a password is the one of a row."""
    return hmac.compare_digest(hashed(secret, row["scrypt"]), bytes(row["password_hash"]))


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

"""RS256, the signatures of an OIDC issuer's tokens: RSASSA-PKCS1-v1_5 with SHA-256, verifying only.

RFC 8017 8.2.2: what the signature opens to is compared, as a whole, with what it must be, so there
is no padding to be read. Only public numbers are reckoned with. PyJWT does this with the package
cryptography, which it loads wherever it finds it: 70 ms of each start-up of the authorizer.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt
from jwt.algorithms import Algorithm

# Of the modulus. RFC 7518 3.3 wants 2,048 at least; more than 4,096 only cost time.
_LEAST_BITS, _MOST_BITS = 2_048, 4_096
# What everybody has. A small one made forgeries easier wherever padding was read.
_EXPONENT = 65_537
# RFC 8017 9.2, note 1: DER of "the digest is of SHA-256".
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class UnfitKey(ValueError):
    """The key is no public RSA key of 2,048 to 4,096 bits with the exponent 65,537."""


@dataclass(frozen=True)
class RsaKey:
    """A public key."""

    modulus: int

    @classmethod
    def of(cls, modulus: int, exponent: int) -> "RsaKey":
        """Return a key.

        Raises:
            UnfitKey: it is none to believe.
        """
        is_fit = _LEAST_BITS <= modulus.bit_length() <= _MOST_BITS and modulus % 2
        if not is_fit or exponent != _EXPONENT:
            raise UnfitKey
        return cls(modulus)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether a signature is one of a message."""
        size = (self.modulus.bit_length() + 7) // 8
        number = int.from_bytes(signature, "big")
        if len(signature) != size or number >= self.modulus:
            return False
        digest = _DIGEST_INFO + hashlib.sha256(message).digest()
        expected = b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
        opened = pow(number, _EXPONENT, self.modulus).to_bytes(size, "big")
        return hmac.compare_digest(opened, expected)


class _Rs256(Algorithm):
    """How PyJWT asks for it."""

    def prepare_key(self, key: Any) -> RsaKey:
        if not isinstance(key, RsaKey):  # neither a secret's text nor a key of another kind
            raise jwt.InvalidKeyError("not an RSA key")
        return key

    def verify(self, msg: bytes, key: RsaKey, sig: bytes) -> bool:
        return key.verifies(msg, sig)

    def sign(self, msg: bytes, key: Any) -> NoReturn:
        raise NotImplementedError

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> NoReturn:
        raise NotImplementedError

    @staticmethod
    def from_jwk(jwk: Any) -> NoReturn:
        raise NotImplementedError


class Rs256Tokens(jwt.PyJWT):
    """PyJWT that knows no algorithm but this one."""

    def __init__(self) -> None:
        super().__init__()
        self._jws = jwt.PyJWS(algorithms=[])
        self._jws.register_algorithm("RS256", _Rs256())

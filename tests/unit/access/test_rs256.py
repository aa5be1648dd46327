"""RS256: what the package cryptography signs is verified, and nothing else is."""

import hashlib
import itertools

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.support.issuer import private_key, signature
from workflows.access import rs256
from workflows.access.rs256 import Rs256Tokens, RsaKey, UnfitKey

MESSAGE = b"header.claims"


def numbers(bits=2_048):
    return private_key("first", bits).public_key().public_numbers()


def key(bits=2_048):
    return RsaKey.of(numbers(bits).n, numbers(bits).e)


def opened_to(block, bits=2_048):
    """Sign a whole block, however it is padded: what a forger would like to find."""
    private = private_key("first", bits).private_numbers()
    found = pow(int.from_bytes(block, "big"), private.d, private.public_numbers.n)
    return found.to_bytes(bits // 8, "big")


@pytest.mark.parametrize("bits", [2_048, 3_072, 4_096])
@pytest.mark.parametrize("message", [b"", MESSAGE, b"x" * 10_000])
def test_signature_is_verified(bits, message):
    assert key(bits).verifies(message, signature(message, bits=bits))


def test_signature_of_another_message_or_key_is_not():
    assert not key().verifies(b"another", signature(MESSAGE))
    assert not key().verifies(MESSAGE, signature(MESSAGE, "second"))


def test_every_changed_byte_is_noticed():
    good = signature(MESSAGE)
    for at in range(len(good)):
        assert not key().verifies(MESSAGE, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])


@pytest.mark.parametrize("change", [
    lambda s: s[:-1], lambda s: s + b"\0", lambda s: b"\0" + s, lambda _: b"", lambda s: s[1:],
    lambda s: (int.from_bytes(s, "big") + numbers().n).to_bytes(257, "big"),
    lambda _: bytes(256), lambda _: (1).to_bytes(256, "big"),
    lambda _: (numbers().n - 1).to_bytes(256, "big"), lambda _: numbers().n.to_bytes(256, "big"),
])  # fmt: skip
def test_signature_of_another_length_or_range_is_refused(change):
    assert not key().verifies(MESSAGE, change(signature(MESSAGE)))


def test_number_beyond_the_modulus_is_no_second_signature_of_the_same():
    room = 2**2_048 - numbers().n
    numbered = (b"%d" % number for number in itertools.count())
    message = next(m for m in numbered if int.from_bytes(signature(m), "big") < room)
    beyond = int.from_bytes(signature(message), "big") + numbers().n

    assert key().verifies(message, signature(message))
    assert not key().verifies(message, beyond.to_bytes(256, "big"))


DIGEST = rs256._DIGEST_INFO + hashlib.sha256(MESSAGE).digest()
WITHOUT_NULL = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20"


@pytest.mark.parametrize(("name", "block"), [
    ("as it must be", b"\x00\x01" + b"\xff" * 202 + b"\x00" + DIGEST),
    ("other type", b"\x00\x02" + b"\xff" * 202 + b"\x00" + DIGEST),
    ("private block type", b"\x00\x00" + b"\x00" * 202 + b"\x00" + DIGEST),
    ("short padding, garbage behind", b"\x00\x01" + b"\xff" * 8 + b"\x00" + DIGEST + b"x" * 194),
    ("short padding, digest at the end",
     b"\x00\x01" + b"\xff" * 8 + b"\x00" + b"x" * 194 + DIGEST),
    ("other byte of padding",
     b"\x00\x01" + b"\xff" * 100 + b"\xfe" + b"\xff" * 101 + b"\x00" + DIGEST),
    ("no separator", b"\x00\x01" + b"\xff" * 203 + DIGEST),
    ("without parameters",
     b"\x00\x01" + b"\xff" * 204 + b"\x00" + WITHOUT_NULL + hashlib.sha256(MESSAGE).digest()),
    ("of SHA-512", b"\x00\x01" + b"\xff" * 170 + b"\x00"
     + bytes.fromhex("3051300d060960864801650304020305000440") + hashlib.sha512(MESSAGE).digest()),
    ("digest alone", b"\x00\x01" + b"\xff" * 221 + b"\x00" + hashlib.sha256(MESSAGE).digest()),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_only_the_one_padding_is_taken(name, block):
    """Bleichenbacher's forgery of 2006 and its like read the padding, and stop too soon."""
    padded = block.ljust(256, b"x")[:256]
    assert key().verifies(MESSAGE, opened_to(padded)) == (name == "as it must be")


def test_pss_and_other_digests_are_refused():
    private = private_key("first")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    assert not key().verifies(MESSAGE, private.sign(MESSAGE, pss, hashes.SHA256()))
    for digest in (hashes.SHA1(), hashes.SHA384(), hashes.SHA512()):  # noqa: S303 - refused
        assert not key().verifies(MESSAGE, private.sign(MESSAGE, padding.PKCS1v15(), digest))


@pytest.mark.parametrize(("modulus", "exponent"), [
    (2**1023 + 1, 65_537), (2**2046 + 1, 65_537), (2**4096 + 1, 65_537), (2**2047, 65_537),
    (0, 65_537), (2**2047 + 1, 3), (2**2047 + 1, 1), (2**2047 + 1, 0),
    (2**2047 + 1, 2**64 + 1),
])  # fmt: skip
def test_weak_key_is_none(modulus, exponent):
    with pytest.raises(UnfitKey):
        RsaKey.of(modulus, exponent)


def _kind(value):
    return type(value).__name__


HEADER = "eyJhbGciOiJSUzI1NiJ9"  # {"alg":"RS256"}


@pytest.mark.parametrize(
    "secret", ["x" * 64, b"x" * 64, None, numbers().n, private_key("first")], ids=_kind
)
def test_what_is_no_key_of_ours_verifies_nothing(secret):
    with pytest.raises(jwt.InvalidKeyError):
        Rs256Tokens().decode(f"{HEADER}.e30.e30", secret, algorithms=["RS256"])


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256", "PS256", "RS384"])
def test_no_other_algorithm_is_known(algorithm):
    tokens = Rs256Tokens()
    assert tokens._jws.get_algorithms() == ["RS256"]
    with pytest.raises(NotImplementedError):
        tokens._jws.get_algorithm_by_name(algorithm)

"""Access tokens: only what this stack signed, unchanged and in time, is believed."""

import base64
import hashlib
import hmac
import json
import time
from types import SimpleNamespace

import boto3
import jwt
import pytest

from tests.support.cloud import ENVIRONMENT, TOKEN_KEY
from workflows.access import tokens
from workflows.access.tokens import InvalidToken, TokenKeyUnread, WeakTokenKey, issue, verify
from workflows.access.users import User
from workflows.runtime import clock

ANN = User("ann@example.com", ("operator", "producer"))

pytestmark = pytest.mark.usefixtures("token_key")


def encoded(part):
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(header, claims, key=TOKEN_KEY, digest=hashlib.sha256):
    """Sign by hand what PyJWT would refuse to make."""
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(key.encode(), text.encode(), digest))}"


def claims(**changes):
    now = int(time.time())
    usual = {
        "sub": ANN.email, "roles": ["producer"], "iat": now, "exp": now + 60, "jti": "1",
        "iss": tokens.ISSUER,
    }  # fmt: skip
    return {name: value for name, value in (usual | changes).items() if value is not None}


HEADER = {"alg": "HS256", "typ": "JWT"}


def test_token_says_who_with_which_roles_until_when():
    before = int(time.time())
    token = issue(ANN)
    found = verify(token.access_token)

    assert token.expires_in == 21_600
    assert (found.email, found.roles) == (ANN.email, ["operator", "producer"])
    assert before + 21_600 <= found.expires_at <= int(time.time()) + 21_600


def test_claims_are_the_promised_ones_and_every_token_is_another():
    first, second = (
        jwt.decode(issue(ANN).access_token, options={"verify_signature": False}) for _ in range(2)
    )
    assert set(first) == {"sub", "roles", "iat", "exp", "jti", "iss"}
    assert first["jti"] != second["jti"]


def test_token_made_by_hand_is_good():
    assert verify(signed(HEADER, claims()))  # or the tests below prove nothing


def test_expired_token_is_refused(monkeypatch):
    monkeypatch.setattr(clock, "epoch", lambda: int(time.time()) - 21_600)
    with pytest.raises(InvalidToken) as refusal:
        verify(issue(ANN).access_token)
    assert isinstance(refusal.value.__cause__, jwt.ExpiredSignatureError)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_every_changed_byte_is_noticed(part):
    token = signed(HEADER, claims())
    parts = token.split(".")
    # The last character is left out: with some lengths its lowest bits mean nothing.
    for at in range(len(parts[part]) - 1):
        changed = parts.copy()
        changed[part] = parts[part][:at] + chr(ord(parts[part][at]) ^ 1) + parts[part][at + 1 :]
        with pytest.raises(InvalidToken):
            verify(".".join(changed))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, [], {}, 0])
@pytest.mark.parametrize("signature", ["", "bearer's own"])
def test_unsigned_token_is_refused(algorithm, signature):
    token = f"{encoded(HEADER | {'alg': algorithm})}.{encoded(claims())}.{encoded(signature)}"
    with pytest.raises(InvalidToken):
        verify(token)
    with pytest.raises(InvalidToken):
        verify(token.rpartition(".")[0] + ".")


def test_other_algorithms_are_refused_even_with_our_key():
    for algorithm, digest in (("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        token = signed(HEADER | {"alg": algorithm}, claims(), digest=digest)
        with pytest.raises(InvalidToken):
            verify(token)


@pytest.mark.parametrize("key", ["x" * 64, "", TOKEN_KEY + "k", TOKEN_KEY[:32]])
def test_other_keys_are_refused(key):
    with pytest.raises(InvalidToken):
        verify(signed(HEADER, claims(), key=key))


@pytest.mark.parametrize("claim", ["sub", "roles", "iat", "exp", "jti", "iss"])
def test_missing_claim_is_refused(claim):
    with pytest.raises(InvalidToken):
        verify(signed(HEADER, claims(**{claim: None})))


@pytest.mark.parametrize("changes", [
    {"iss": "another"}, {"iss": ["guarded-redrive"]}, {"sub": ""}, {"sub": 7},
    {"roles": "producer"}, {"roles": {"producer": True}}, {"roles": [7]}, {"roles": [None]},
    {"roles": [["producer"]]}, {"roles": ["admin"]}, {"roles": ["producer", "admin"]},
    {"exp": "soon"}, {"exp": 4_102_444_800.5}, {"exp": "4102444800"},
    {"exp": [4_102_444_800]}, {"exp": 1}, {"exp": -1}, {"exp": float("inf")},
    {"iat": float("-inf")}, {"iat": 4_102_444_800}, {"iat": "x"}, {"nbf": 4_102_444_800},
    {"jti": 7},
], ids=str)  # fmt: skip
def test_wrong_claim_is_refused_even_when_signed(changes):
    with pytest.raises(InvalidToken):
        verify(signed(HEADER, claims(**changes)))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"1", b'"x"', b"{", b"\xff", b'{"exp":NaN}']
)
def test_signed_nonsense_is_refused(payload):
    with pytest.raises(InvalidToken):
        verify(signed(HEADER, payload))


@pytest.mark.parametrize("token", [
    "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800", "=.=.=", "\0",
])  # fmt: skip
def test_nonsense_is_refused_and_never_a_crash(token):
    with pytest.raises(InvalidToken):
        verify(token)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 7_000,  # as deep as the 10 KB of headers that API Gateway takes
        b'{"a":' * 1_500,
        [],
        "x",
        b"\xff",
        HEADER | {"kid": 7},
        HEADER | {"crit": ["x"]},
        HEADER | {"b64": False},
        HEADER | {"zip": "DEF"},
    ],
    ids=lambda header: str(header)[:40],
)
def test_nonsense_in_the_header_is_refused_and_never_a_crash(header):
    for claims_and_signature in ("e30.e30", ".e30"):
        with pytest.raises(InvalidToken):
            verify(f"{encoded(header)}.{claims_and_signature}")


@pytest.fixture
def store(token_key):
    return boto3.client("secretsmanager")


def test_key_that_cannot_be_read_is_no_invalid_token(store):
    token = issue(ANN).access_token
    store.delete_secret(SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], ForceDeleteWithoutRecovery=True)
    tokens.key_store.cache_clear()

    with pytest.raises(TokenKeyUnread):
        verify(token)
    with pytest.raises(TokenKeyUnread):
        issue(ANN)


@pytest.mark.parametrize("value", [{"SecretString": "k" * 31}, {"SecretBinary": b"k" * 64}])
def test_weak_key_signs_and_proves_nothing(store, value):
    token = issue(ANN).access_token
    store.put_secret_value(SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], **value)
    tokens.key_store.cache_clear()

    with pytest.raises(WeakTokenKey):
        issue(ANN)
    with pytest.raises(WeakTokenKey):
        verify(token)


def test_replaced_key_ends_every_session_within_five_minutes(store, monkeypatch):
    old = issue(ANN).access_token
    store.put_secret_value(SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], SecretString="n" * 64)
    assert verify(old)  # the copy

    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: time.time() + 301))
    with pytest.raises(InvalidToken):
        verify(old)
    assert verify(issue(ANN).access_token)

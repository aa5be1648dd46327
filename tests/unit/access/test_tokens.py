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
from tests.support.template import template
from workflows.access import tokens
from workflows.access.tokens import InvalidToken, TokenKeyUnread, WeakTokenKey, issue, verify
from workflows.access.users import User
from workflows.runtime import clock

ANN = User("ann@example.com", ("operator", "producer"), "v1")

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
        "iss": tokens.ISSUER, "session_version": "v1",
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
    assert set(first) == {"sub", "roles", "session_version", "iat", "exp", "jti", "iss"}
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


@pytest.mark.parametrize("claim", ["sub", "roles", "session_version", "iat", "exp", "jti", "iss"])
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
    {"jti": 7}, {"session_version": ""}, {"session_version": 1}, {"session_version": ["v1"]},
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


# Rotation


LIFETIME = 21_600
NEW, NEWEST = "n" * 64, "z" * 64


@pytest.fixture
def after(monkeypatch):
    """Let the clock be some seconds on; the tokens' own times stay as they are."""

    def put_forward(seconds):
        moved = SimpleNamespace(time=lambda: time.time() + seconds)
        monkeypatch.setattr(tokens, "time", moved)

    return put_forward


def replace_key(store, key):
    store.put_secret_value(SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], SecretString=key)


def elsewhere():
    """Be another process, which has read no key yet."""
    tokens.key_store.cache_clear()


def test_new_key_signs_only_when_every_function_has_read_it(store, after):
    verify(issue(ANN).access_token)  # an authorizer that has the old one from now on
    authorizer = tokens.key_store()
    elsewhere()
    replace_key(store, NEW)

    assert verify(signed(HEADER, claims()))
    assert authorizer.keys().current == TOKEN_KEY
    assert tokens.key_store().keys().current == NEW
    assert tokens.key_store().keys().signing == TOKEN_KEY  # which every authorizer believes
    after(tokens.KEY_SECONDS + 1)
    assert authorizer.keys().current == NEW
    after(tokens.UNUSED_SECONDS + 1)
    assert tokens.key_store().keys().signing == NEW
    assert tokens.UNUSED_SECONDS > tokens.KEY_SECONDS


def test_both_keys_count_for_one_lifetime_and_the_old_one_never_after_it(store, after):
    replace_key(store, NEW)
    old, new = (signed(HEADER, claims(exp=2_000_000_000_0), key=key) for key in (TOKEN_KEY, NEW))

    for seconds in (0, tokens.UNUSED_SECONDS + 1, tokens.UNUSED_SECONDS + LIFETIME - 5):
        after(seconds)
        assert verify(old)
        assert verify(new)
    for process in (lambda: None, elsewhere):  # one that has both in its hands, and one that asks
        after(tokens.UNUSED_SECONDS + LIFETIME + 1)
        process()
        with pytest.raises(InvalidToken) as refusal:
            verify(old)
        assert isinstance(refusal.value.__cause__, jwt.InvalidSignatureError)
        assert verify(new)


def test_last_token_of_the_old_key_lives_as_long_as_any(store, after):
    replace_key(store, NEW)
    after(tokens.UNUSED_SECONDS - 1)
    signer = tokens.key_store().keys().signing
    elsewhere()

    assert signer == TOKEN_KEY
    assert tokens.counts_until(0, LIFETIME) >= tokens.UNUSED_SECONDS - 1 + LIFETIME


def test_key_that_was_replaced_twice_is_gone_when_the_copies_are(store, after):
    old = issue(ANN).access_token
    replace_key(store, NEW)
    replace_key(store, NEWEST)
    assert verify(old)  # the copy

    after(tokens.KEY_SECONDS + 1)
    with pytest.raises(InvalidToken):
        verify(old)
    assert verify(issue(ANN).access_token)


def test_every_session_ends_within_five_minutes_of_that():
    """Ten minutes it took: the function kept the key for five, API Gateway its answer for five."""
    (authorizer,) = template()["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"].values()

    assert tokens.KEY_SECONDS + authorizer["Identity"]["ReauthorizeEvery"] <= 300


@pytest.mark.parametrize("weak", ["k" * 31, ""])
def test_weak_key_before_this_one_proves_nothing(store, weak):
    if weak:
        replace_key(store, weak)
    else:
        store.put_secret_value(SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], SecretBinary=b"k" * 64)
    replace_key(store, NEW)

    assert tokens.key_store().keys().believed == [NEW]
    with pytest.raises(InvalidToken):
        verify(signed(HEADER, claims(), key=weak))


def test_first_key_of_a_stack_signs_at_once(store):
    assert tokens.key_store().keys() == tokens.Keys(
        TOKEN_KEY, tokens.key_store().keys().put_at, None
    )
    assert tokens.key_store().keys().signing == TOKEN_KEY


def test_expired_token_of_the_old_key_is_told_as_expired(store):
    replace_key(store, NEW)
    with pytest.raises(InvalidToken) as refusal:
        verify(signed(HEADER, claims(exp=int(time.time()) - 1)))
    assert isinstance(refusal.value.__cause__, jwt.ExpiredSignatureError)

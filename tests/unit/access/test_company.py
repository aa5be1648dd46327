"""Company sign-in: which tokens of the issuer are believed, and which keys, for how long."""

import hashlib
import hmac
import io
import json
import time
from types import SimpleNamespace
from urllib.error import URLError

import jwt
import pytest

from tests.support.cloud import ENVIRONMENT, TOKEN_KEY
from tests.support.issuer import AUDIENCE, DISCOVERY, Issuer, encoded, jwk, private_key
from workflows.access import bearers, company, issuer, tokens
from workflows.access.issuer import IssuerUnread
from workflows.access.tokens import InvalidToken
from workflows.access.users import User
from workflows.runtime import aws
from workflows.runtime.settings import InvalidSettings, Settings, settings

pytestmark = pytest.mark.usefixtures("token_key", "tables")


@pytest.fixture(autouse=True)
def theirs(monkeypatch, cloud):
    """Let there be an issuer, whose documents are read without a socket."""
    found = Issuer()
    monkeypatch.setenv("OIDC_ISSUER", found.address)
    monkeypatch.setenv("OIDC_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("OIDC_ROLES", "operator=redrive,operator=on-call,producer=pay")
    settings.cache_clear()
    issuer.issuer_keys.cache_clear()

    def read(request, timeout):
        document = found.answer(request.full_url)
        if document is None:
            raise URLError("it does not answer")
        assert 0 < timeout <= 2
        return io.BytesIO(json.dumps(document).encode())

    monkeypatch.setattr(issuer._opener, "open", read)
    return found


@pytest.fixture
def after(monkeypatch):
    """Let it be some seconds later for the keys, whose tokens stay as they are."""

    def put_forward(seconds):
        monkeypatch.setattr(issuer, "time", SimpleNamespace(time=lambda: time.time() + seconds))

    return put_forward


def refused(token):
    with pytest.raises(InvalidToken) as refusal:
        bearers.of(token)
    return type(refusal.value.__cause__)


# What a token must be


def test_token_of_the_issuer_says_who_and_with_which_of_our_roles(theirs):
    claims, roles = bearers.of(theirs.token())

    assert (claims.email, roles) == ("ada", ["operator"])
    assert 590 < claims.expires_at - time.time() <= 600


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_kinds_of_tokens_that_are_for_an_api(theirs, typ):
    assert bearers.of(theirs.token(header={"typ": typ}))


@pytest.mark.parametrize("header", [
    {"typ": "logout+jwt"}, {"typ": "secevent+jwt"}, {"typ": 7}, {"kid": None}, {"kid": 7},
    {"kid": ["first"]}, {"kid": "none"}, {"crit": ["x"]}, {"b64": False, "crit": ["b64"]},
])  # fmt: skip
def test_wrong_header_is_refused(theirs, header):
    refused(theirs.token(header=header))


@pytest.mark.parametrize("changes", [
    {"iss": "https://evil.example.com"}, {"iss": None}, {"iss": ["https://login.example.com/tenant"]},
    {"iss": "https://login.example.com/tenant/"}, {"aud": "another"}, {"aud": None}, {"aud": []},
    {"aud": ["another"]}, {"aud": {"guarded-redrive-api": 1}}, {"exp": None}, {"exp": 1},
    {"exp": "soon"}, {"exp": 4_102_444_800.5}, {"iat": None}, {"iat": 4_102_444_800},
    {"nbf": 4_102_444_800}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": " "},
    {"sub": "x" * 255}, {"sub": "a\nb"}, {"sub": "schedule"}, {"sub": "console"},
    {"sub": "Console"}, {"sub": "ann "},
    {"sub": "arn:aws:iam::111122223333:user/ann"},
], ids=str)  # fmt: skip
def test_wrong_claim_is_refused(theirs, changes):
    refused(theirs.token(**changes))


def test_one_of_several_audiences_may_be_ours(theirs):
    assert bearers.of(theirs.token(aud=["another", AUDIENCE]))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_changed_bytes_are_noticed(theirs, part):
    parts = theirs.token().split(".")
    for at in range(0, len(parts[part]) - 1, 7):
        changed = parts.copy()
        changed[part] = parts[part][:at] + chr(ord(parts[part][at]) ^ 1) + parts[part][at + 1 :]
        refused(".".join(changed))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, [], {}, 7, "HS256x"])
def test_unsigned_token_is_refused(theirs, algorithm):
    header = encoded({"alg": algorithm, "kid": "first"})
    for signature in ("", encoded(b"x" * 256)):
        refused(f"{header}.{encoded(theirs.claims())}.{signature}")


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "ES256", "EdDSA", "HS384"])
def test_other_algorithms_are_refused(theirs, algorithm):
    refused(theirs.token(header={"alg": algorithm}))


def secrets_of_the_public_key():
    """Return each text of their public key that a confused verifier would take for a secret."""
    from cryptography.hazmat.primitives import serialization as s

    public = private_key("first").public_key()
    pem = public.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    pkcs1 = public.public_bytes(s.Encoding.PEM, s.PublicFormat.PKCS1)
    der = public.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    return [
        pem,
        pem.strip(),
        pkcs1,
        der,
        json.dumps(jwk("first")).encode(),
        jwk("first")["n"].encode(),
    ]


@pytest.mark.parametrize("which", range(6))
def test_public_key_is_no_secret(theirs, which):
    secret = secrets_of_the_public_key()[which]
    own = {"sub": "ada", "roles": ["operator"], "session_version": "v", "jti": "1"}
    for claims in (theirs.claims(), theirs.claims(iss=tokens.ISSUER) | own):
        text = f"{encoded({'alg': 'HS256', 'kid': 'first'})}.{encoded(claims)}"
        digest = hmac.digest(secret, text.encode(), hashlib.sha256)
        refused(f"{text}.{encoded(digest)}")


def test_neither_key_is_good_for_the_others_tokens(theirs):
    claims = theirs.claims(iss=tokens.ISSUER, session_version="v", jti="1", roles=["operator"])
    refused(jwt.encode(claims, TOKEN_KEY, "HS256"))  # no user of ours
    refused(jwt.encode(theirs.claims(), TOKEN_KEY, "HS256", {"kid": "first"}))
    refused(theirs.token(iss=tokens.ISSUER))


@pytest.mark.parametrize("where", ["jwk", "jku", "x5u", "x5c"])
def test_key_that_the_token_brings_along_is_none(theirs, where):
    brought = {"jwk": jwk("mallory"), "jku": "https://evil.example.com/keys", "x5u": "https://x.y",
               "x5c": ["MII"]}[where]  # fmt: skip
    refused(theirs.token("mallory", {"kid": "first", where: brought}))
    assert set(theirs.asked) <= {DISCOVERY, "/keys"}


@pytest.mark.parametrize("token", [
    "", ".", "..", "a.b.c", "a.b.c.d", "é.é.é", "\ud800", "e30.e30.e30", "e30..",
])  # fmt: skip
def test_nonsense_is_refused_and_never_a_crash(token):
    with pytest.raises(InvalidToken):
        bearers.of(token)


# Who, which roles, how long


@pytest.mark.parametrize(("theirs_are", "ours"), [
    (["redrive"], ["operator"]), (["on-call", "x"], ["operator"]), (["pay"], ["producer"]),
    (["pay", "redrive"], ["producer", "operator"]), ([], []), (["operator"], []), (None, []),
    ("pay other", ["producer"]), ("operator", []), ({"redrive": True}, []), ([["redrive"]], []),
    (7, []), (["Redrive"], []),
])  # fmt: skip
def test_roles_are_those_that_the_parameter_names(theirs, theirs_are, ours):
    assert bearers.of(theirs.token(roles=theirs_are))[1] == ours


@pytest.mark.parametrize(("claims", "changes"), [
    ("email,realm_access.roles", {"email": "ada@example.com", "realm_access": {"roles": ["pay"]}}),
    ("email,cognito:groups", {"email": "ada@example.com", "cognito:groups": ["pay"]}),
    ("email,https://x.y/roles", {"email": "ada@example.com", "https://x.y/roles": ["pay"]}),
    ("email,a.b", {"email": "ada@example.com", "a": "text", "a.b": ["pay"]}),
])  # fmt: skip
def test_claims_are_those_that_the_parameter_names(theirs, monkeypatch, claims, changes):
    monkeypatch.setenv("OIDC_CLAIMS", claims)
    settings.cache_clear()

    found, roles = bearers.of(theirs.token(**changes))

    assert (found.email, roles) == ("ada@example.com", ["producer"])
    refused(theirs.token(**changes | {"email": None}))


@pytest.mark.parametrize("verified", [False, None, "true", 0])
def test_email_that_the_issuer_does_not_vouch_for_is_nobody(theirs, monkeypatch, verified):
    monkeypatch.setenv("OIDC_CLAIMS", "email,roles")
    settings.cache_clear()
    token = theirs.claims(email="ada@example.com", email_verified=True)
    assert bearers.of(theirs.token(**token))
    if verified is not None:
        refused(theirs.token(**token | {"email_verified": verified}))


def test_no_token_is_valid_for_longer_than_one_of_ours(theirs):
    now = int(time.time())
    claims, _ = bearers.of(theirs.token(exp=now + 10 * 86_400))
    assert claims.expires_at <= now + settings().token_lifetime_seconds + 1


# Beside and instead


def test_own_tokens_are_good_beside_the_issuers(theirs):
    aws.dynamodb().put_item(
        TableName="Users",
        Item={"email": "ann@example.com", "roles": ["producer"], "session_version": "v"},
    )
    token = tokens.issue(User("ann@example.com", ("producer",), "v")).access_token
    assert bearers.of(token)[1] == ["producer"]
    assert theirs.asked == []


def test_own_tokens_are_refused_where_nobody_signs_in_by_password(theirs, monkeypatch):
    token = tokens.issue(User("ann@example.com", ("producer",), "v")).access_token
    monkeypatch.setenv("OWN_SIGN_IN", "false")
    settings.cache_clear()

    assert refused(token) is bearers.SignInElsewhere
    assert bearers.of(theirs.token())


def test_without_an_issuer_nothing_of_it_is_loaded_or_asked(theirs, monkeypatch):
    monkeypatch.setenv("OIDC_ISSUER", "")
    settings.cache_clear()
    monkeypatch.setattr(company, "verify", lambda _: pytest.fail("it was asked"))

    assert refused(theirs.token())
    assert theirs.asked == []


def test_issuer_without_an_audience_stops_the_start():
    with pytest.raises(InvalidSettings, match="OIDC_AUDIENCE"):
        Settings.of(ENVIRONMENT | {"OIDC_ISSUER": "https://login.example.com"})


@pytest.mark.parametrize("address", [
    "http://login.example.com", "ftp://login.example.com", "login.example.com",
    "http://127.0.0.1.evil.example.com:80", "file:///etc/passwd",
])  # fmt: skip
def test_issuer_speaks_https(address):
    with pytest.raises(InvalidSettings, match="OIDC_ISSUER"):
        Settings.of(ENVIRONMENT | {"OIDC_ISSUER": address, "OIDC_AUDIENCE": AUDIENCE})


# The keys


def test_keys_are_asked_for_once_in_ten_minutes(theirs, after):
    for _ in range(3):
        bearers.of(theirs.token())
    assert theirs.asked == [DISCOVERY, "/keys"]
    after(issuer.KEEP_SECONDS - 1)
    bearers.of(theirs.token())
    assert len(theirs.asked) == 2
    after(issuer.KEEP_SECONDS + 1)
    bearers.of(theirs.token())
    assert len(theirs.asked) == 4


def test_key_that_was_taken_back_is_believed_for_ten_minutes_at_most(theirs, after):
    bearers.of(theirs.token())
    theirs.keys = [jwk("second")]
    after(issuer.KEEP_SECONDS + 1)
    refused(theirs.token())
    assert bearers.of(theirs.token("second"))


def test_new_key_is_found_and_made_up_ones_make_nobody_ask_more(theirs, after):
    bearers.of(theirs.token())
    theirs.keys.append(jwk("second"))
    refused(theirs.token("second"))  # too soon
    after(issuer.AGAIN_SECONDS + 1)
    assert bearers.of(theirs.token("second"))

    before = len(theirs.asked)
    for kid in range(50):
        refused(theirs.token(header={"kid": str(kid)}))
    assert len(theirs.asked) == before


def test_issuer_that_does_not_answer_is_believed_for_an_hour(theirs, after):
    bearers.of(theirs.token())
    theirs.is_down = True
    for seconds in (issuer.KEEP_SECONDS + 1, issuer.STALE_SECONDS - 5):
        after(seconds)
        assert bearers.of(theirs.token())
    after(issuer.STALE_SECONDS + 60)
    for _ in range(2):
        with pytest.raises(IssuerUnread):
            bearers.of(theirs.token())
    theirs.is_down = False
    after(issuer.STALE_SECONDS + 120)
    assert bearers.of(theirs.token())


def test_issuer_that_never_answered_is_no_invalid_token(theirs):
    theirs.is_down = True
    for _ in range(2):
        with pytest.raises(IssuerUnread):
            bearers.of(theirs.token())
    assert theirs.asked == [DISCOVERY]


@pytest.mark.parametrize("discovery", [
    {"issuer": "https://evil.example.com"}, {"issuer": None}, {"jwks_uri": None},
    {"jwks_uri": "http://login.example.com/tenant/keys"}, {"jwks_uri": "file:///etc/passwd"},
    {"jwks_uri": 7},
])  # fmt: skip
def test_discovery_that_is_not_the_issuers_tells_no_keys(theirs, discovery):
    theirs.discovery = discovery
    with pytest.raises(IssuerUnread):
        bearers.of(theirs.token())
    assert theirs.asked == [DISCOVERY]


@pytest.mark.parametrize("change", [
    {"use": "enc"}, {"alg": "RS384"}, {"alg": "HS256"}, {"kty": "EC"}, {"kty": "oct"}, {"e": "Aw"},
    {"n": "AQAB"}, {"n": None}, {"e": None}, {"n": 7}, {"n": "!"}, {"n": "A" * 2_000}, {"kid": 7},
    {"kid": "first" * 60},
])  # fmt: skip
def test_unfit_key_is_passed_over_and_the_others_are_taken(theirs, change):
    theirs.keys = [jwk("first", **change), "no key", None, jwk("second")]
    assert bearers.of(theirs.token("second"))
    refused(theirs.token())


def test_small_key_is_none(theirs):
    theirs.keys = [jwk("small", 1_024)]
    refused(theirs.token(header={"kid": "small"}))


def test_no_more_than_fifty_keys_are_looked_at(theirs):
    theirs.keys = [jwk("second", kid=str(number)) for number in range(50)] + [jwk("first")]
    refused(theirs.token())

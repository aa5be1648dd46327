"""Company sign-in over HTTP: tokens of a small issuer on loopback, beside or instead of ours."""

import threading
import time

import pytest

from local.client import Client
from local.stack import Stack
from tests.deployed.flows import assert_problem, credit
from tests.support.issuer import AUDIENCE, DISCOVERY, jwk, served
from workflows.access import issuer as issuers
from workflows.access.issuer import IssuerKeys, IssuerUnread

pytestmark = [pytest.mark.xdist_group("company"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def issuer():
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def company(issuer):
    """Deploy a stack that takes the issuer's tokens beside its own."""
    given = {
        "OidcIssuer": issuer.address, "OidcAudience": AUDIENCE,
        "OidcClaims": "email,realm_access.roles", "OidcRoles": "operator=sre,producer=payments",
    }  # fmt: skip
    with Stack(parameters=given) as stack:
        yield stack


def ada(issuer, *roles, **changes):
    claims = {"email": "ada@example.com", "realm_access": {"roles": list(roles)}}
    return issuer.token(**claims | changes)


def test_operator_of_the_company_acts_under_her_name(company, issuer):
    operator = Client(company.api_url, ada(issuer, "sre"))
    message_id = operator.send(credit()).expect(202)["message_id"]

    assert operator.message(message_id).expect(200)["submitted_by"] == "ada@example.com"
    assert operator.call("GET", "/audit").status == 200
    assert issuer.asked[:2] == [DISCOVERY, "/keys"]


def test_roles_are_those_that_the_parameter_names(company, issuer):
    producer = Client(company.api_url, ada(issuer, "payments"))
    producer.status().expect(200)
    assert_problem(producer.call("GET", "/audit"), 403, "forbidden")
    nobody = Client(company.api_url, ada(issuer, "operator"))
    assert_problem(nobody.status(), 403, "forbidden")


def test_what_is_wrong_is_401(company, issuer):
    now = int(time.time())
    for token in (
        ada(issuer, "sre", aud="another"),
        ada(issuer, "sre", iss="https://evil.example.com"),
        ada(issuer, "sre", exp=now - 60),
        issuer.token("mallory", email="ada@example.com"),
        issuer.token("mallory", {"kid": "first"}, email="ada@example.com"),
        issuer.token(header={"alg": "none"}, email="ada@example.com"),
        issuer.token(header={"alg": "HS256"}, email="ada@example.com"),
    ):
        assert_problem(Client(company.api_url, token).status(), 401, "unauthorized")


def test_own_users_sign_in_beside_it(company):
    Client(company.api_url).signed_in(**company.users["producer"]).status().expect(200)


def test_instead_of_our_own_nobody_signs_in_by_password(issuer):
    given = {"OidcIssuer": issuer.address, "OidcAudience": AUDIENCE, "OwnSignIn": "false"}
    with Stack(parameters=given) as stack:
        anybody = Client(stack.api_url)
        answer = anybody.call("POST", "/users/login", stack.users["operator"])

        assert_problem(answer, 403, "no_passwords")
        Client(stack.api_url, issuer.token(roles=["operator"])).status().expect(200)


# The issuer itself, over a socket


@pytest.fixture
def keys(issuer, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    before = dict(issuer.discovery)
    yield IssuerKeys(issuer.address)
    issuer.discovery = before


def test_keys_are_read_over_a_socket(keys):
    assert keys.find("first")
    assert keys.find("second") is None


@pytest.mark.parametrize("path", ["/elsewhere", "/large", "/none"])
def test_keys_that_are_elsewhere_too_large_or_gone_are_none(keys, issuer, path):
    issuer.discovery = {"jwks_uri": f"{issuer.address}{path}"}
    with pytest.raises(IssuerUnread):
        keys.find("first")


def test_issuer_that_hangs_is_not_waited_for(keys, monkeypatch, issuer):
    monkeypatch.setattr(issuers, "_TIMEOUT_SECONDS", 0.2)
    over, answer = threading.Event(), issuer.answer

    def answer_at_last(address):
        over.wait(5)
        return answer(address)

    monkeypatch.setattr(issuer, "answer", answer_at_last)
    with pytest.raises(IssuerUnread):  # else it waits, and finds the key
        keys.find("first")
    over.set()


def test_key_that_was_added_is_found(keys, issuer, monkeypatch):
    assert keys.find("first")
    monkeypatch.setattr(issuer, "keys", [*issuer.keys, jwk("second")])
    monkeypatch.setattr(issuers, "AGAIN_SECONDS", 0)
    assert keys.find("second")

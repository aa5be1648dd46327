"""The API's authorizer: a policy for the whole stage, or `Unauthorized`, or an error."""

import json
import time

import boto3
import pytest

from lambdas.authorize_request import handler
from tests.support.aws_events import token_request
from tests.support.cloud import ENVIRONMENT
from tests.support.invocations import CONTEXT
from tests.support.template import template
from workflows.access import tokens
from workflows.access.users import User
from workflows.runtime import clock

API = "arn:aws:execute-api:us-east-1:123456789012:api1234567"
ANN = User("ann@example.com", ("operator", "producer"))

pytestmark = pytest.mark.usefixtures("token_key")


@pytest.fixture
def token():
    return tokens.issue(ANN).access_token


def authorize(authorization, method_arn=f"{API}/v1/GET/messages/status"):
    return handler(token_request(authorization) | {"methodArn": method_arn}, CONTEXT)


def refuse(authorization):
    with pytest.raises(Exception) as refusal:  # noqa: PT011 - API Gateway knows it by its text only
        authorize(authorization)
    assert type(refusal.value) is Exception
    assert str(refusal.value) == "Unauthorized"


def test_valid_token_gets_policy_and_context(token):
    answer = authorize(f"Bearer {token}")

    assert answer["principalId"] == ANN.email
    (statement,) = answer["policyDocument"]["Statement"]
    assert answer["policyDocument"]["Version"] == "2012-10-17"
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    context = answer["context"]
    assert (context["email"], context["roles"]) == (ANN.email, "operator producer")
    assert int(context["expires_at"]) > time.time() + 21_000
    assert all(isinstance(value, str) for value in context.values())
    (authorizer,) = template()["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"].values()
    assert authorizer["FunctionPayloadType"] == token_request(None)["type"]


@pytest.mark.parametrize(
    ("own", "roles"),
    [(("operator",), "operator producer"), (("producer",), "producer")],
)
def test_operator_may_do_what_a_producer_may(token, own, roles):
    issued = tokens.issue(User("bob@example.com", own)).access_token

    assert authorize(f"Bearer {issued}")["context"]["roles"] == roles


@pytest.mark.parametrize(
    ("method_arn", "resource"),
    [
        (f"{API}/v1/GET/messages/status", f"{API}/v1/*"),
        (f"{API}/v1/POST/messages/dlq/reprocess", f"{API}/v1/*"),
        (f"{API}/v1/GET/", f"{API}/v1/*"),
        (f"{API}/v1/GET/messages/a*b/..%2F", f"{API}/v1/*"),
        (
            "arn:aws-cn:execute-api:cn-north-1:1:a/prod/DELETE/x",
            "arn:aws-cn:execute-api:cn-north-1:1:a/prod/*",
        ),
    ],
)
def test_cached_policy_allows_every_method_of_the_stage(token, method_arn, resource):
    (statement,) = authorize(f"Bearer {token}", method_arn)["policyDocument"]["Statement"]
    assert statement["Resource"] == resource


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "BeArEr"])
def test_scheme_has_no_case(token, scheme):
    assert authorize(f"{scheme}  {token} ")


@pytest.mark.parametrize(
    "authorization", [None, "", " ", "Bearer", "Bearer ", "Bearer x", "Bearer ü", "Basic eDp5"]
)
def test_missing_token_is_unauthorized(authorization):
    refuse(authorization)


def test_token_without_or_with_another_scheme_is_unauthorized(token):
    for authorization in (token, f"Basic {token}", f"Bearer{token}", f"Bearer\t{token}"):
        refuse(authorization)
    refuse(f"Bearer {token} {token}")


def test_expired_token_is_unauthorized(monkeypatch, output):
    monkeypatch.setattr(clock, "epoch", lambda: int(time.time()) - 21_601)
    refuse(f"Bearer {tokens.issue(ANN).access_token}")
    assert _errors(output())[-1]["details"]["reason"] == "ExpiredSignatureError"


def test_refusal_is_logged_by_its_reason_without_the_token(token, output):
    changed = f"{token.rpartition('.')[0]}.{'A' * 43}"
    refuse(f"Bearer {changed}")
    refuse(f"Basic {token}")
    text = output()

    first, second = _errors(text)
    assert first["details"]["reason"] == "InvalidSignatureError"
    assert second["details"]["reason"] == "NotBearer"
    assert first["action"] == "authorize_request"
    assert first["trace_id"] == "invocation-1"
    for part in (*token.split("."), *changed.split("."), ANN.email):
        assert part not in text


def test_accepted_token_is_not_logged(token, output):
    authorize(f"Bearer {token}")
    text = output()
    assert "success" in text
    for part in token.split("."):
        assert part not in text


def test_key_that_cannot_be_read_is_an_error_not_unauthorized(token, output):
    boto3.client("secretsmanager").delete_secret(
        SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], ForceDeleteWithoutRecovery=True
    )
    tokens.key_store.cache_clear()

    with pytest.raises(Exception, match=r"^(?!Unauthorized).*$"):
        authorize(f"Bearer {token}")

    assert _errors(output())[-1]["details"]["error"] == "TokenKeyUnread"


def _errors(text):
    parsed = [json.loads(line) for line in text.splitlines() if line]
    return [line for line in parsed if line["status"] == "error"]

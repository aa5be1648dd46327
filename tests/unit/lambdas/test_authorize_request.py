"""The API's authorizer: a policy for the whole stage, or `Unauthorized`, or an error."""

import json
import time
from unittest.mock import Mock

import boto3
import pytest

from lambdas.authorize_request import handler
from tests.support.aws_events import token_request
from tests.support.cloud import ENVIRONMENT
from tests.support.invocations import CONTEXT
from tests.support.template import template
from workflows.access import tokens
from workflows.access.users import User
from workflows.runtime import aws, clock

API = "arn:aws:execute-api:us-east-1:123456789012:api1234567"
ANN = User("ann@example.com", ("operator", "producer"), "v1")

pytestmark = pytest.mark.usefixtures("token_key", "tables")


@pytest.fixture
def token(tables):
    return token_of(ANN)


def token_of(user):
    """Return a token of a user, whose row is as little as there may be."""
    given = {"email": user.email, "roles": list(user.roles), "session_version": "v1"}
    aws.dynamodb().put_item(TableName="Users", Item=given)
    return tokens.issue(user).access_token


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
    issued = token_of(User("bob@example.com", own, "v1"))

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
    refuse(f"Bearer {token_of(ANN)}")
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


def test_ended_session_is_unauthorized_and_logged_as_that(token, output):
    assert authorize(f"Bearer {token}")
    aws.dynamodb().delete_item(TableName="Users", Key={"email": ANN.email})

    refuse(f"Bearer {token}")

    text = output()
    assert _errors(text)[-1]["details"]["reason"] == "SessionEnded"
    assert ANN.email not in text


def test_session_that_has_ended_goes_on_for_a_minute_at_most():
    """API Gateway keeps the policy for so long, and nothing here keeps anything."""
    (authorizer,) = template()["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"].values()
    assert authorizer["Identity"]["ReauthorizeEvery"] <= 60


def test_user_is_read_with_the_last_write_in_it(token, monkeypatch):
    read = Mock(wraps=aws.typed_dynamodb().get_item)
    monkeypatch.setattr(aws.typed_dynamodb(), "get_item", read)
    for _ in range(2):
        authorize(f"Bearer {token}")
    assert [call.kwargs["ConsistentRead"] for call in read.call_args_list] == [True, True]


def test_users_that_cannot_be_read_are_an_error_not_unauthorized(token, output):
    aws.dynamodb().delete_table(TableName="Users")

    with pytest.raises(Exception, match=r"^(?!Unauthorized).*$"):
        authorize(f"Bearer {token}")

    assert _errors(output())[-1]["details"]["error"] == "ResourceNotFoundException"


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

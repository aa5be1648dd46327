"""POST /users/login: its answers, and what it leaves in the log."""

import json

import boto3
import pytest

from lambdas.log_in import handler
from tests.support.cloud import ENVIRONMENT
from tests.support.invocations import CONTEXT, api_event
from workflows.access import sign_in, tokens
from workflows.operator import user_changes

EMAIL = "ann@example.com"
PASSWORD = "correct horse battery"
WRONG = "a wrong password"


@pytest.fixture(autouse=True)
def ann(tables, token_key):
    user_changes.add_user(EMAIL, PASSWORD, ["producer"])


def log_in(body):
    answer = handler(api_event("POST", "/users/login", body, roles=()), CONTEXT)
    return answer["statusCode"], json.loads(answer["body"]), answer


def credentials(email=EMAIL, password=PASSWORD):
    return {"email": email, "password": password}


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line]


def test_right_credentials_give_a_token():
    status, body, _ = log_in(credentials(" Ann@Example.com"))

    assert status == 200
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 21_600)
    assert tokens.verify(body["access_token"]).email == EMAIL


def test_unknown_email_and_wrong_password_get_the_same_answer():
    first = log_in(credentials(password=WRONG))
    second = log_in(credentials("nobody@example.com"))

    assert first == second
    status, body, _ = first
    assert status == 401
    assert body["error"]["code"] == "wrong_credentials"
    assert body["trace_id"] == "request-1"


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_sixth_attempt_is_told_how_long_to_wait(email):
    statuses = [log_in(credentials(email, WRONG))[0] for _ in range(5)]
    status, body, answer = log_in(credentials(email))

    assert statuses == [401] * 5
    assert status == 429
    assert 890 < body["error"]["details"]["retry_after"] <= 900
    headers = answer["multiValueHeaders"]
    assert headers["Retry-After"] == [str(body["error"]["details"]["retry_after"])]
    assert body["trace_id"] == "request-1"


@pytest.mark.parametrize("body", [
    None, "", "{", "[]", "null", "1", '"x"', "NaN", [credentials()],
    '{"email": NaN, "password": "x"}',
    '{"email": "a@b.c", "email": "ann@example.com", "password": "correct horse battery"}',
    '{"email": "ann@example.com", "password": "\\ud800"}',
    '{"email": "\\ud800@example.com", "password": "x"}',
    '{"email": "ann\\u0000@example.com", "password": "x"}', "[" * 10_000, {},
    {"email": EMAIL}, {"password": PASSWORD}, credentials() | {"role": "operator"},
    credentials(email=None), credentials(email=["ann@example.com"]),
    credentials(email={"S": EMAIL}), credentials(email="   "), credentials(email="ann"),
    credentials(email="a" * 250 + "@example.com"), credentials(password=None),
    credentials(password=""), credentials(password=123456789012),
    credentials(password="p" * 1_025),
], ids=lambda body: str(body)[:40])  # fmt: skip
def test_what_is_no_login_is_422_in_the_one_shape(body, monkeypatch):
    monkeypatch.setattr(sign_in, "sign_in", lambda *_: pytest.fail("it was tried"))

    status, answer, _ = log_in(body)

    assert status == 422, answer
    assert answer["error"]["code"] == "invalid_request"
    assert answer["error"]["message"]
    assert answer["trace_id"] == "request-1"


def test_422_names_the_field_and_never_its_value():
    _, body, _ = log_in(credentials(password="p" * 1_025, email="no email"))

    text = json.dumps(body)
    assert {field["field"] for field in body["error"]["details"]["fields"]} == {
        "body.email",
        "body.password",
    }
    assert "ppp" not in text
    assert "no email" not in text


def test_log_and_metric_of_a_success(output):
    log_in(credentials())
    text = output()
    started, success, metric = lines(text)

    assert (started["action"], started["status"]) == ("user_login", "started")
    assert (success["action"], success["status"]) == ("user_login", "success")
    assert success["trace_id"] == "request-1"
    assert success["details"]["email"] == EMAIL
    assert "email" not in started["details"]
    assert metric["SuccessfulLogins"] == [1.0]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "API-Producer-SQS/Messages"
    assert PASSWORD not in text


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_log_and_metric_of_a_failure_name_nobody(output, email):
    for _ in range(6):
        log_in(credentials(email, WRONG))
    text = output()

    metrics = [line for line in lines(text) if "_aws" in line]
    logins = [line for line in lines(text) if line.get("action") == "user_login"]
    errors = [line["details"]["error"] for line in logins if line["status"] == "error"]
    assert [metric["FailedLogins"] for metric in metrics] == [[1.0]] * 6
    assert errors == ["WrongCredentials"] * 5 + ["TooManyFailures"]
    assert "@example.com" not in text
    assert WRONG not in text


@pytest.mark.parametrize(
    "body", ['{"email": "%s", "password": "%s", "x": 1}', "%s %s", '["%s","%s"]']
)
def test_refused_body_is_not_logged(output, body):
    log_in(body % (EMAIL, PASSWORD))
    text = output()
    assert PASSWORD not in text
    assert EMAIL not in text


def delete_secret():
    boto3.client("secretsmanager").delete_secret(
        SecretId=ENVIRONMENT["TOKEN_KEY_SECRET"], ForceDeleteWithoutRecovery=True
    )
    tokens.key_store.cache_clear()


def delete_table():
    boto3.client("dynamodb").delete_table(TableName="Users")


@pytest.mark.parametrize("disaster", [delete_secret, delete_table])
def test_disaster_is_500_with_a_trace_id_and_without_a_word_about_it(output, disaster):
    disaster()

    status, body, _ = log_in(credentials())

    assert status == 500
    assert body["error"]["code"] == "internal_error"
    assert body["trace_id"] == "request-1"
    assert "token-key" not in json.dumps(body)
    text = output()
    assert [line["Errors"] for line in lines(text) if "_aws" in line] == [[1.0]]
    assert "SuccessfulLogins" not in text
    assert "FailedLogins" not in text
    assert PASSWORD not in text


def test_secret_that_cannot_be_read_locks_nobody_out(tables):
    delete_secret()
    for _ in range(7):
        assert log_in(credentials())[0] == 500
    assert not any("failed_logins" in item for item in tables.scan(TableName="Users")["Items"])

"""Over HTTP: who gets in, who may what, and what is open to everybody."""

import subprocess
import sys
import time
import uuid
from urllib.parse import urlsplit

import jwt
import pytest
from openapi_spec_validator import validate

from local.client import Client
from local.stack import STACK_NAME
from tests.deployed.flows import assert_problem, credit

pytestmark = pytest.mark.xdist_group("flows")

OPERATOR_ROUTES = [
    ("POST", "/messages/dlq/reprocess"),
    ("GET", "/messages/dlq/reprocess"),
    ("GET", "/messages/dlq/reprocess/some-run"),
    ("GET", "/audit"),
    ("DELETE", "/queues/some-queue"),
    ("DELETE", "/types/some-type"),
]
ROUTES = [
    ("POST", "/messages/send"),
    ("GET", "/messages/status"),
    ("GET", "/messages/some-message"),
    ("GET", "/messages/dlq"),
    ("GET", "/messages/dlq/groups"),
    ("GET", "/messages/quarantine"),
    ("GET", "/queues"),
    ("GET", "/queues/some-queue"),
    ("GET", "/types"),
    ("GET", "/types/some-type"),
    *OPERATOR_ROUTES,
]


# Signing in


def test_user_signs_in_for_six_hours(stack, anybody):
    answer = anybody.call("POST", "/users/login", stack.users["producer"])

    body = answer.expect(200)
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 21_600)


def test_wrong_email_and_wrong_password_cannot_be_told_apart(stack, anybody):
    user = stack.users["producer"]
    answers = [
        anybody.call("POST", "/users/login", user | {"password": "not the password"}),
        anybody.call("POST", "/users/login", user | {"email": f"{uuid.uuid4()}@example.com"}),
    ]

    for answer in answers:
        assert_problem(answer, 401, "wrong_credentials")
    assert answers[0].json["error"] == answers[1].json["error"]


def test_repeated_failures_lock_the_email(anybody):
    nobody = {"email": f"{uuid.uuid4()}@example.com", "password": "a guess"}
    statuses = [anybody.call("POST", "/users/login", nobody).status for _ in range(5)]
    answer = anybody.call("POST", "/users/login", nobody)

    assert statuses == [401] * 5
    assert_problem(answer, 429, "too_many_failures")
    retry_after = answer.json["error"]["details"]["retry_after"]
    assert 0 < retry_after <= 900
    assert answer.headers["Retry-After"] == str(retry_after)


# What ends a session; API Gateway keeps an answer for a minute, so each token is new to it


def a_user(stack):
    """Return what signs a new operator in."""
    user = {"email": f"{uuid.uuid4()}@example.com", "password": "correct horse battery"}
    command = [
        sys.executable, "-m", "local.user", "--stack", STACK_NAME,
        "--email", user["email"], "--role", "operator", "--password-from-env", "PASSWORD",
    ]  # fmt: skip
    run_as(stack, command, PASSWORD=user["password"])
    return user


def run_as(stack, command, **variables):
    environment = stack.process_environment() | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_removed_user_is_signed_out(stack, anybody):
    user = a_user(stack)
    session = anybody.signed_in(**user)
    command = [sys.executable, "-m", "local.user", "--remove", "--stack", STACK_NAME]
    assert "is removed" in run_as(stack, [*command, "--email", user["email"]])

    assert_problem(session.status(), 401, "unauthorized")
    assert_problem(anybody.call("POST", "/users/login", user), 401, "wrong_credentials")


def test_demoted_user_is_signed_out_and_less_when_back(stack, anybody):
    user = a_user(stack)
    before = anybody.signed_in(**user)
    command = [
        sys.executable, "-m", "local.user", "--stack", STACK_NAME,
        "--email", user["email"], "--role", "producer", "--password-from-env", "PASSWORD",
    ]  # fmt: skip
    run_as(stack, command, PASSWORD=user["password"])

    assert_problem(before.status(), 401, "unauthorized")
    after = anybody.signed_in(**user)
    assert after.status().status == 200
    assert_problem(after.call("GET", "/audit"), 403, "forbidden")


def test_service_signs_in_by_the_secret_that_was_shown_and_all_of_it_is_in_the_audit(
    stack, anybody
):
    email = f"ci-{uuid.uuid4()}@example.com"
    command = [
        sys.executable, "-m", "local.user", "--stack", STACK_NAME, "--email", email,
        "--service", "90", "--role", "operator",
    ]  # fmt: skip
    secret = run_as(stack, command).strip()

    service = anybody.signed_in(email, secret)

    records = service.call("GET", "/audit?limit=100").expect(200)["records"]
    (record,) = [one for one in records if one["input"].get("email") == email]
    assert (record["action"], record["result"]) == ("add_user", "ADDED")
    assert record["actor"].startswith("arn:aws:")
    assert secret not in str(records)


def test_rotation_of_the_key_signs_nobody_out(stack, anybody):
    before = anybody.signed_in(**stack.users["producer"])
    run_as(stack, [sys.executable, "-m", "local.token_key", "--stack", STACK_NAME])

    before.status().expect(200)
    anybody.signed_in(**stack.users["producer"]).status().expect(200)


# Who may what


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_a_token(anybody, method, path):
    answer = anybody.call(method, path, {} if method == "POST" else None)

    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_token_that_is_not_ours_is_refused(stack):
    forged = {"sub": "p@example.com", "roles": ["operator"], "exp": int(time.time()) + 600}
    for token in ("garbage", jwt.encode(forged, "k" * 64, "HS256"), jwt.encode(forged, "", "none")):
        assert_problem(Client(stack.api_url, token).status(), 401, "unauthorized")


def test_other_scheme_is_refused(stack, anybody):
    header = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
    assert_problem(anybody.call("GET", "/messages/status", headers=header), 401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), OPERATOR_ROUTES)
def test_producer_may_not_redrive(producer, method, path):
    answer = producer.call(method, path, {} if method == "POST" else None)

    assert_problem(answer, 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("DELETE", "/messages/send"), ("GET", "/messages/a/b")],
)
def test_unknown_path_is_404(producer, method, path):
    assert_problem(producer.call(method, path), 404, "not_found")


# The documentation


def test_docs_are_open_and_found_through_the_stage(stack, anybody):
    page = anybody.call("GET", "/docs")

    assert page.status == 200
    assert page.headers.get_content_type() == "text/html"
    assert "SwaggerUI" in page.text


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/openapi.json"])
def test_docs_are_found_at_the_root_of_the_local_stack(stack, anybody, path):
    at_the_root = Client(stack.endpoint_url).call("GET", path)

    assert at_the_root.status == 200
    assert (
        at_the_root.text == anybody.call("GET", path.rstrip("/")).text
    )  # so that "Try it out" finds the API
    assert Client(stack.endpoint_url).call("GET", "/docs/none").status == 404


def test_operator_alone_may_send_and_read(stack, anybody):
    """README's command makes one with the role operator, who got 403."""
    (row,) = stack.client("dynamodb").query(
        TableName=stack.outputs["UsersTableName"],
        KeyConditionExpression="email = :email",
        ExpressionAttributeValues={":email": {"S": stack.users["operator"]["email"]}},
    )["Items"]
    operator = anybody.signed_in(**stack.users["operator"])

    assert row["roles"]["L"] == [{"S": "operator"}]
    operator.status().expect(200)
    assert operator.send(credit()).status == 202


def test_openapi_document_is_open_valid_and_complete(stack, anybody):
    answer = anybody.call("GET", "/openapi.json")
    document = answer.expect(200)

    validate(document)
    base = urlsplit(stack.api_url).path
    assert [server["url"] for server in document["servers"]] == [base]
    assert {(m.upper(), p) for p, item in document["paths"].items() for m in item} == {
        ("POST", "/users/login"),
        ("POST", "/messages/send"),
        ("GET", "/messages/status"),
        ("GET", "/messages/{message_id}"),
        ("POST", "/messages/{message_id}/discard"),
        ("POST", "/messages/discard"),
        ("POST", "/messages/{message_id}/retry"),
        ("POST", "/messages/retry"),
        ("PATCH", "/messages/{message_id}"),
        ("PATCH", "/messages"),
        ("GET", "/audit"),
        ("GET", "/groups"),
        ("GET", "/groups/{group_id}"),
        ("GET", "/messages/dlq"),
        ("GET", "/messages/dlq/groups"),
        ("GET", "/messages/quarantine"),
        ("GET", "/types"),
        ("DELETE", "/types/{type}"),
        ("GET", "/types/{type}"),
        ("PUT", "/types/{type}"),
        ("GET", "/queues"),
        ("DELETE", "/queues/{queue}"),
        ("GET", "/queues/{queue}"),
        ("PUT", "/queues/{queue}"),
        ("POST", "/messages/dlq/reprocess"),
        ("GET", "/messages/dlq/reprocess"),
        ("GET", "/messages/dlq/reprocess/{run_id}"),
        ("DELETE", "/messages/dlq/reprocess/{run_id}"),
    }
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, item in document["paths"].items():
        for operation in item.values():
            if path != "/users/login":
                assert "401" in operation["responses"]

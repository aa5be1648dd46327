"""Every promise of the service that this one re-imagines, in its own words, each held by a test.

A row is lost only if its test is. The proof of each is elsewhere, at length; here is the least that
its words say, through the handlers, the template and both machines on moto.
"""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from lambdas import (
    authorize_request,
    log_in,
    reprocess_dead_letters,
    send_message,
    show_docs,
    show_status,
)
from tests.engines.moto_engine.stack import MotoStack
from tests.support.cloud import ENVIRONMENT, TOKEN_KEY
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_transaction
from tests.support.template import template
from tests.support.world import World
from workflows import send
from workflows.operator import user_changes

pytestmark = pytest.mark.usefixtures("recursion_limit")

NAMESPACE = "API-Producer-SQS/Messages"
USER = {"email": "ann@example.com", "password": "correct horse battery staple"}
# Number, the original's words, and the function below that holds them.
PROMISES = [
    (1, "POST /users/login issues a JWT; every other endpoint needs it in Authorization", "login"),
    (2, "POST /messages/send puts a message on the SQS FIFO queue", "sending"),
    (3, "GET /messages/status shows the main queue and the DLQ", "status"),
    (4, "POST /messages/dlq/reprocess reprocesses the DLQ", "reprocessing"),
    (5, "interactive OpenAPI docs (Swagger UI) at /docs", "docs"),
    (6, "message recorded in DynamoDB for tracking and idempotency before it is sent", "recording"),
    (7, "worker Lambda consumes the main queue asynchronously", "worker"),
    (8, "invalid messages, and those out of retries, go to the DLQ", "dying"),
    (9, "SQS FIFO + DLQ FIFO, maxReceiveCount as the backstop", "queues"),
    (10, "loop prevention in DLQ reprocessing; invalid messages handled", "loop"),
    (
        11,
        "idempotency at two levels: DynamoDB unique key, and MessageDeduplicationId",
        "idempotency",
    ),
    (
        12,
        "JSON logs with trace_id, action (send_message, get_status, reprocess_dlq, user_login, …),"
        " status (started/success/error), details (queue name, duration, error), timestamp (UTC)",
        "logs",
    ),
    (
        13,
        "CloudWatch metrics in namespace API-Producer-SQS/Messages: MessagesSent,"
        " MessagesReprocessed, ProcessingTime (average of each operation, in seconds), Errors,"
        " FailedLogins, SuccessfulLogins",
        "metrics",
    ),
    (
        14,
        "settings by environment: user e-mail and password, JWT secret, token lifetime of 6 hours,"
        " region, queue names",
        "settings",
    ),
    (17, "an API client collection", "collection"),
]


@pytest.fixture
def world():
    with MotoStack() as stack:
        secrets = stack.client("secretsmanager")
        secrets.create_secret(Name=ENVIRONMENT["TOKEN_KEY_SECRET"], SecretString=TOKEN_KEY)
        user_changes.add_user(USER["email"], USER["password"], ["producer", "operator"])
        yield World(stack)


@pytest.mark.parametrize(("number", "promise", "name"), PROMISES, ids=lambda part: str(part)[:40])
def test_promise_is_kept(number, promise, name, world, output, monkeypatch):
    ALL[name](world, output, monkeypatch)


def test_no_promise_is_missing_from_the_table():
    assert [number for number, *_ in PROMISES] == [*range(1, 15), 17]
    assert [name for *_, name in PROMISES] == list(ALL)


# --- What they ask for ----------------------------------------------------------------------


def ask(module, method, path, body=None, **more):
    """Call a function of the API as somebody with both roles; return status and body."""
    more = {"roles": ("producer", "operator"), "email": USER["email"]} | more
    answer = module.handler(api_event(method, path, body, **more), CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


def send_one(message_id="m-1", **payload):
    body = {"type": "transaction", "message_id": message_id, "payload": a_transaction(**payload)}
    return ask(send_message, "POST", "/messages/send", body)


def get_status():
    return ask(show_status, "GET", "/messages/status")


def reprocess():
    return ask(reprocess_dead_letters, "POST", "/messages/dlq/reprocess", {"max_messages": 1})


def sign_in(**other):
    return ask(log_in, "POST", "/users/login", USER | other, roles=())


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def routes():
    return {
        event["Properties"]["Path"]: event["Properties"].get("Auth", {}).get("Authorizer")
        for resource in template()["Resources"].values()
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    }


# --- The promises ---------------------------------------------------------------------------


def login(world, output, monkeypatch):
    status, body = sign_in()
    assert (status, body["token_type"]) == (200, "bearer")
    token = body["access_token"]
    assert jwt.decode(token, TOKEN_KEY, algorithms=["HS256"])["sub"] == USER["email"]

    auth = template()["Resources"]["Api"]["Properties"]["Auth"]
    assert auth["Authorizers"][auth["DefaultAuthorizer"]]["Identity"]["Header"] == "Authorization"
    # Besides the description of the API, which holds nothing of anybody.
    is_open = {path for path, authorizer in routes().items() if authorizer == "NONE"}
    assert is_open == {"/users/login", "/docs", "/openapi.json"}
    arn = "arn:aws:execute-api:us-east-1:123456789012:api/v1/GET/messages/status"
    event: dict[str, Any] = {"type": "TOKEN", "methodArn": arn}
    allowed = event | {"authorizationToken": f"Bearer {token}"}
    assert authorize_request.handler(allowed, CONTEXT)["principalId"] == USER["email"]
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize_request.handler(event | {"authorizationToken": "Bearer x"}, CONTEXT)


def sending(world, output, monkeypatch):
    assert send_one()[0] == 202

    (letter,) = world.queued("Work")
    assert json.loads(letter["Body"])["payload"] == a_transaction()
    assert world.stack.outputs["WorkQueueUrl"].endswith(".fifo")


def status(world, output, monkeypatch):
    send_one()
    code, body = get_status()

    assert code == 200
    assert (body["work_queue"]["visible"], body["dead_letter_queue"]["visible"]) == (1, 0)


def reprocessing(world, output, monkeypatch):
    message = world.message()
    world.dead_letter(message)

    assert reprocess()[0] == 202
    world.stack.run_executions()

    assert world.queued("DeadLetter") == []
    assert [json.loads(letter["Body"]) for letter in world.queued("Work")] == [
        json.loads(message.body())
    ]


def docs(world, output, monkeypatch):
    answer = show_docs.handler(api_event("GET", "/docs", roles=()), CONTEXT)

    assert answer["statusCode"] == 200
    assert "SwaggerUIBundle(" in answer["body"]
    assert '"/messages/dlq/reprocess"' in answer["body"]


def recording(world, output, monkeypatch):
    def is_down():
        raise OSError("SQS does not answer")

    monkeypatch.setattr(send, "sqs", is_down)

    assert send_one()[0] == 500
    row = world.stack.client("dynamodb").get_item(
        TableName="Messages", Key={"message_id": {"S": "m-1"}}
    )["Item"]
    assert row["status"] == {"S": "ACCEPTED"}


def worker(world, output, monkeypatch):
    mapping = template()["Resources"]["ConsumeMessagesFunctionWorkQueue"]["Properties"]
    assert mapping["EventSourceArn"] == "WorkQueue.Arn"
    send_one()

    assert world.stack.poll() == {"batchItemFailures": []}

    account = {"account_id": {"S": "acc-1"}}
    found = world.stack.client("dynamodb").get_item(TableName="Accounts", Key=account)
    assert float(found["Item"]["balance"]["N"]) == 10


def dying(world, output, monkeypatch):
    world.freeze("acc-1")
    send_one()
    send_one("m-2", account_id="acc-2", kind="debit")  # more than it has: never to be processed
    world.put_on("Work", "no message", "other")

    world.consume()

    reasons = {
        letter["MessageGroupId"]: letter["MessageAttributes"]["ReasonType"]["StringValue"]
        for letter in world.queued("DeadLetter")
    }
    assert reasons == {
        "acc-1": "AccountFrozen",
        "acc-2": "TransactionRejected",
        "other": "InvalidEnvelope",
    }


def queues(world, output, monkeypatch):
    found = {
        name: template()["Resources"][name]["Properties"]
        for name in ("WorkQueue", "DeadLetterQueue")
    }

    assert all(queue["FifoQueue"] is True for queue in found.values())
    policy = found["WorkQueue"]["RedrivePolicy"]
    assert policy == {"deadLetterTargetArn": "DeadLetterQueue.Arn", "maxReceiveCount": 3}


def loop(world, output, monkeypatch):
    spent, invalid = world.message(), "no message"
    world.dead_letter(spent, redrives=int(ENVIRONMENT["MAX_REDRIVES"]))
    world.put_on_dlq(invalid, "other")

    run = world.redrive()

    assert (run.output["redriven"], run.output["quarantined"]) == (0, 2)
    assert world.row(spent)["status"] == "QUARANTINED"
    assert world.queued("Work") == world.queued("DeadLetter") == []


def idempotency(world, output, monkeypatch):
    assert [send_one()[0] for _ in range(2)] == [202, 200]
    (letter,) = world.queued("Work")
    assert letter["MessageDeduplicationId"] == "m-1"

    table = template()["Resources"]["MessagesTable"]["Properties"]
    assert table["KeySchema"] == [{"AttributeName": "message_id", "KeyType": "HASH"}]
    assert send_one(amount="11.00")[0] == 409


def logs(world, output, monkeypatch):
    asked = {
        "send_message": (send_one, "local-work.fifo"),
        "get_status": (get_status, "local-work.fifo"),
        "reprocess_dlq": (reprocess, "local-dead-letters.fifo"),
        "user_login": (sign_in, None),
    }
    for action, (operation, queue) in asked.items():
        output()
        operation()
        found = [line for line in lines(output()) if line.get("action") == action]
        assert [line["status"] for line in found] == ["started", "success"]
        for line in found:
            assert {"trace_id", "action", "status", "details", "timestamp"} <= set(line)
            assert line["details"].get("queue_name") == queue
            # As the original wrote it: 2025-10-05T20:26:22.883320+00:00
            assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{6}\+00:00", line["timestamp"])
            assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)
        assert isinstance(found[1]["details"]["duration"], float)
    output()
    sign_in(password="another password")
    failed = [line for line in lines(output()) if line.get("action") == "user_login"][-1]
    assert (failed["status"], failed["details"]["error"]) == ("error", "WrongCredentials")


def metrics(world, output, monkeypatch):
    world.freeze("acc-1")
    send_one()
    world.consume()
    sign_in()
    sign_in(password="another password")
    reprocess()
    world.stack.run_executions()
    world.recover()
    get_status()

    units: dict[str, str] = {}
    for line in lines(output()):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert (directive["Namespace"], directive["Dimensions"]) == (NAMESPACE, [[]])
            units |= {told["Name"]: told["Unit"] for told in directive["Metrics"]}
    counted = ("MessagesSent", "Errors", "FailedLogins", "SuccessfulLogins")
    assert units.items() >= dict.fromkeys(counted, "Count").items()
    assert units["ProcessingTime"] == "Seconds"
    assert units["MessagesReprocessed"] == "Count"


def settings(world, output, monkeypatch):
    sample = Path(".env.sample").read_text()
    for name in ("APP_USER_EMAIL", "APP_USER_PASSWORD", "TOKEN_LIFETIME_SECONDS", "AWS_REGION"):
        assert re.search(rf"^#? ?{name}=", sample, re.MULTILINE), name
    parameters = template()["Parameters"]
    assert parameters["TokenLifetimeSeconds"]["Default"] == 6 * 3_600
    assert {"WorkQueueName", "DeadLetterQueueName"} <= set(parameters)
    secret = template()["Resources"]["TokenKey"]
    assert secret["Type"] == "AWS::SecretsManager::Secret"
    assert "GenerateSecretString" in secret["Properties"]


def collection(world, output, monkeypatch):
    (file,) = Path("clients/collection").glob("*.postman_collection.json")
    found = json.loads(file.read_text())

    assert "/collection/v2.1.0/" in found["info"]["schema"]
    requests = [
        (request["method"], "/" + "/".join(request["url"]["path"]), request)
        for request in _requests(found)
    ]
    asked = [(method, path) for method, path, _ in requests]
    for route in (
        ("POST", "/users/login"), ("POST", "/messages/send"), ("GET", "/messages/status"),
        ("POST", "/messages/dlq/reprocess"),
    ):  # fmt: skip
        assert route in asked
    plan, *_ = (request for *_, path, request in requests if path == "/messages/dlq/reprocess")
    assert json.loads(plan["body"]["raw"])["dry_run"] is True  # before the run


def _requests(item):
    for part in item.get("item", []):
        yield from [part["request"]] if "request" in part else _requests(part)


ALL = {
    check.__name__: check
    for check in (
        login, sending, status, reprocessing, docs, recording, worker, dying, queues, loop,
        idempotency, logs, metrics, settings, collection,
    )
}  # fmt: skip

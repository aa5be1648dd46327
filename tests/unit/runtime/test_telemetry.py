"""What dashboards and alarms of the original see: which metric counts what, and the log lines."""

import json
from typing import Any

import pytest

from lambdas import (
    consume_messages,
    log_in,
    process_message,
    reprocess_dead_letters,
    retry_messages,
    send_message,
    show_status,
)
from tests.support.accounts import freeze
from tests.support.aws_events import sqs_event, sqs_record
from tests.support.cloud import ENVIRONMENT
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction
from tests.support.troubles import change
from workflows.ledger import lookup

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "token_key", "recursion_limit")

SENT = {"type": "transaction", "payload": a_transaction(), "message_id": "m-1"}
OPERATOR: Any = {"roles": ("operator",)}
UNKNOWN = {"email": "a@example.com", "password": "w" * 9}


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def values(text, metric):
    """Return all that was published of a metric."""
    return [value for line in lines(text) if "_aws" in line for value in line.get(metric, [])]


def deliver(*messages):
    """Hand messages, or bare bodies, to the consumer."""
    records = [
        sqs_record(message, "acc-1", number)
        if isinstance(message, str)
        else sqs_record(message.body(), message.group_id, number)
        for number, message in enumerate(messages)
    ]
    return consume_messages.handler(sqs_event(*records), CONTEXT)


# --- Metrics ------------------------------------------------------------------------------


def test_environment_of_powertools_adds_no_dimension(monkeypatch, output):
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "another")

    show_status.handler(api_event("GET", "/messages/status"), CONTEXT)

    (metric,) = [line for line in lines(output()) if "_aws" in line]
    (directive,) = metric["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [[]]
    assert not {"service", "another"} & {*metric, *map(str, metric.values())}


@pytest.mark.parametrize(("module", "event", "action", "names"), [
    (
        send_message, api_event("POST", "/messages/send", SENT),
        "send_message", {"queue_name": "work.fifo"},
    ),
    (
        show_status, api_event("GET", "/messages/status"),
        "get_status",
        {"queue_name": "work.fifo", "dead_letter_queue_name": "dead-letter.fifo"},
    ),
    (
        reprocess_dead_letters, api_event("POST", "/messages/dlq/reprocess", {}, **OPERATOR),
        "reprocess_dlq", {"queue_name": "dead-letter.fifo"},
    ),
    (log_in, api_event("POST", "/users/login", UNKNOWN), "user_login", {}),
], ids=["send", "status", "reprocess", "login"])  # fmt: skip
def test_operation_names_its_queues_in_both_lines_and_tells_its_processing_time_in_seconds(
    module, event, action, names, output
):
    module.handler(event, CONTEXT)
    text = output()

    begun, closing = [line for line in lines(text) if line.get("action") == action]
    assert (begun["status"], closing["status"]) == ("started", "success" if names else "error")
    assert names.items() <= begun["details"].items() & closing["details"].items()
    (metric,) = [line for line in lines(text) if "_aws" in line]
    told = metric["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert {"Name": "ProcessingTime", "Unit": "Seconds"} in told
    assert metric["ProcessingTime"] == [closing["details"]["duration"]]


def test_first_try_that_fails_is_an_error_and_what_follows_it_is_none(output):
    freeze()

    deliver(a_message(), a_message(message_id="m-2"))

    assert values(output(), "Errors") == [1.0]  # m-2 was parked, untried
    deliver(a_message())
    assert values(output(), "Errors") == []  # it is being retried: nothing was tried


def test_death_is_an_error_beside_the_try_that_it_ends(output):
    deliver(a_message(payload=a_transaction(kind="debit")))
    assert values(output(), "Errors") == [1.0, 1.0]

    deliver("{")  # nothing was tried
    assert values(output(), "Errors") == [1.0]


@pytest.mark.parametrize(("attempts", "errors"), [(1, 1), (4, 1), (5, 2)])
def test_last_try_of_the_retry_machine_is_two_errors(attempts, errors, output):
    freeze()
    message = a_message()
    deliver(message)
    output()
    change(attempts=attempts)
    event = {"message_id": "m-1", "group_id": "acc-1", "trace_id": "t", "body": message.body()}

    with pytest.raises(Exception, match="says why"):
        process_message.handler(event | {"attempt": 1}, CONTEXT)

    assert ENVIRONMENT["MAX_ATTEMPTS"] == "5"
    assert values(output(), "Errors") == [1.0] * errors


def test_retry_by_hand_is_reprocessed_once_however_often_it_is_asked_for(output, calls):
    deliver(a_message(payload=a_transaction(kind="debit")))
    output()
    event = api_event(
        "POST", "/messages/m-1/retry", {}, resource="/messages/{message_id}/retry", **OPERATOR
    )
    calls.error, calls.error_at = RuntimeError("SQS is away"), "before SendMessage"

    statuses = [retry_messages.handler(dict(event), CONTEXT)["statusCode"] for _ in range(2)]

    assert statuses == [500, 202]  # guarded, and then sent
    assert values(output(), "MessagesReprocessed") == [1.0]


def test_message_that_the_consumer_quarantines_is_counted(output):
    deliver(a_message(payload=a_transaction(kind="debit")))
    change(redrives=3)
    output()

    deliver(a_message(payload=a_transaction(kind="debit")))

    text = output()
    assert lookup.get("m-1")["status"] == "QUARANTINED"
    assert values(text, "MessagesQuarantined") == [1.0]


# --- Log lines ----------------------------------------------------------------------------


def refused(event, module):
    answer = module.handler(event, CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


EXPIRED = api_event("GET", "/messages/status")
EXPIRED["requestContext"]["authorizer"]["expires_at"] = "1"


@pytest.mark.parametrize(
    ("module", "event", "status"),
    [
        (show_status, EXPIRED, 401),
        (reprocess_dead_letters, api_event("POST", "/messages/dlq/reprocess", {}), 403),
        (show_status, api_event("GET", "/messages/statos"), 404),
        (send_message, api_event("POST", "/messages/send", SENT | {"payload": 7}), 422),
        (send_message, api_event("POST", "/messages/send", "{"), 422),
        (log_in, api_event("POST", "/users/login", UNKNOWN, roles=()), 401),
        (
            retry_messages,
            api_event(
                "POST", "/messages/m-9/retry", {},
                resource="/messages/{message_id}/retry", **OPERATOR,
            ),
            404,
        ),
    ],
    ids=["401", "403", "404 path", "422 schema", "422 JSON", "401 login", "404 message"],
)  # fmt: skip
def test_refused_request_has_one_line_that_says_so_under_its_trace(module, event, status, output):
    answered, body = refused(event, module)

    found = [line for line in lines(output()) if line.get("action") == "answer_request"]
    assert answered == status
    assert [(line["trace_id"], line["status"]) for line in found] == [(body["trace_id"], "error")]
    assert found[0]["details"] == {
        "error": body["error"]["code"],
        "http_status": status,
        "method": event["httpMethod"],
        "path": event["resource"],
    }

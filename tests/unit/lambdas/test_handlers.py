"""Every handler by its event: the answers, their one error shape, the log and the metrics."""

import json
import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest

from lambdas import (
    consume_messages,
    discard_messages,
    edit_messages,
    list_audit,
    list_dead_letters,
    list_quarantine,
    list_runs,
    process_message,
    reprocess_dead_letters,
    retry_messages,
    send_message,
    show_message,
    show_run,
    show_status,
)
from tests.support.accounts import balance, freeze
from tests.support.aws_events import sqs_event, sqs_record
from tests.support.cloud import ENVIRONMENT, drain
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction
from workflows.ledger import audit, claims, lookup, transitions, trouble
from workflows.messages.carried import NOTHING
from workflows.operator import failures, overview
from workflows.redrive import counters, ownership, runs
from workflows.redrive.outcome import Outcome
from workflows.runtime import aws

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

NAMESPACE = "API-Producer-SQS/Messages"
CANARY = "canary-7c1f"
MESSAGE = a_message()
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z"


class Route(NamedTuple):
    """A request that is understood: how it is made, its action in the log, and what it calls."""

    module: Any
    method: str
    path: str
    role: str
    action: str
    calls: tuple[Any, str]
    body: Any = None


DLQ, RUNS = "/messages/dlq", "/messages/dlq/reprocess"
PAYLOAD = a_transaction()
ROUTES = {
    "send": Route(send_message, "POST", "/messages/send", "producer", "send_message",
                  (transitions, "accept"), {"type": "transaction", "payload": PAYLOAD}),
    "status": Route(show_status, "GET", "/messages/status", "producer", "get_status",
                    (overview, "depths")),
    "message": Route(show_message, "GET", "/messages/m-1", "producer", "show_message",
                     (lookup, "get")),
    "dlq": Route(list_dead_letters, "GET", DLQ, "producer", "list_dead_letters",
                 (failures, "dead_letters")),
    "dlq_groups": Route(list_dead_letters, "GET", f"{DLQ}/groups", "producer",
                        "group_dead_letters", (failures, "causes")),
    "quarantine": Route(list_quarantine, "GET", "/messages/quarantine", "producer",
                        "list_quarantine", (failures, "quarantined")),
    "reprocess": Route(reprocess_dead_letters, "POST", RUNS, "operator", "reprocess_dlq",
                       (ownership, "acquire"), {}),
    "runs": Route(list_runs, "GET", RUNS, "operator", "list_runs", (runs, "page")),
    "run": Route(show_run, "GET", f"{RUNS}/run-1", "operator", "show_run", (runs, "get")),
    "audit": Route(list_audit, "GET", "/audit", "operator", "list_audit", (audit, "page")),
    "discard": Route(discard_messages, "POST", "/messages/m-1/discard", "operator",
                     "discard_message", (transitions, "discarded"), {"reason": "why"}),
    "retry": Route(retry_messages, "POST", "/messages/m-1/retry", "operator", "retry_by_hand",
                   (lookup, "get"), {}),
    "edit": Route(edit_messages, "PATCH", "/messages/m-1", "operator", "edit_message",
                  (lookup, "get"), {"payload": PAYLOAD}),
    "retry many": Route(retry_messages, "POST", "/messages/retry", "operator", "retry_messages",
                        (trouble, "chunks"), {"filter": {}}),
    "edit many": Route(edit_messages, "PATCH", "/messages", "operator", "edit_messages",
                       (trouble, "chunks"), {"filter": {}, "merge": {"amount": "1.00"}}),
    "discard many": Route(discard_messages, "POST", "/messages/discard", "operator",
                          "discard_messages", (trouble, "chunks"), {"filter": {}, "reason": "x"}),
}  # fmt: skip
SENT = ROUTES["send"].body
WITH_A_BODY = [name for name, route in ROUTES.items() if route.body is not None]


def request(route, body=None, path=None, **more):
    found = ROUTES[route]
    body = found.body if body is None else body
    resource = found.path.replace("/m-1", "/{message_id}")
    more = {"roles": (found.role,), "resource": resource} | more
    return found.module.handler, api_event(found.method, path or found.path, body, **more)


def answer_of(handler, event):
    answer = handler(event, CONTEXT)
    assert isinstance(answer["body"], str)
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
    return int(answer["statusCode"]), json.loads(answer["body"])


def call(route, body=None, path=None, **more):
    return answer_of(*request(route, body, path, **more))


def send(message_id="m-1", **more):
    return call("send", SENT | {"message_id": message_id}, **more)


def is_problem(body, code):
    assert set(body) == {"error", "trace_id"}
    assert set(body["error"]) <= {"code", "message", "details"}
    assert body["error"]["message"]
    assert body["trace_id"] == "request-1"
    return body["error"]["code"] == code


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line]


def metrics(text):
    """Return the values of each metric that was published."""
    found: dict[tuple[str, str], list[float]] = {}
    for line in lines(text):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == NAMESPACE
            assert directive["Dimensions"] == [[]]  # as the original's alarms and dashboards
            for metric in directive["Metrics"]:
                found.setdefault((metric["Name"], metric["Unit"]), []).extend(line[metric["Name"]])
    return found


def counts(text):
    """Return the values of each metric that counts something."""
    return {name: values for (name, unit), values in metrics(text).items() if unit == "Count"}


# --- Answers ------------------------------------------------------------------------------


def test_sent_message_is_202_and_its_repetition_200():
    status, body = send()

    assert (status, body) == (
        202,
        {"message_id": "m-1", "group_id": "acc-1", "status": "QUEUED", "duplicate": False},
    )
    assert send() == (200, body | {"duplicate": True})


def test_message_is_sent_in_the_caller_s_name_under_the_request_s_trace(queues):
    send(email="o@example.com")

    (queued,) = drain(queues, ENVIRONMENT["WORK_QUEUE_URL"])
    body = json.loads(queued["Body"])
    assert (body["submitted_by"], body["trace_id"]) == ("o@example.com", "request-1")


@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_idempotency_key_is_the_message_id(header):
    assert call("send", headers={header: "key-1"})[1]["message_id"] == "key-1"
    assert call("send", headers={header: "key-1"})[0] == 200
    assert send("key-1", headers={header: "key-1"})[0] == 200


@pytest.mark.parametrize("key", ["a b", "", "k" * 121, "m.r1", "sqs:m", "ä", CANARY + "/x"])
def test_idempotency_key_that_is_no_id_is_422(key):
    status, body = call("send", headers={"Idempotency-Key": key})

    assert (status, is_problem(body, "invalid_request")) == (422, True)


def test_idempotency_key_beside_another_message_id_is_422():
    status, body = send("m-1", headers={"Idempotency-Key": "m-2"})

    assert (status, is_problem(body, "invalid_request")) == (422, True)
    assert "Idempotency-Key" in body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        ({"type": "transaction"}, "payload"),
        (SENT | {"type": "unknown"}, "type"),
        (SENT | {"type": 1}, "type"),
        (SENT | {"payload": []}, "payload"),
        (SENT | {"payload": a_transaction(amount=CANARY)}, "amount"),
        (SENT | {"payload": a_transaction(kind=CANARY)}, "kind"),
        (SENT | {"payload": {}}, "currency"),
        (SENT | {"group_id": CANARY + " "}, "group_id"),
        (SENT | {"message_id": CANARY + "#"}, "message_id"),
        (SENT | {"message_id": "m.r1"}, "message_id"),
        (SENT | {"priority": CANARY}, "priority"),
    ],
    ids=str,
)
def test_invalid_message_is_422_naming_the_field_and_no_value(body, field):
    status, answer = call("send", body)

    assert status == 422
    assert is_problem(answer, answer["error"]["code"])
    assert field in answer["error"]["message"]
    assert CANARY not in json.dumps(answer)


@pytest.mark.parametrize("route", WITH_A_BODY)
@pytest.mark.parametrize("body", [
    "{", "[]", "1", '"x"', "NaN", '{"max_messages": NaN}', '{"max_messages": 1e999}',
    '{"type": "a", "type": "a", "payload": {}}', '{"max_messages": 1, "max_messages": 1}',
    "[" * 10_000, '{"payload": ' + "[" * 600 + "]" * 600 + "}",
    '{"max_messages": ' + "1" * 5_000 + "}", '{"\\ud800": 1}',
    '{"payload": {"\\ud800": "\\ud800"}, "type": "transaction"}', "\ufeff{}",
    "type=transaction&payload=x",
], ids=lambda body: body[:30])  # fmt: skip
def test_body_that_is_no_request_is_422(route, body):
    status, answer = call(route, body)

    assert status == 422
    assert is_problem(answer, answer["error"]["code"])


def test_nothing_is_no_message():
    assert call("send", "null")[0] == 422


@pytest.mark.parametrize("body", [None, "null", "{}"])
def test_run_needs_no_body(machines, body):
    assert call("reprocess", body)[0] == 202


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_is_read_whatever_the_content_type_says(content_type):
    handler, event = request("send")
    for headers in (event["headers"], event["multiValueHeaders"]):
        del headers["Content-Type"]
    if content_type:
        event["headers"]["content-type"] = content_type
        event["multiValueHeaders"]["content-type"] = [content_type]

    assert answer_of(handler, event)[0] == 202


def in_trouble(change, message=MESSAGE, *execution):
    attempt = lookup.get(message.message_id)["attempts_total"]
    assert (
        aws.transact(
            [change(message, message.body(), NOTHING, OSError("why"), *execution, attempt)]
        )
        is None
    )


def test_status_has_the_promised_shape(queues):
    send()
    claims.claim(a_message(message_id="m-2"))
    in_trouble(transitions.dead, a_message(message_id="m-2"))

    status, body = call("status")

    depths = {"visible": 0, "in_flight": 0, "delayed": 0}
    assert status == 200
    assert 0 <= body["dead_letter_queue"].pop("oldest_age_seconds") < 60
    assert body == {
        "work_queue": {"name": "work.fifo"} | depths | {"visible": 1},
        "dead_letter_queue": {"name": "dead-letter.fifo"} | depths,
        "messages": {"dead": 1, "lost": 0, "quarantined": 0, "retrying": 0},
        "groups": {"fenced": 0, "parked": 0},
    }


def test_age_of_the_oldest_dead_message_is_in_seconds(later):
    claims.claim(MESSAGE)
    in_trouble(transitions.dead)
    later(3_600)

    assert 3_599 <= call("status")[1]["dead_letter_queue"]["oldest_age_seconds"] <= 3_601


def test_status_receives_nothing(calls):
    call("status")

    assert {end.split()[1] for end in calls.ends} == {"GetQueueAttributes", "Query"}


def test_message_s_record_has_all_but_its_body():
    claims.claim(MESSAGE)
    in_trouble(transitions.retrying, MESSAGE, "arn:1")

    status, body = call("message")

    assert status == 200
    assert re.fullmatch(TIME, body["journey"][1].pop("at"))
    assert re.fullmatch(TIME, body.pop("updated_at"))
    assert re.fullmatch("[0-9a-f]{16}", body.pop("fingerprint"))
    assert body == {
        "message_id": "m-1",
        "group_id": "acc-1",
        "type": "transaction",
        "status": "RETRYING",
        "attempts": 1,
        "attempts_total": 1,
        "redrives": 0,
        "redrives_left": 3,
        "edited": False,
        "reason": {"type": "OSError", "message": "why"},
        "submitted_by": "p@example.com",
        "trace_id": "trace-1",
        "first_sent_at": "2026-11-24T12:00:00.123Z",
        "processed_at": None,
        "execution_arns": ["arn:1"],
        "journey": [
            {"n": 1, "event": "sent", "at": "2026-11-24T12:00:00.123Z"},
            {"n": 2, "event": "attempt", "number": 1, "reason_type": "OSError"},
        ],
    }


def test_record_tells_the_whole_journey_of_a_message():
    at = "2026-11-25T00:00:00.000Z"
    events: list[dict[str, Any]] = [
        {"event": "attempt", "number": 1, "reason_type": "OSError"},
        {"event": "parked"},
        {"event": "dead", "reason_type": "OSError"},
        {"event": "redriven", "run_id": "run-1", "number": 1},
        {"event": "quarantined", "reason_type": "RedriveLimitReached", "run_id": "run-1"},
        {"event": "edited", "by": "o@example.com", "previous_hash": "f" * 64},
        {"event": "retried", "by": "o@example.com", "number": 2},
        {"event": "discarded", "by": "o@example.com"},
    ]
    transitions.accept(MESSAGE)
    row = lookup.get("m-1") | {"journey": [event | {"at": at} for event in events]}
    row |= {"processed_at": at, "superseded_hashes": ["f" * 64], "redrives": 2, "redrive_limit": 5}
    row |= {"original_body": CANARY, "body": CANARY}
    aws.dynamodb().put_item(TableName="Messages", Item=row)

    status, body = call("message")

    assert status == 200
    told: list[dict[str, Any]] = [{"event": "sent", "at": row["first_sent_at"]}]
    told += [event | {"at": at} for event in [*events, {"event": "processed"}]]
    assert body["journey"] == [{"n": n} | event for n, event in enumerate(told, 1)]
    assert (body["redrives_left"], body["edited"]) == (3, True)
    assert CANARY not in json.dumps(body)


def test_record_from_before_there_were_journeys_is_shown():
    row: Any = {
        "message_id": "m-1", "group_id": "g", "type": "transaction", "status": "PROCESSED",
        "attempts": 1, "redrives": 0, "first_sent_at": "2026-11-24T12:00:00.123Z",
    }  # fmt: skip
    aws.dynamodb().put_item(TableName="Messages", Item=row)

    status, body = call("message")

    assert status == 200
    assert [step["event"] for step in body["journey"]] == ["sent"]
    assert (body["attempts_total"], body["edited"]) == (None, False)


@pytest.mark.parametrize("message_id", ["a:b@c=d+e.f", "sqs:0000-1111", "a" * 120, "7"])
def test_record_is_found_under_every_id_there_can_be(message_id):
    transitions.accept(a_message(message_id=message_id))

    assert call("message", path=f"/messages/{message_id}")[1]["message_id"] == message_id


def test_id_is_read_whether_it_comes_encoded_or_not():
    transitions.accept(a_message(message_id="a:b@c"))

    for path in ("/messages/a:b@c", "/messages/a%3Ab%40c"):
        status, body = call("message", path=path)
        assert (status, body["message_id"]) == (200, "a:b@c")


@pytest.mark.parametrize("path", ["/messages/unknown", "/messages/LOCK%23x", "/messages/ä b"])
def test_unknown_message_is_404(path):
    status, body = call("message", path=path)

    assert (status, is_problem(body, "message_not_found")) == (404, True)


def test_reprocess_is_202_with_the_run_and_409_while_it_lives(machines):
    status, body = call("reprocess", {"max_messages": 5}, email="o@example.com")

    assert status == 202
    assert set(body) == {"run_id", "execution_arn", "status"}
    assert body["status"] == "RUNNING"
    found = machines.describe_execution(executionArn=body["execution_arn"])
    started = json.loads(found["input"])
    assert started | {"trigger": "api"} == {
        "request": {"max_messages": 5}, "trigger": "api", "requested_by": "o@example.com",
        "trace_id": "request-1",
    }  # fmt: skip
    status, refused = call("reprocess")
    assert (status, is_problem(refused, "run_active")) == (409, True)
    assert body["run_id"] in refused["error"]["message"]


WATCHED = {"messages": 1, "watch_seconds": 1}


@pytest.mark.parametrize(("wrong", "field", "limit"), [
    ({"max_messages": -1}, "max_messages", "1"),
    ({"max_messages": 1.5}, "max_messages", "integer"),
    ({"max_messages": []}, "max_messages", "integer"),
    ({"max_messages": 0}, "max_messages", "1"),
    ({"max_messages": 1_000_001}, "max_messages", "1000000"),
    ({"max_per_second": 0}, "max_per_second", "0.1"),
    ({"max_per_second": 3_001}, "max_per_second", "3000"),
    ({"max_per_second": "fast"}, "max_per_second", "number"),
    ({"canary": WATCHED | {"messages": 0}}, "canary.messages", "1"),
    ({"canary": WATCHED | {"messages": 1_001}}, "canary.messages", "1000"),
    ({"canary": WATCHED | {"watch_seconds": 0}}, "canary.watch_seconds", "1"),
    ({"canary": WATCHED | {"watch_seconds": 14_401}}, "canary.watch_seconds", "14400"),
    ({"canary": {"messages": 1}}, "canary.watch_seconds", "required"),
    ({"canary": WATCHED | {"max_failures": -1}}, "canary.max_failures", "0"),
    ({"plan_hash": "x"}, "plan_hash", "pattern"),
    ({"dry_run": "perhaps"}, "dry_run", "boolean"),
    ({"filter": {"message_ids": []}}, "filter.message_ids", "1"),
    ({"filter": {"message_ids": ["m"] * 101}}, "filter.message_ids", "100"),
    ({"filter": {"fingerprint": "x"}}, "filter.fingerprint", "pattern"),
    ({"filter": {"older_than": "yesterday"}}, "filter.older_than", "P1D"),
    ({"filter": {"newer_than": -1}}, "filter.newer_than", "a duration such as"),
    ({"filter": {"payload": {"a": [1]}}}, "filter.payload.a", "string"),
    ({"filter": {"jmespath": "a =="}}, "filter.jmespath", ""),
    ({"filter": {"jmespath": "a" * 501}}, "filter.jmespath", "500"),
], ids=lambda value: str(value)[:50])  # fmt: skip
def test_wrong_request_of_a_run_is_422_naming_field_and_limit(wrong, field, limit):
    for dry_run in ({}, {"dry_run": True}):
        status, body = call("reprocess", dry_run | wrong)

        assert (status, is_problem(body, "invalid_request")) == (422, True)
        (found,) = body["error"]["details"]["fields"]
        assert found["field"] == f"body.{field}"
        assert limit in found["problem"]
        assert field in body["error"]["message"]
    assert aws.dynamodb().scan(TableName="Runs")["Items"] == []


def test_run_has_the_promised_shape_and_is_listed_alike():
    started = call("reprocess", email="o@example.com")[1]

    status, body = call("run", path=f"/messages/dlq/reprocess/{started['run_id']}")

    assert status == 200
    nothing = dict.fromkeys(Outcome.model_fields, 0)
    assert body.pop("outcome") == nothing
    assert body.pop("lanes") == []
    assert body.pop("progress") == {"rate_per_second": 0.0, "remaining": 0, "eta_seconds": None}
    assert call("runs") == (200, {"runs": [body], "cursor": None})
    assert re.fullmatch(TIME, body.pop("started_at"))
    zeros = dict.fromkeys(counters.NAMES, 0)
    assert body == started | zeros | {
        "trigger": "api", "requested_by": "o@example.com", "request": {}, "finished_at": None,
        "reason": None, "failure": None, "in_flight": 0, "missing": 0,
    }  # fmt: skip


@pytest.mark.parametrize("lanes", [0, 41, "many", 1.5])
def test_number_of_lanes_that_cannot_be_is_422_and_starts_nothing(lanes):
    status, body = call("reprocess", {"lanes": lanes})

    assert (status, is_problem(body, "invalid_request")) == (422, True)
    assert body["error"]["details"]["fields"][0]["field"] == "body.lanes"
    assert call("runs")[1]["runs"] == []


def test_run_tells_of_each_lane():
    run_id = call("reprocess", {"lanes": 2})[1]["run_id"]
    aws.dynamodb().update_item(
        TableName="Runs", Key={"run_id": run_id},
        UpdateExpression="SET lane_0 = :zero, lane_1 = :one, #round = :round, working = :working",
        ExpressionAttributeNames={"#round": "round"},
        ExpressionAttributeValues={
            ":zero": {"redriven": 4}, ":one": {"failed": 1}, ":round": 1, ":working": [0],
        },
    )  # fmt: skip
    body = call("run", path=f"/messages/dlq/reprocess/{run_id}")[1]

    assert (body["redriven"], body["failed"], body["received"]) == (4, 1, 5)
    assert body["request"] == {"lanes": 2}
    told = [(lane["lane"], lane["received"], lane["redriven"]) for lane in body["lanes"]]
    assert told == [(0, 4, 4), (1, 1, 0)]
    assert body["lanes"][0]["execution_arn"].endswith(f":{run_id}-l0-1")
    assert body["lanes"][1]["execution_arn"] is None
    listed = call("runs")[1]["runs"][0]
    assert listed["redriven"] == 4
    assert "lanes" not in listed


@pytest.mark.parametrize("run_id", ["unknown", "LOCK", "LOCK%23dead-letter.fifo"])
def test_unknown_run_is_404(run_id):
    status, body = call("run", path=f"/messages/dlq/reprocess/{run_id}")

    assert (status, is_problem(body, "run_not_found")) == (404, True)


def test_runs_are_paged_by_cursor():
    for number in range(3):
        aws.dynamodb().put_item(
            TableName="Runs",
            Item={"run_id": f"run-{number}", "status": "SUCCEEDED", "trigger": "api",
                  "dead_letter_queue": "dead-letter.fifo", "requested_by": "o",
                  "execution_arn": "arn:1", "started_at": f"2026-01-0{number + 1}T00:00:00.000Z"}
            | dict.fromkeys(counters.NAMES, 0),
        )  # fmt: skip
    first = call("runs", query={"limit": "2"})[1]
    second = call("runs", query={"limit": "2", "cursor": first["cursor"]})[1]

    listed = [run["run_id"] for page in (first, second) for run in page["runs"]]
    assert listed == ["run-2", "run-1", "run-0"]


@pytest.mark.parametrize(
    "query", [{"cursor": "x"}, {"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"limit": ""}]
)
def test_wrong_query_is_422(query):
    status, body = call("runs", query=query)

    assert (status, is_problem(body, "invalid_request")) == (422, True)
    assert next(iter(query)) in body["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/messages/send"), ("GET", "/nowhere"), ("DELETE", "/messages/m-1"), ("POST", "/")],
)
def test_unknown_path_or_method_is_404(method, path):
    status, body = answer_of(send_message.handler, api_event(method, path))

    assert (status, is_problem(body, "not_found")) == (404, True)


# --- Who may ------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("roles", [("",), ("other",), ("OPERATOR", "PRODUCER"), ("wrong",)])
def test_caller_without_the_role_is_403_and_changes_nothing(route, roles, calls):
    role = ROUTES[route].role
    other = "producer" if role == "operator" else "operator"
    roles = (other,) if roles == ("wrong",) else roles

    status, body = call(route, roles=roles)

    assert (status, is_problem(body, "forbidden")) == (403, True)
    assert role in body["error"]["message"]
    assert calls.ends == []


@pytest.mark.parametrize("route", ROUTES)
def test_caller_with_both_roles_may(route):
    status, body = call(route, roles=("operator", "producer"))

    assert status in (200, 202, 404), body


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("ago", [0, 1, 3_600])
def test_expired_token_is_401_although_its_authorization_is_cached(route, ago, calls):
    handler, event = request(route)
    expired = int(datetime.now().astimezone().timestamp()) - ago
    event["requestContext"]["authorizer"]["expires_at"] = str(expired)

    status, body = answer_of(handler, event)

    assert (status, is_problem(body, "unauthorized")) == (401, True)
    assert calls.ends == []


# --- Failures of ours ---------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
def test_unexpected_error_is_500_that_tells_nothing_but_where_to_look(route, monkeypatch, output):
    def broken(*_, **__):
        raise RuntimeError(CANARY)

    monkeypatch.setattr(*ROUTES[route].calls, broken)
    status, body = call(route)
    text = output()

    assert (status, is_problem(body, "internal_error")) == (500, True)
    assert not re.search(r"RuntimeError|Traceback|\.py", json.dumps(body))
    assert CANARY not in text + json.dumps(body)
    assert counts(text) == {"Errors": [1.0]}
    assert [line["details"]["error"] for line in lines(text) if line.get("status") == "error"]


# --- Log and metrics ----------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
def test_request_leaves_two_lines_with_the_original_s_fields(route, output):
    call(route)

    action = ROUTES[route].action
    found = [line for line in lines(output()) if line.get("action") == action]
    assert [line["status"] for line in found] in (["started", "success"], ["started", "error"])
    for line in found:
        assert line["trace_id"] == "request-1"
        assert isinstance(line["details"], dict)
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)
        assert re.fullmatch(r"[\dT:-]{19}\.\d{6}\+00:00", line["timestamp"])
    assert found[1]["details"]["duration"] >= 0


@pytest.mark.parametrize(
    "body",
    [
        SENT | {"payload": a_transaction(account_id=CANARY)},
        SENT | {"payload": a_transaction(kind=CANARY)},
        SENT | {"payload": a_transaction() | {CANARY: CANARY}},
        SENT | {"group_id": CANARY},
        {"type": CANARY, "payload": {}},
        '{"' + CANARY,
    ],
    ids=str,
)
def test_no_log_line_holds_anything_of_a_request_s_body(body, output):
    call("send", body)

    assert CANARY not in output()


def test_sent_message_is_counted_and_its_repetition_is_not(output):
    send()
    assert counts(output()) == {"MessagesSent": [1.0]}
    send()
    assert counts(output()) == {}
    send("m-2", roles=("operator",))
    assert counts(output()) == {}


# --- Consuming ----------------------------------------------------------------------------


def record(message, number=0, group="acc-1"):
    body = message if isinstance(message, str) else message.body()
    return sqs_record(body, group, number) | {"messageId": f"sqs-{number}"}


def consume(*records):
    answer = consume_messages.handler(sqs_event(*records), CONTEXT)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def numbered(number, group="acc-1", **payload):
    message = a_message(
        message_id=f"m-{number}",
        group_id=group,
        payload=a_transaction(account_id=group, **payload),
    )
    return record(message, number, group)


def test_healthy_batch_has_no_failures(output):
    assert consume(*(numbered(n, f"acc-{n % 3}") for n in range(10))) == []

    found = metrics(output())
    assert set(found) == {("ProcessingTime", "Seconds")}
    assert len(found["ProcessingTime", "Seconds"]) == 10
    assert [balance(f"acc-{n}") for n in range(3)] == [40, 30, 30]


def test_busy_message_sends_back_the_rest_of_its_own_group_only(output):
    claims.claim(a_message(message_id="m-2", group_id="a", payload=a_transaction(account_id="a")))

    failed = consume(
        numbered(0, "a"), numbered(1, "b"), numbered(2, "a"), numbered(3, "b"), numbered(4, "a"),
        numbered(5, "c"),
    )  # fmt: skip

    assert failed == ["sqs-2", "sqs-4"]
    assert [balance(group) for group in "abc"] == [10, 20, 10]
    assert ("Errors", "Count") not in metrics(output())


def test_batch_that_fails_as_a_whole_is_answered_item_by_item(tables, output):
    tables.delete_table(TableName="Messages")

    assert consume(numbered(0, "a"), numbered(1, "b")) == ["sqs-0", "sqs-1"]
    assert counts(output()) == {"Errors": [1.0, 1.0]}


def test_failures_of_one_batch_are_not_those_of_the_next():
    claims.claim(MESSAGE)
    assert consume(record(MESSAGE, 7)) == ["sqs-7"]

    assert consume(numbered(1, "b")) == []


def test_consumer_s_log_follows_the_message_s_trace_and_never_tells_its_body(output):
    freeze(account_id=CANARY)
    failed = consume(
        numbered(0, CANARY),
        numbered(1, CANARY, kind="debit"),
        record(f'{{"{CANARY}"', 2),
        record(a_message(message_id="m-3", payload={CANARY: CANARY}), 3),
    )
    assert failed == []
    text = output()

    found = [line for line in lines(text) if "_aws" not in line]
    assert [line["trace_id"] for line in found[::2]] == ["trace-1", "trace-1", "sqs-2", "trace-1"]
    outcomes = [line["details"].get("outcome") for line in found[1::2]]
    assert outcomes == ["RETRYING", "PARKED", "DEAD", "DEAD"]
    assert {line["action"] for line in found} == {"consume_message"}
    assert CANARY not in text


# --- Steps of the machines ----------------------------------------------------------------


def being_retried(message):
    claims.claim(message)
    in_trouble(transitions.retrying, message, "arn:1")
    known = {"message_id": "m-1", "group_id": "acc-1", "trace_id": "t-9", "attempt": 1}
    return known | {"body": message.body()}


def test_process_message_that_is_superseded_is_no_error(output):
    event = being_retried(MESSAGE) | {"attempt": 2}

    with pytest.raises(Exception, match="The record of m-1 says why") as raised:
        process_message.handler(event, CONTEXT)

    assert raised.type.__name__ == "Superseded"  # by which the machine goes
    assert ("Errors", "Count") not in metrics(output())


def test_process_message_answers_and_logs_under_the_message_s_trace(output):
    event = being_retried(MESSAGE)

    assert process_message.handler(event, CONTEXT) == {
        "message_id": "m-1", "status": "PROCESSED",
    }  # fmt: skip
    found = [line for line in lines(output()) if "_aws" not in line]
    assert [(line["trace_id"], line["action"]) for line in found] == [("t-9", "retry_message")] * 2


def test_process_message_raises_and_counts_what_went_wrong(output):
    freeze(account_id=CANARY)
    event = being_retried(a_message(payload=a_transaction(account_id=CANARY)))

    with pytest.raises(Exception, match="The record of m-1 says why") as raised:
        process_message.handler(event, CONTEXT)

    assert raised.type.__name__ == "AccountFrozen"  # by which the machine goes
    assert raised.value.__suppress_context__
    text = output()
    assert counts(text) == {"Errors": [1.0]}
    assert CANARY not in text

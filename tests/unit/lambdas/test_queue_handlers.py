"""The routes of queues by their events: answers, refusals, who may, and what is recorded."""

import json
from contextlib import suppress
from typing import Any

import pytest

from lambdas import register_queues, show_queues
from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ACCOUNT, REGION, audited
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message
from tests.support.troubles import in_trouble
from workflows.operator import in_use
from workflows.queues import registry
from workflows.queues.queue import Queue, default
from workflows.runtime import aws
from workflows.runtime.settings import settings

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

LEAST = {"source_queue": "team-a", "dead_letter_queue": "team-a-dead"}
ALL: dict[str, Any] = LEAST | {
    "identity": "body.order.id",
    "type": "attributes.event || 'order'",
    "group": "body.customer",
    "error": "attributes.ErrorType",
    "schema": {"type": "object", "properties": {"total": {"minimum": 0.5}}},
    "max_redrives": 2,
    "max_age_seconds": 3_600,
    "redrive_request": {"max_per_second": 20, "canary": {"messages": 5, "watch_seconds": 60}},
    "acknowledge_receives": True,
    "unwrap": ["sns", "gzip"],
    "mask": ["body.customer.email"],
}
ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}"


@pytest.fixture(autouse=True)
def made(queues):
    for name in ("team-a", "team-a-dead", "team-b", "team-b-dead"):
        aws.sqs().create_queue(QueueName=name)


def call(module, method, name=None, body=None, query=None, role="operator"):
    path, resource = (
        ("/queues", "/queues") if name is None else (f"/queues/{name}", "/queues/{queue}")
    )
    event = api_event(
        method, path, body, roles=(role,), email="o@example.com", query=query, resource=resource,
        path_parameters={"queue": name} if name else None,
    )  # fmt: skip
    answer = module.handler(event, CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


def put(name="orders", body=None, **options):
    return call(register_queues, "PUT", name, LEAST if body is None else body, **options)


def delete(name="orders", query=None, **options):
    return call(register_queues, "DELETE", name, query=query, **options)


def get(name=None, role="producer"):
    return call(show_queues, "GET", name, role=role)


def code(answer):
    return answer[0], answer[1]["error"]["code"]


def knows(source, dead_letters):
    """Let SQS itself move what is dead from one queue to another."""
    policy = {"deadLetterTargetArn": f"{ARN}:{dead_letters}", "maxReceiveCount": 3}
    aws.sqs().set_queue_attributes(
        QueueUrl=aws.sqs().get_queue_url(QueueName=source)["QueueUrl"],
        Attributes={"RedrivePolicy": json.dumps(policy)},
    )


def test_queue_is_registered_once_and_then_changed_wholly():
    knows("team-a", "team-a-dead")
    assert put(body=ALL) == (201, ALL | {
        "queue": "orders", "fifo": False, "source_queue": f"{ARN}:team-a",
        "dead_letter_queue": f"{ARN}:team-a-dead", "warnings": [],
    })  # fmt: skip

    status, answer = put()

    assert status == 200
    assert answer["identity"] is answer["schema"] is answer["redrive_request"] is None
    assert (answer["max_redrives"], answer["acknowledge_receives"]) == (3, False)


def test_what_is_shown_can_be_registered_again():
    put(body=ALL)
    _, shown = get("orders")
    shown = {name: shown[name] for name in ALL}

    status, answer = put(body=shown)
    assert (status, {name: answer[name] for name in ALL}) == (200, shown)
    assert [record["result"] for record in audited()] == ["REGISTERED", "UNCHANGED"]


def test_list_has_all_queues_the_built_in_pair_first():
    put(body=ALL)

    status, answer = get()

    assert (status, [found["queue"] for found in answer["queues"]]) == (200, ["default", "orders"])
    assert answer["queues"][0]["source_queue"] == f"{ARN}:work.fifo"
    assert answer["queues"][0]["fifo"] is True
    assert answer["queues"][1]["schema"] == ALL["schema"]


def test_queue_is_shown_with_its_depths():
    put()
    for name in ("team-a", "team-a-dead", "team-a-dead"):
        aws.sqs().send_message(QueueUrl=aws.sqs().get_queue_url(QueueName=name)["QueueUrl"],
                               MessageBody="x")  # fmt: skip

    status, answer = get("orders")

    assert status == 200
    assert answer["source"] == {"name": "team-a", "visible": 1, "in_flight": 0, "delayed": 0}
    assert answer["dead_letters"]["visible"] == 2
    assert (answer["dead"], answer["quarantined"], answer["oldest"]) == (0, 0, None)
    assert (answer["identity"], answer["problem"]) == (None, None)


def test_built_in_pair_is_shown_with_its_messages_in_trouble():
    in_trouble(updated_at="2026-11-24T12:00:00.000Z")
    in_trouble("QUARANTINED", a_message(message_id="m-2"))

    status, answer = get("default")

    assert (status, answer["queue"], answer["fifo"]) == (200, "default", True)
    assert (answer["dead"], answer["quarantined"]) == (1, 1)
    assert answer["oldest"] == "2026-11-24T12:00:00.000Z"
    assert answer["dead_letters"]["name"] == "dead-letter.fifo"


def test_queue_of_which_sqs_does_not_tell_is_shown_all_the_same():
    put()
    urls = [registry.get("orders").dead_letter_url, registry.get("orders").source_url]
    aws.sqs().delete_queue(QueueUrl=urls[0])

    status, answer = get("orders")

    assert (status, answer["dead_letters"]) == (200, None)
    assert answer["source"]["name"] == "team-a"
    assert answer["problem"].startswith(f"{urls[0]}: ")
    assert "NonExistentQueue" in answer["problem"]
    aws.sqs().delete_queue(QueueUrl=urls[1])
    assert all(url in get("orders")[1]["problem"] for url in urls)


def test_removed_queue_is_gone_and_its_messages_are_not():
    put(body=ALL)
    url = registry.get("orders").dead_letter_url
    aws.sqs().send_message(QueueUrl=url, MessageBody="x")

    status, answer = delete()

    assert (status, answer["queue"], answer["identity"]) == (200, "orders", "body.order.id")
    assert code(get("orders")) == (404, "unknown_queue")
    assert code(delete()) == (404, "unknown_queue")
    assert len(aws.sqs().receive_message(QueueUrl=url)["Messages"]) == 1


def needed(monkeypatch, *, run=None, dead=0, quarantined=0):
    found = in_use.InTrouble(dead=dead, quarantined=quarantined, oldest=None)
    monkeypatch.setattr(in_use, "active_run", lambda _queue: run)
    monkeypatch.setattr(in_use, "in_trouble", lambda _queue: found)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ({"run": "run-7"}, "run-7 is active"),
        ({"dead": 2}, "2 dead and 0 quarantined"),
        ({"quarantined": 1}, "0 dead and 1 quarantined"),
    ],
)
def test_queue_that_is_still_needed_is_removed_only_by_force(monkeypatch, trouble, why):
    put()
    needed(monkeypatch, **trouble)

    refused = delete()
    assert code(refused) == (409, "queue_in_use")
    assert why in refused[1]["error"]["message"]
    assert code(delete(query={"force": "false"})) == (409, "queue_in_use")
    assert get("orders")[0] == 200

    assert delete(query={"force": "true"})[0] == 200
    assert [(record["result"], record["input"]["force"]) for record in audited()[1:]] == [
        ("QueueInUse", False), ("QueueInUse", False), ("REMOVED", True),
    ]  # fmt: skip


def test_pair_that_sqs_does_not_know_as_one_is_taken_with_a_warning():
    assert "team-a has no redrive policy" in put()[1]["warnings"][0]

    knows("team-a", "team-b-dead")
    (warning,) = put()[1]["warnings"]
    assert warning == (
        f"SQS moves the dead letters of team-a to {ARN}:team-b-dead, and not to team-a-dead."
    )
    assert "warnings" not in get("orders")[1]


@pytest.mark.parametrize("trouble", [{"dead": 2}, {"quarantined": 1}])
def test_identity_is_changed_by_force_alone_while_messages_of_it_are_in_trouble(
    monkeypatch, trouble
):
    put()
    needed(monkeypatch, **trouble)
    other = LEAST | {"identity": "body.id"}

    refused = put(body=other)
    assert code(refused) == (409, "queue_in_use")
    assert refused[1]["error"]["message"].startswith("identity: ")
    assert get("orders")[1]["identity"] is None
    assert put(body=LEAST | {"max_redrives": 7})[0] == 200  # nothing else is refused

    assert put(body=other, query={"force": "true"})[0] == 200
    assert get("orders")[1]["identity"] == "body.id"
    assert [record["result"] for record in audited()[1:]] == ["QueueInUse", "CHANGED", "CHANGED"]
    assert audited()[-1]["input"]["force"] is True

    needed(monkeypatch)
    assert put()[0] == 200  # none is in trouble any more


@pytest.mark.parametrize(
    ("identity", "status"),
    [("body.id", 409), ("attributes.id", 200), (None, 200)],
    ids=["of the body", "of attributes", "none"],
)
def test_what_identity_reads_is_unwrapped_otherwise_by_force_alone(monkeypatch, identity, status):
    known = LEAST | ({"identity": identity} if identity else {})
    put(body=known)
    needed(monkeypatch, dead=2)

    answer = put(body=known | {"unwrap": ["s3"]})

    assert answer[0] == status
    if status == 409:
        assert answer[1]["error"]["message"].startswith("unwrap: 2 dead")
        assert put(body=known | {"unwrap": ["s3"]}, query={"force": "true"})[0] == 200


def test_no_registered_queue_is_needed_by_the_built_in_one_s_trouble():
    in_trouble()
    put()

    assert delete()[0] == 200


def test_settings_of_the_built_in_pair_are_the_template_s():
    for answer in (put("default"), delete("default"), delete("default", {"force": "true"})):
        assert code(answer) == (422, "built_in_queue")
        assert "the template's" in answer[1]["error"]["message"]


def test_producer_reads_and_operator_writes():
    put()

    assert code(put(role="producer")) == code(delete(role="producer")) == (403, "forbidden")
    assert get()[0] == get("orders")[0] == 200
    assert code(get(role="nobody")) == code(get("orders", "nobody")) == (403, "forbidden")
    assert get("orders")[0] == 200  # it is still there


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"source_queue": "no queue"}, "source_queue", "is no name, URL or ARN"),
        ({"dead_letter_queue": "arn:aws:sqs:eu-west-1:123456789012:x"}, "dead_letter_queue",
         "is in eu-west-1"),
        ({"source_queue": None}, "source_queue", "valid string"),
        ({"identity": "'constant'"}, "identity", "is the same for every message"),
        ({"identity": "order.id"}, "identity", "must begin at body, attributes or group"),
        ({"type": "order"}, "type", "stands in single quotes"),
        ({"group": "body."}, "group", "is not a JMESPath expression"),
        ({"error": "to_string(body)"}, "error", "may call only"),
        ({"error": "body" + ".a" * 300}, "error", "at most 512 characters"),
        ({"schema": False}, "schema", "refuses every body"),
        ({"schema": {"not": {}}}, "schema", "refuses every body"),
        ({"schema": {"$ref": "https://example.com/x"}}, "schema", "nothing is fetched"),
        ({"max_redrives": 0}, "max_redrives", "greater than or equal to 1"),
        ({"max_redrives": 26}, "max_redrives", "less than or equal to 25"),
        ({"max_redrives": "2"}, "max_redrives", "valid integer"),
        ({"max_age_seconds": 0}, "max_age_seconds", "greater than or equal to 1"),
        ({"redrive_request": {"max_per_secnd": 1}}, "redrive_request.max_per_secnd",
         "did you mean max_per_second?"),
        ({"redrive_request": {"dry_run": True}}, "redrive_request", "makes plans (dry_run)"),
        ({"identiti": "body.id"}, "identiti", "did you mean identity?"),
        ({"body_schema": {}}, "body_schema", "is not known"),
        ({"acknowledge_receives": "yes"}, "acknowledge_receives", "valid boolean"),
        ({"unwrap": ["zip"]}, "unwrap.0", "'base64', 'gzip', 'sns', 'eventbridge' or 's3'"),
        ({"unwrap": ["sns"] * 6}, "unwrap", "at most 5 items"),
        ({"mask": ["card"]}, "mask.0", "must begin at body, attributes or group"),
        ({"mask": ["body.card"] * 21}, "mask", "at most 20 items"),
        ({"mask": ["body.id.x"], "identity": "body.id"}, "mask", "what identity reads"),
    ],
)  # fmt: skip
def test_request_that_is_not_understood_is_refused_by_its_field(change, field, problem):
    status, answer = put(body=LEAST | change)

    assert (status, answer["error"]["code"]) == (422, "invalid_request")
    told = answer["error"]["details"]["fields"]
    assert [found["field"] for found in told][:1] == [f"body.{field}"]
    assert problem in told[0]["problem"]
    assert [queue["queue"] for queue in get()[1]["queues"]] == ["default"]


@pytest.mark.parametrize(
    ("name", "change", "refused"),
    [
        ("orders", {"dead_letter_queue": "team-a"}, "unfit_queue"),
        ("orders", {"dead_letter_queue": "dead-letter.fifo"}, "unfit_queue"),
        ("orders", {"dead_letter_queue": "team-nothing"}, "queue_missing"),
        ("orders", {"dead_letter_queue": "others"}, "permission_missing"),
        ("orders", {"dead_letter_queue": "team-b-dead"}, "dead_letter_queue_taken"),
        ("or ders", {}, "unfit_queue"),
        ("x" * 65, {}, "unfit_queue"),
    ],
)
def test_queue_with_which_no_run_could_work_is_refused_and_recorded(name, change, refused):
    put("b", {"source_queue": "team-b", "dead_letter_queue": "team-b-dead"})

    assert code(put(name, LEAST | change)) == (422, refused)

    errors = {
        "unfit_queue": "UnfitQueue", "queue_missing": "QueueMissing",
        "permission_missing": "PermissionMissing",
        "dead_letter_queue_taken": "DeadLetterQueueTaken",
    }  # fmt: skip
    assert audited()[-1]["result"] == errors[refused]
    assert audited()[-1]["input"]["queue"] == name
    assert [queue["queue"] for queue in get()[1]["queues"]] == ["default", "b"]


def test_audit_keeps_what_was_said_and_the_schema_s_hash():
    put(body=ALL)

    (record,) = audited()

    assert (record["action"], record["result"]) == ("register_queue", "REGISTERED")
    assert record["actor"] == "o@example.com"
    given = record["input"]
    assert len(given.pop("schema_hash")) == 64
    assert "schema" not in given
    assert given == {name: value for name, value in ALL.items() if name != "schema"} | {
        "queue": "orders"
    }


def test_nothing_is_registered_that_is_not_recorded(monkeypatch):
    aws.dynamodb().delete_table(TableName="Audit")

    assert put()[0] == 500

    assert registry.every() == [default()]


def test_whoever_dies_at_any_call_leaves_it_registered_and_recorded_or_neither(calls):
    ends = len(calls.ends)
    put()
    delete()
    each = range(len(calls.ends) - ends)
    assert len(each) > 22  # before and after each call of both

    for end in each:
        before = len(audited())
        calls.error_at = len(calls.ends) + end
        with suppress(WorkerDied):
            put()
            delete()
        assert calls.error_at is None
        told = tuple(record["result"] for record in audited()[before:])
        items = aws.dynamodb().scan(TableName="Queues")["Items"]
        assert (told, len(items)) in {((), 0), (("REGISTERED",), 2), (("REGISTERED", "REMOVED"), 0)}
        if items:
            registry.remove("orders", "o")


def test_registered_queue_is_what_others_read():
    put(body=ALL)

    assert (
        registry.get("orders")
        == Queue(
            "orders",
            source_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/team-a",
            dead_letter_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/team-a-dead",
            source_arn=f"{ARN}:team-a",
            dead_letter_arn=f"{ARN}:team-a-dead",
            fifo=False,
            retention_seconds=345_600,  # as SQS says
            **{name: ALL[name] for name in list(ALL)[2:]}
            | {name: tuple(ALL[name]) for name in ("mask", "unwrap")},
        )
    )


def test_pointers_to_s3_are_followed_only_where_a_parameter_names_buckets(monkeypatch):
    assert put(body=LEAST | {"unwrap": ["sns", "s3"]})[0] == 201
    monkeypatch.setenv("REDRIVE_PAYLOAD_BUCKET_ARNS", "")
    settings.cache_clear()

    answer = put(body=LEAST | {"unwrap": ["s3"]})

    assert code(answer) == (422, "permission_missing")
    assert "RedrivePayloadBucketArns names no bucket" in answer[1]["error"]["message"]
    assert "s3:GetObject and s3:ListBucket" in answer[1]["error"]["message"]
    assert get("orders")[1]["unwrap"] == ["sns", "s3"]

"""Dead letters whose bodies lie in S3: judged by what is there, planned, listed and mended."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from lambdas import reprocess_dead_letters
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import an_operator
from tests.support.objects import BUCKET, create, delete, deny, pointer, put
from tests.support.pairs import STANDARD
from workflows.ledger import lookup, trouble
from workflows.messages.filters import Filter
from workflows.operator import bulk
from workflows.operator.discard import DiscardSelection
from workflows.operator.edit import edit
from workflows.operator.edit_letter import UnfitBody
from workflows.queues import registry
from workflows.queues.payloads import AT_ONCE, PayloadUnreadable
from workflows.queues.queue import Queue
from workflows.redrive import looked_at, partiql, plan, statements
from workflows.redrive.columns import Turn
from workflows.redrive.judge import Judge
from workflows.runtime import aws, clock, shards

POINTING = replace(STANDARD, unwrap=("s3",))
LIKE = Filter(payload={"kind": "a"})
RUNS = (f"20261124T1200{number:02}Z-abcdef01" for number in itertools.count())


@pytest.fixture(autouse=True)
def registered(tables, queues):
    """Give each test the tables, a registered queue and a bucket with three objects."""
    for name in ("orders", "orders-dead"):
        queues.create_queue(QueueName=name)
    registry.register(POINTING, "o")
    create()
    for number in (1, 2, 3):
        put(f"k-{number}", json.dumps({"id": f"o-{number}", "kind": "a" if number < 3 else "b"}))


def letter(number=1, sqs_id=None, **attributes) -> Any:
    return {
        "MessageId": sqs_id or f"sqs-{number}",
        "Body": pointer(f"k-{number}"),
        "Attributes": {"SentTimestamp": str(clock.milliseconds())},
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()
        },
    }


def judged(*given, run="r", queue: Queue = POINTING, only=None, looks=False):
    return Judge(run, only or Filter(), queue, looks=looks).judge([*given])


def said(verdict):
    return verdict["verdict"], verdict["ledger_id"], verdict["reason"]["type"]


def write(given, **how):
    """Let a run judge letters, and write what its verdicts write; return what was said."""
    run = next(RUNS)
    verdicts = judged(*given, run=run, **how)
    for verdict, one in zip(verdicts, given, strict=True):
        statement: Any = statements.of(verdict, one, Turn(run, POINTING, "arn:leg", f"{run}#0.1"))
        if statement is not None:
            statement.pop("ReturnValuesOnConditionCheckFailure", None)
            statement["Parameters"] = [
                {"S": one["Body"]} if "body" in value else value
                for value in statement["Parameters"]
            ]
            assert partiql.execute([statement]) == [True]
    return [said(verdict) for verdict in verdicts]


def look():
    write([letter(number) for number in (1, 2, 3)], looks=True)


def planned(only=None, queue=POINTING):
    return plan.draw({}, only or Filter(), None, None, queue)


def test_identity_type_filter_and_schema_are_of_what_is_pointed_to():
    queue = replace(POINTING, type="body.kind", schema={"properties": {"kind": {"const": "a"}}})

    verdicts = judged(letter(1), letter(3), queue=queue)

    assert [said(one) for one in verdicts] == [
        ("redrive", "sqs:orders:o-1", "DeadLettered"),
        ("quarantine", "sqs:orders:o-3", "InvalidBody"),
    ]
    assert [one["type"] for one in verdicts] == ["a", "b"]
    chosen = judged(letter(1), letter(3), only=LIKE)
    assert [one["verdict"] for one in chosen] == ["redrive", "left"]


def test_guard_counts_by_what_is_pointed_to_whatever_points_there():
    put("again", json.dumps({"id": "o-1"}))
    for sqs_id, key in (("a", "k-1"), ("b", "again"), ("c", "k-1")):
        write([letter(sqs_id=sqs_id) | {"Body": pointer(key)}])

    (verdict,) = judged(letter(sqs_id="d"))

    assert said(verdict) == ("quarantine", "sqs:orders:o-1", "RedriveLimitReached")


def test_letter_whose_object_is_gone_is_kept_by_itself_as_it_came_and_deleted_when_met_again():
    delete("k-1")

    assert write([letter(team="blue")]) == [
        ("quarantine", "sqs:orders:@sqs-1", "PayloadMissing"),
    ]
    row = lookup.get("sqs:orders:@sqs-1")
    assert (row["status"], row["body"]) == ("QUARANTINED", pointer("k-1"))
    assert row["carried"] == {"team": "String\nblue"}
    assert row["reason"]["message"].startswith("The object in S3 that holds the message's body")
    assert judged(letter())[0]["verdict"] == "settled"
    put("k-1", json.dumps({"id": "o-1"}))
    assert judged(letter())[0]["verdict"] == "settled"


def test_what_was_gone_when_a_run_looked_is_for_a_person_though_it_is_back():
    """Redriven now, it would be counted under another id than when it dies again."""
    delete("k-1")
    look()
    assert lookup.get("sqs:orders:@sqs-1")["status"] == "DEAD"
    put("k-1", json.dumps({"id": "o-1"}))

    assert said(judged(letter())[0]) == ("quarantine", "sqs:orders:@sqs-1", "PayloadMissing")
    assert planned().payloads_missing == 1


def test_identity_that_reads_no_body_keeps_its_row_and_what_that_says():
    queue = replace(POINTING, identity="attributes.order", type="body.kind")
    registry.register(queue, "o")
    write([letter(order="7")], queue=queue)
    delete("k-1")

    (verdict,) = judged(letter(sqs_id="back", order="7"), queue=queue)

    assert said(verdict) == ("quarantine", "sqs:orders:7", "PayloadMissing")
    assert (verdict["known"], verdict["type"], verdict["redrives"]) == (True, "a", 1)


def test_object_that_s3_does_not_give_fails_the_batch_and_nothing_is_decided(monkeypatch):
    real = aws.s3().get_object

    def get_object(**asked):
        if asked["Key"] == "k-2":
            asked["Bucket"] = "nobody-s"
            error: Any = {"Error": {"Code": "AccessDenied"}}
            error["ResponseMetadata"] = {"HTTPStatusCode": 403}
            raise aws.s3().exceptions.ClientError(error, "GetObject")
        return real(**asked)

    monkeypatch.setattr(aws.s3(), "get_object", get_object)

    for failing in (lambda: judged(letter(1), letter(2)), lambda: (look(), planned())):
        with pytest.raises(PayloadUnreadable, match=f"AccessDenied of an object in {BUCKET}"):
            failing()


def test_operator_is_told_what_s3_said():
    look()
    deny("k-2")
    asked = {"queue": "orders", "dry_run": True, "filter": {"payload": {"kind": "a"}}}
    event = api_event(
        "POST", "/messages/dlq/reprocess", asked, roles=("operator",), email="o@example.com"
    )

    answer = reprocess_dead_letters.handler(event, CONTEXT)

    told = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], told["code"]) == (409, "payload_unreadable")
    assert told["message"] == f"S3 says 403 of an object in {BUCKET}."


def test_ten_objects_at_most_are_read_side_by_side(monkeypatch):
    pools = []

    class Counted(ThreadPoolExecutor):
        def __init__(self, most):
            pools.append(most)
            super().__init__(1)

    monkeypatch.setattr(shards, "ThreadPoolExecutor", Counted)
    judged(letter(1), letter(2), letter(3))
    assert pools == [AT_ONCE]
    pools.clear()
    judged(letter(1), queue=STANDARD)
    assert pools == []

    look()
    pools.clear()
    planned()
    assert sorted({n for n in pools if n < len(shards.SHARDS)}) == [1, AT_ONCE]


def test_plan_tells_how_many_have_no_object_and_reads_none_where_rows_tell_enough(asked):
    look()
    before = planned()
    delete("k-2")
    asked.clear()

    found = planned()

    assert (before.counts, before.payloads_missing) == ({"redrive": 3}, 0)
    assert (found.counts, found.payloads_missing) == ({"redrive": 2, "quarantine": 1}, 1)
    assert {one.message_id: one.reason for one in found.messages} == {
        "sqs:orders:o-1": None, "sqs:orders:o-2": "PayloadMissing", "sqs:orders:o-3": None,
    }  # fmt: skip
    assert found.plan_hash != before.plan_hash
    assert [one["Range"] for one in asked] == ["bytes=0-0"] * 3


def test_plan_reads_what_a_schema_or_the_filter_has_to_see(asked):
    look()
    strict = replace(POINTING, schema={"properties": {"kind": {"const": "a"}}})
    asked.clear()

    assert planned(queue=strict).counts == {"redrive": 2, "quarantine": 1}
    assert planned(LIKE).counts == {"redrive": 2, "left": 1}
    assert planned(Filter(type="orders")).counts == {"redrive": 3}
    assert ["Range" in one for one in asked] == [False] * 6 + [True] * 3


@pytest.mark.parametrize(
    ("bound", "only"), [("_POINTED_AT", Filter()), ("_READ_FROM_S3", LIKE)], ids=["asked", "read"]
)
def test_plan_of_more_pointers_than_it_looks_at_says_so(monkeypatch, bound, only):
    look()
    assert planned(only).complete
    monkeypatch.setattr(looked_at, bound, 2)

    found = planned(only)

    assert (found.complete, len(found.messages)) == (False, 2)


def test_lists_and_bulk_actions_find_what_is_pointed_to():
    look()
    delete("k-2")

    page, following = trouble.page("DEAD", LIKE, 5, None, "orders")
    selection = DiscardSelection(filter=LIKE, queue="orders", reason="why")
    acted, _ = bulk.each(selection, lambda message_id: {"status": "DEAD"})

    assert ([row["message_id"] for row in page], following) == (["sqs:orders:o-1"], None)
    assert [one.message_id for one in acted] == ["sqs:orders:o-1"]
    by_id = LIKE.model_copy(update={"message_ids": ["sqs:orders:o-1", "sqs:orders:o-3"]})
    assert [row["message_id"] for row in trouble.every("DEAD", by_id, "orders")] == [
        "sqs:orders:o-1"
    ]


def test_bulk_action_looks_at_ten_objects_before_it_asks_how_late_it_is(monkeypatch, later):
    for number in range(10, 22):
        put(f"k-{number}", json.dumps({"id": f"o-{number}", "kind": "none"}))
        write([letter(number)], looks=True)
    real = aws.s3().get_object
    asked: list[Any] = []

    def get_object(**wanted):
        asked.append(wanted)
        later(2)
        return real(**wanted)

    monkeypatch.setattr(aws.s3(), "get_object", get_object)
    later(1)
    selection = DiscardSelection(filter=LIKE, queue="orders", reason="why")

    acted, cursor = bulk.each(selection, lambda message_id: {"status": "DEAD"})
    assert (acted, len(asked), cursor is None) == ([], AT_ONCE, False)

    rest = selection.model_copy(update={"cursor": cursor})
    assert bulk.each(rest, lambda message_id: {"status": "DEAD"}) == ([], None)
    assert len(asked) == 12


def test_pointer_is_edited_to_one_whose_object_is_there():
    delete("k-1")
    write([letter()])
    own, actor = "sqs:orders:@sqs-1", an_operator()

    with pytest.raises(UnfitBody, match="not there"):
        edit(own, pointer("k-4"), actor)
    put("k-5", json.dumps({"id": "o-1"}))
    edit(own, pointer("k-5"), actor)

    row = lookup.get(own)
    assert row["body"] == pointer("k-5")
    assert "RedriveIdentity" in row["carried"]

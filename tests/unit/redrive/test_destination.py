"""A run that sends to another queue's consumers: which may be, and who is told of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.cloud import audited
from tests.support.messages import an_operator
from tests.support.pairs import BUILT_IN, STANDARD
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.queues import registry
from workflows.queues.registry import UnknownQueue
from workflows.redrive import beginning, destination, requests, runs, statements
from workflows.redrive.columns import Turn
from workflows.redrive.destination import UnfitDestination
from workflows.redrive.judge import Judge
from workflows.redrive.requests import PlanChanged, RedriveRequest
from workflows.runtime import aws, clock

REPAIRED = replace(
    STANDARD,
    name="repaired",
    source_url="https://sqs.us-east-1.amazonaws.com/123456789012/repaired",
    source_arn="arn:aws:sqs:us-east-1:123456789012:repaired",
    dead_letter_arn="arn:aws:sqs:us-east-1:123456789012:repaired-dead",
)
FIFO = replace(REPAIRED, name="ordered", fifo=True, dead_letter_arn="arn:aws:sqs:x:1:x")
CANARY = {"messages": 1, "watch_seconds": 60}
LETTER: Any = {"MessageId": "sqs-1", "Body": '{"id": "o-1"}', "Attributes": {}}


@pytest.fixture(autouse=True)
def registered(tables, queues, machines):
    """Give each test three registered queues, of which one is FIFO."""
    for queue in (STANDARD, REPAIRED, FIFO):
        registry.register(queue, "o")
    for name in ("orders", "orders-dead", "repaired"):
        queues.create_queue(QueueName=name)


def begin(request, run_id="run-1", **more):
    at = "2026-11-30T12:00:00.000Z"
    return beginning.begin(run_id, f"arn:{run_id}", {"request": request} | more, at, 300)


def kept(run_id):
    row = runs.find(run_id)
    assert row is not None
    return runs.queue_of(row)


@pytest.mark.parametrize(
    ("queue", "name", "problem"),
    [
        (STANDARD, "ordered", "one of the queues is FIFO"),
        (STANDARD, "orders", "is the queue itself"),
        (STANDARD, DEFAULT_QUEUE, "built-in queue"),
        (BUILT_IN, "ordered", "built-in queue"),
    ],
)
def test_destination_that_does_not_fit_is_refused(queue, name, problem):
    with pytest.raises(UnfitDestination, match=problem):
        destination.check(name, queue, has_canary=False)


def test_run_goes_to_the_destination_and_by_its_own_queue_in_all_else():
    row = requests.start(RedriveRequest(queue="orders", destination="repaired"), an_operator())

    found = kept(row["run_id"])
    assert (found.source_url, found.source_arn) == (REPAIRED.source_url, REPAIRED.source_arn)
    assert found == replace(
        STANDARD, destination="repaired",
        source_url=REPAIRED.source_url, source_arn=REPAIRED.source_arn,
    )  # fmt: skip
    assert runs.registration(row["run_id"], "orders") == found
    (record,) = audited()
    assert record["input"] == {"queue": "orders", "destination": "repaired"}

    registry.remove("repaired", "o", force=True)  # the run keeps what it began with
    run = begin(json.loads(row["request"]), row["run_id"])
    assert (run.next, run.queue.source_url) == ("lanes", REPAIRED.source_url)


def test_run_of_a_console_or_of_the_queue_s_usual_request_has_its_destination_too():
    registry.register(replace(STANDARD, redrive_request={"destination": "repaired"}), "o")

    run = begin({"queue": "orders"})

    assert (run.next, run.queue.source_url) == ("lanes", REPAIRED.source_url)
    assert kept("run-1").destination == "repaired"
    assert begin({"queue": "orders"}).queue.source_url == REPAIRED.source_url  # a second try


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"queue": "orders", "destination": "nobody-s"}, "There is no queue nobody-s."),
        ({"queue": "orders", "destination": "ordered"}, "FIFO"),
        ({"queue": "orders", "destination": "repaired", "canary": CANARY}, "canary: looks"),
        ({"destination": "ordered"}, "built-in"),
        ({"queue": "orders", "destination": 7}, "request.destination"),
    ],
)
def test_run_without_a_fit_destination_fails_before_it_receives(request_, problem):
    run = begin(request_)

    assert (run.next, run.failure, run.lanes) == ("fail", "InvalidInput", [])
    assert problem in run.reason


@pytest.mark.parametrize("dry", [True, False])
def test_request_without_a_fit_destination_is_refused(dry):
    def ask(**options):
        request = RedriveRequest.model_validate({"queue": "orders"} | options)
        return requests.dry_run(request) if dry else requests.start(request, an_operator())

    with pytest.raises(UnknownQueue):
        ask(destination="nobody-s")
    with pytest.raises(UnfitDestination, match="canary"):
        ask(destination="repaired", canary=CANARY)
    assert aws.dynamodb().scan(TableName="Runs")["Items"] == []


def test_plan_names_the_destination_and_holds_a_run_to_it():
    wanted = RedriveRequest(queue="orders", destination="repaired")
    plan = requests.dry_run(wanted)

    assert plan.destination == "repaired"
    assert requests.dry_run(RedriveRequest(queue="orders")).destination is None
    held = RedriveRequest(queue="orders", plan_hash=plan.plan_hash)
    with pytest.raises(PlanChanged):
        requests.start(held, an_operator())


@pytest.mark.parametrize("known", [False, True])
def test_journey_says_where_a_message_went_and_the_guard_counts_it_as_any_other(known, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: "2026-11-30T12:00:00.000Z")
    queue = STANDARD.sending_to(REPAIRED)
    if known:
        row: Any = {
            "message_id": "sqs:orders:o-1", "status": "DEAD", "type": "t", "group_id": "",
            "payload_hash": "h", "redrives": 1, "redrive_limit": 3, "attempts_total": 0,
            "letter_id": "sqs-1", "first_sent_at": "2026-11-24T12:00:00.000Z",
        }  # fmt: skip
        aws.dynamodb().put_item(TableName="Messages", Item=row)
    (verdict,) = Judge("run-1", RedriveRequest().filter, queue).judge([LETTER])

    written = [
        statements.of(verdict, LETTER, Turn("run-1", found, "arn:leg", "run-1#0.1"))
        for found in (queue, STANDARD)
    ]

    elsewhere, here = (json.dumps(one) for one in written)
    told = ', "destination": {"S": "repaired"}'
    assert elsewhere.count(told) == 1
    assert elsewhere.replace(told, "") == here

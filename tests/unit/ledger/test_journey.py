"""The journey in a message's row: each step is told once, by the write that takes it."""

import json

import pytest

from tests.support import retry_in_process
from tests.support.accounts import freeze
from tests.support.cloud import ENVIRONMENT
from tests.support.fenced_group import (
    change,
    consume_all,
    delivery,
    fail,
    fence_of,
    message,
    row,
    running,
)
from tests.support.messages import an_operator
from tests.support.retry_in_process import RetryInProcess
from workflows.ledger import claims, journey, transitions
from workflows.messages import message_types
from workflows.messages.transaction import AccountFrozen
from workflows.operator import discard
from workflows.operator.discard import DiscardRequest
from workflows.runtime import aws

LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
SENT = {"event": "sent", "at": "2026-11-24T12:00:00.123Z"}
AT = "2026-11-25T00:00:00.000Z"


@pytest.fixture(autouse=True)
def cloud_of_the_consumer(tables, queues, machines, recursion_limit):
    retry_in_process.client.cache_clear()


def steps(number=1):
    """Return a row's journey without the times."""
    events = row(number)["journey"]
    assert all(event["at"] > SENT["at"] for event in events)
    return [{name: event[name] for name in event if name != "at"} for event in events]


def attempt(number, reason_type="AccountFrozen"):
    return {"event": "attempt", "number": number, "reason_type": reason_type}


def rejected():
    return delivery(1, kind="debit", amount="99")


def run_machine():
    (arn,) = running()
    given = aws.stepfunctions().describe_execution(executionArn=arn)["input"]
    states = RetryInProcess(arn, json.loads(given)).run()
    aws.stepfunctions().stop_execution(executionArn=arn)
    return states


def test_healthy_message_has_no_journey_but_its_own():
    assert consume_all(delivery(1)) == ["PROCESSED"]

    assert steps() == []
    told = journey.told(row(1))
    assert [(step.n, step.event, step.at) for step in told] == [
        (1, "sent", SENT["at"]),
        (2, "processed", row(1)["processed_at"]),
    ]


def test_rejected_message_is_told_as_tried_and_dead():
    assert consume_all(rejected()) == ["DEAD"]

    kind = row(1)["reason"]["type"]
    assert steps() == [attempt(1, kind), {"event": "dead", "reason_type": kind}]
    assert row(1)["dead_at"] == row(1)["updated_at"]


def test_parked_message_is_told_as_parked_and_not_as_tried():
    fail()
    consume_all(delivery(2))

    assert steps(2) == [{"event": "parked"}]
    assert (row(2)["attempts"], row(2)["attempts_total"]) == (0, 0)


def test_machine_goes_on_counting_and_tells_of_the_death():
    freeze()
    consume_all(delivery(1))

    assert run_machine()[-1] == "GroupHeld"

    tries = [attempt(number) for number in range(1, int(ENVIRONMENT["MAX_ATTEMPTS"]) + 1)]
    assert steps() == [*tries, {"event": "dead", "reason_type": "AccountFrozen"}]
    assert row(1)["dead_at"] == row(1)["updated_at"]
    assert row(1)["attempts_total"] == len(tries)


def test_attempts_are_numbered_over_all_redrives_and_native_ones_are_told():
    freeze()
    consume_all(delivery(1))
    run_machine()
    change(1, redriven_by="run-1")

    assert consume_all(delivery(1)) == ["RETRYING"]
    freeze("ACTIVE")
    assert run_machine()[-1] == "GroupReleased"

    redriven = {"event": "redriven", "run_id": "native", "number": 1}
    assert steps()[-2:] == [redriven, attempt(6)]
    found = row(1)
    assert (found["attempts"], found["attempts_total"]) == (2, 7)
    assert not {"redriven_by", "dead_at"} & found.keys()
    assert journey.told(found)[-1].event == "processed"


def test_parked_message_is_numbered_from_what_it_had_when_it_was_parked():
    freeze()
    consume_all(delivery(1))
    transitions.accept(message(2))
    change(2, attempts_total=3)
    consume_all(delivery(2))
    freeze("ACTIVE")

    execution = RetryInProcess(fence_of().execution_arn, given())
    execution.run(until="PromoteParked")
    execution.step()
    freeze()
    execution.run(until="WaitBackoff")

    assert steps(2) == [{"event": "parked"}, attempt(4)]
    assert (row(2)["attempts"], row(2)["attempts_total"]) == (2, 5)


def given():
    (arn,) = running()
    return json.loads(aws.stepfunctions().describe_execution(executionArn=arn)["input"])


def test_quarantine_and_discard_are_told():
    consume_all(rejected())
    change(1, redrives=LIMIT, journey=[])
    assert consume_all(rejected()) == ["EXHAUSTED"]
    discard.discard("acc-1-1", DiscardRequest(reason="it is over"), an_operator())

    assert steps() == [
        {"event": "quarantined", "reason_type": "RedriveLimitReached"},
        {"event": "discarded", "by": "o@example.com"},
    ]


def test_row_from_before_there_were_journeys_begins_one():
    transitions.accept(message(1))
    old = row(1)
    del old["journey"], old["attempts_total"]
    aws.dynamodb().put_item(TableName="Messages", Item=old)
    assert [step.event for step in journey.told(old)] == ["sent"]

    fail()
    assert steps() == [attempt(1)]


def test_native_redrive_begins_a_journey_too():
    consume_all(rejected())
    old = row(1)
    del old["journey"], old["attempts_total"]
    aws.dynamodb().put_item(TableName="Messages", Item=old)

    assert claims.claim(message(1, kind="debit", amount="99")).attempt == 1
    assert [event["event"] for event in row(1)["journey"]] == ["redriven"]


def test_event_is_short_and_says_nothing_of_the_message(monkeypatch):
    def fail_loudly(*_):
        raise AccountFrozen("secret " * 100)

    monkeypatch.setattr(message_types, "process", fail_loudly)
    consume_all(delivery(1))

    assert row(1)["journey"]
    for event in row(1)["journey"]:
        text = json.dumps(event, default=int)
        assert len(text) < 200
        assert "secret" not in text


def test_step_that_a_lost_answer_wrote_twice_is_told_once():
    once = attempt(1) | {"at": AT}
    other = attempt(2) | {"at": AT}
    told = journey.told({"first_sent_at": SENT["at"], "journey": [once, once, other, once]})

    assert [(step.n, step.event, step.number) for step in told] == [
        (1, "sent", None), (2, "attempt", 1), (3, "attempt", 2), (4, "attempt", 1),
    ]  # fmt: skip

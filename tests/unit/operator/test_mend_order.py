"""Retries and discards by hand among the messages of a group: the fence and its order hold."""

import json
from typing import Any

import pytest

from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ENVIRONMENT, drain
from tests.support.fenced_group import (
    GROUP,
    change,
    consume_all,
    delivery,
    fail,
    fence_of,
    message,
    row,
    watched_group,
)
from tests.support.interleaving import every_order, random_orders, watch
from tests.support.messages import an_operator
from tests.support.troubles import in_trouble
from workflows.ledger import claims
from workflows.ledger.claims import Decision
from workflows.ledger.conditions import ABANDONED_SECONDS
from workflows.ledger.transitions import NotInTrouble
from workflows.operator import discard, mend, retry_by_hand
from workflows.operator.discard import DiscardRequest
from workflows.operator.retry_by_hand import RetryRequest
from workflows.runtime import aws, clock

ACTOR = an_operator()
HOLDER = f"{GROUP}-1"
RESET = RetryRequest(reset_redrives=True)
WHY = DiscardRequest(reason="it is gone")
NUMBERS = (1, 2, 3)


@pytest.fixture
def group(tables, queues, machines, later, monkeypatch):
    return watched_group(later, monkeypatch)


def retry(number=1):
    return retry_by_hand.retry(f"{GROUP}-{number}", RESET, ACTOR)


def held(group, status="DEAD"):
    """Let the first message hold its group, dead, say, and two others wait behind it."""
    group.forget()
    taken()
    group.fail(1, 2, 3)
    group.kill(1)
    change(1, status=status, trouble=status)


def taken():
    """Take what is on the work queue; return the numbers of the messages."""
    copies = drain(aws.sqs(), ENVIRONMENT["WORK_QUEUE_URL"])
    return [int(json.loads(copy["Body"])["message_id"].rpartition("-")[2]) for copy in copies]


def come_to_rest(group):
    """Deliver what was sent, sweep, and again, until nothing happens."""
    for _ in range(4):
        for number in taken():
            group.deliver(number)
        group.come_to_rest()  # it also sweeps, with time between


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_retried_holder_passes_its_own_fence_and_the_group_follows(group, status):
    held(group, status)

    retry()

    come_to_rest(group)
    group.assert_settled(NUMBERS, status)
    assert row(1)["redrives"] == 1


def test_retried_message_that_holds_nothing_waits_behind_the_one_that_does(group):
    held(group)
    in_trouble("QUARANTINED", message(9))

    retry(9)
    for number in taken():
        group.deliver(number)
    assert (row(9)["status"], fence_of().holder, group.effects) == ("PARKED", HOLDER, [])

    retry()
    come_to_rest(group)
    group.assert_settled((*NUMBERS, 9), "the holder was retried")


@pytest.mark.timeout(300)
def test_group_comes_to_rest_in_order_wherever_the_retry_dies(group, calls):
    held(group)
    calls.ends.clear()
    retry()
    ends = list(calls.ends)
    for at, end in enumerate(ends):
        held(group)
        calls.ends.clear()
        calls.error_at = at
        with pytest.raises(WorkerDied):
            retry()
        if row(1)["status"] == "DEAD":
            retry()
        come_to_rest(group)
        group.assert_settled(NUMBERS, f"died {end}")
        assert row(1)["redrives"] == 1, end


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "seeds", [range(5), pytest.param(range(5, 40), marks=pytest.mark.soak)], ids=str
)
def test_retry_while_sqs_brings_the_old_copy_back_and_others_arrive(group, seeds):
    """One worker has the group: it gets the natively redriven copy, then a new message."""

    def worker():
        group.deliver(1)
        group.deliver(4)

    def operator():
        try:
            retry()
        except (NotInTrouble, mend.MessageChanged):
            return  # the worker was faster

    def scene():
        held(group)
        return {"worker": worker, "operator": operator}

    for order in random_orders(scene, seeds):
        come_to_rest(group)
        group.assert_settled((*NUMBERS, 4), order)
        assert row(1)["redrives"] in (1, 2), order


# --- A holder that vanished with its workers ----------------------------------------------


@pytest.fixture
def cloud_of_the_consumer(tables, queues, machines):
    return None


def vanished(later, seconds):
    """Let workers die of the first message, SQS move it, and somebody purge the queue."""
    fail()
    consume_all(delivery(2))
    mine = row(1)
    for column in ("trouble", "body", "reason", "expires_at"):
        mine.pop(column, None)
    until = clock.epoch() + int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
    aws.dynamodb().put_item(
        TableName="Messages",
        Item=mine | {"status": "PROCESSING", "lease_until": until, "sqs_message_id": "sqs-old"},
    )
    later(int(ENVIRONMENT["CLAIM_LEASE_SECONDS"]) + seconds)


@pytest.mark.usefixtures("cloud_of_the_consumer")
def test_message_that_vanished_can_be_discarded_and_its_group_goes_on(later):
    vanished(later, ABANDONED_SECONDS)

    discard.discard(HOLDER, WHY, ACTOR)

    assert (row(1)["status"], fence_of().generation) == ("DISCARDED", 2)
    assert consume_all(delivery(1)) == ["SETTLED"]  # whatever copy turns up


@pytest.mark.usefixtures("cloud_of_the_consumer")
def test_message_that_its_queue_may_bring_again_cannot_be_discarded(later):
    vanished(later, ABANDONED_SECONDS - 2)

    with pytest.raises(NotInTrouble, match="is PROCESSING"):
        discard.discard(HOLDER, WHY, ACTOR)
    assert (row(1)["status"], fence_of().generation) == ("PROCESSING", 1)


@pytest.mark.usefixtures("cloud_of_the_consumer")
@pytest.mark.parametrize("sqs_id", ["sqs-old", "sqs-new"])
def test_worker_that_comes_back_or_the_discard_has_it_in_every_order(later, sqs_id):
    watch(aws.dynamodb(), aws.stepfunctions())
    seen = set()
    ends: dict[str, Any] = {}

    def take():
        ends["worker"] = claims.claim(delivery(1).message, sqs_id).decision

    def give_up():
        try:
            ends["operator"] = discard.discard(HOLDER, WHY, ACTOR)["status"]
        except NotInTrouble:
            ends["operator"] = "refused"

    def scene():
        for item in aws.dynamodb().scan(TableName="Groups")["Items"]:
            key = {"group_id": item["group_id"], "item": item["item"]}
            aws.dynamodb().delete_item(TableName="Groups", Key=key)
        for number in (1, 2):
            aws.dynamodb().delete_item(
                TableName="Messages", Key={"message_id": f"{GROUP}-{number}"}
            )
        vanished(later, ABANDONED_SECONDS)
        return {"worker": take, "operator": give_up}

    for order in every_order(scene):
        end = (ends["worker"], ends["operator"], row(1)["status"])
        assert end in {
            (Decision.PROCESS, "refused", "PROCESSING"),
            (Decision.SETTLED, "DISCARDED", "DISCARDED"),
            (Decision.BUSY, "DISCARDED", "DISCARDED"),  # it comes again, and is settled then
        }, order
        seen.add(end[1])
    assert seen == {"refused", "DISCARDED"}

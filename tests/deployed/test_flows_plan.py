"""Planning a redrive over HTTP, and runs that keep to their plan, their filter and their limits."""

import pytest

from local.deadline import wait_until
from tests.deployed.flows import (
    assert_problem,
    dead_message,
    finished,
    forget_dead_letters,
    settled,
)
from tests.support.redrive_runs import consume
from tests.support.stack_fixtures import dead_letter, history, put, queued, row, transaction

pytestmark = pytest.mark.xdist_group("flows of runs")

FILTER = "The filter leaves it out."
GROUP = "A message before it in its group stays."


@pytest.fixture(autouse=True)
def no_dead_letters(stack, operator):
    """Begin and end with nothing dead: a plan is of everything that is."""
    forget_all(stack, operator)
    yield
    forget_all(stack, operator)


def forget_all(stack, operator):
    forget_dead_letters(stack)
    while dead := operator.dead_letters(limit=100).expect(200)["messages"]:
        for message in dead:
            found = row(stack, "Messages", message["message_id"])
            found.pop("trouble")
            put(stack, "Messages", found | {"status": "DISCARDED"})


def plan(client, **request):
    return client.reprocess(dry_run=True, **request).expect(200)


def told(found):
    """Return what a plan says of each message, by its id."""
    return {one["message_id"]: (one["verdict"], one["reason"]) for one in found["messages"]}


def newest_runs(client):
    return [run["run_id"] for run in client.runs(limit=5).expect(200)["runs"]]


def test_plan_tells_what_a_run_then_does(stack, producer, operator):
    """From the message that died over HTTP to its balance; another one stays with its group."""
    account_id, dead = dead_message(stack, producer)
    other = transaction(currency="CHF")
    behind = transaction(account_id=other.group_id)
    for message in (other, behind):
        dead_letter(stack, message)
    put(stack, "Accounts", {"account_id": account_id, "status": "ACTIVE"})
    only = {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 1}

    before, runs = queued(stack, "DeadLetter"), newest_runs(operator)
    planned = plan(operator, filter=only["filter"])
    assert told(planned) == {
        dead["message_id"]: ("redrive", None),
        other.message_id: ("left", FILTER),
        behind.message_id: ("left", GROUP),
    }
    assert planned["counts"] == {"redrive": 1, "left": 2}
    assert (planned["groups"], planned["complete"], planned["unnoted"]) == (1, True, 0)
    assert planned["estimated_transitions"] > 0
    assert planned["estimated_seconds"] > 0
    assert (queued(stack, "DeadLetter"), newest_runs(operator)) == (before, runs)

    planned = plan(operator, **only)
    started = operator.reprocess(**only, plan_hash=planned["plan_hash"]).expect(202)
    run = finished(operator, started["run_id"])

    assert (run["status"], run["received"], run["redriven"]) == ("SUCCEEDED", 1, 1)
    assert run["request"] == only
    settled(producer, dead["message_id"], "PROCESSED")
    assert str(row(stack, "Accounts", account_id)["balance"]) == "12.34"
    assert [letter["Body"] for letter in queued(stack, "DeadLetter")] == [
        other.body(),
        behind.body(),
    ]


def test_run_does_not_start_when_its_plan_is_out_of_date(stack, operator):
    dead_letter(stack, transaction())
    planned = plan(operator)["plan_hash"]
    dead_letter(stack, transaction())
    before, runs = queued(stack, "DeadLetter"), newest_runs(operator)

    refused = operator.reprocess(plan_hash=planned)

    assert_problem(refused, 409, "plan_changed")
    assert (queued(stack, "DeadLetter"), newest_runs(operator)) == (before, runs)
    newest = operator.audit(actor=stack.users["operator"]["email"], limit=1).expect(200)
    assert (newest["records"][0]["action"], newest["records"][0]["result"]) == (
        "start_run",
        "PlanChanged",
    )
    again = plan(operator, max_messages=1)["plan_hash"]  # the lock was never taken
    started = operator.reprocess(max_messages=1, plan_hash=again).expect(202)
    assert finished(operator, started["run_id"])["received"] == 1


def test_producer_may_not_plan_run_or_cancel(stack, producer, operator):
    dead_letter(stack, transaction())
    run_id = operator.reprocess(max_messages=1).expect(202)["run_id"]

    for answer in (
        producer.reprocess(dry_run=True),
        producer.reprocess(),
        producer.cancel(run_id),
        producer.cancel("no-such-run"),
    ):
        assert_problem(answer, 403, "forbidden")
    assert finished(operator, run_id)["status"] == "SUCCEEDED"


def test_plan_while_a_run_is_active_is_given(stack, operator):
    dead_letter(stack, transaction())
    canary = {"messages": 1, "watch_seconds": 600}
    consume(stack, False)  # or the message would end, and with it the run
    try:
        run = operator.reprocess(max_messages=1, canary=canary).expect(202)
        arn = run["execution_arn"]
        wait_until(lambda: "WaitForOutcomes" in history(stack, arn), 60, "the run watches")

        assert plan(operator)["counts"] == {}  # what it redrove is dead no more
        assert_problem(operator.reprocess(), 409, "run_active")
    finally:
        consume(stack, True)
    finished(operator, run["run_id"])

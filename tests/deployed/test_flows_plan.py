"""Planning a redrive over HTTP, and runs that keep to their plan, their filter and their limits."""

from datetime import UTC, datetime, timedelta

import pytest

from local.deadline import wait_until
from tests.deployed.flows import (
    assert_problem,
    credit,
    dead_message,
    finished,
    forget_dead_letters,
    settled,
)
from tests.support.redrive_runs import all_visible, consume
from tests.support.stack_fixtures import dead_letter, history, put, queued, record, row, transaction
from workflows.runtime import clock

pytestmark = pytest.mark.xdist_group("flows of runs")

FILTER = "The filter leaves it out."
GROUP = "A message before it in its group stays."
PATH = "/messages/dlq/reprocess"
MISSING = {"type": "KeyError", "message": "It is missing."}


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


# --- Plan and run ---------------------------------------------------------------------------


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


def another_dies(stack, operator, message):
    dead_letter(stack, transaction())


def one_is_edited(stack, operator, message):
    payload = message.payload | {"amount": "11.00"}
    operator.call("PATCH", f"/messages/{message.message_id}", {"payload": payload}).expect(200)


def one_is_discarded(stack, operator, message):
    path = f"/messages/{message.message_id}/discard"
    operator.call("POST", path, {"reason": "a test"}).expect(200)


def one_was_redriven_meanwhile(stack, operator, message):
    record(stack, message, "DEAD", redrives=1)


@pytest.mark.parametrize(
    "change",
    [another_dies, one_is_edited, one_is_discarded, one_was_redriven_meanwhile],
    ids=lambda change: change.__name__,
)
def test_run_does_not_start_when_its_plan_is_out_of_date(stack, operator, change):
    messages = [transaction(), transaction()]
    for message in messages:
        dead_letter(stack, message)
    planned = plan(operator)["plan_hash"]
    change(stack, operator, messages[0])
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


def test_plan_of_other_options_is_no_plan_of_this_run(stack, operator):
    dead_letter(stack, transaction())
    planned = plan(operator, max_per_second=5)["plan_hash"]

    assert_problem(operator.reprocess(plan_hash=planned), 409, "plan_changed")
    assert_problem(operator.reprocess(max_per_second=6, plan_hash=planned), 409, "plan_changed")


def test_unnoted_dead_letters_are_counted_and_learnt_by_the_next_run(stack, operator):
    unnoted, noted = transaction(), transaction(currency="CHF")
    dead_letter(stack, unnoted, status="QUEUED")
    dead_letter(stack, noted)
    assert (list(told(plan(operator))), plan(operator)["unnoted"]) == ([noted.message_id], 1)
    only = {"filter": {"payload": {"currency": "CHF"}}, "max_messages": 1}

    run = finished(operator, operator.reprocess(**only).expect(202)["run_id"])

    assert (run["redriven"], run["left"]) == (1, 1)
    assert (list(told(plan(operator))), plan(operator)["unnoted"]) == ([unnoted.message_id], 0)
    (learnt,) = operator.dead_letters(group_id=unnoted.group_id).expect(200)["messages"]
    assert learnt["reason"]["type"] == "ConsumerCrashed"


# --- Filters --------------------------------------------------------------------------------


def an_hour_ago():
    return clock.text(datetime.now(UTC) - timedelta(hours=1))


def wanted_and_others(stack):
    """Put one message on the dead-letter queue that is like no other, in each respect."""
    wanted = transaction(first_sent_at=an_hour_ago(), amount=77.0, currency="JPY")
    others = [transaction(), transaction(currency="USD")]
    dead_letter(stack, others[0])
    dead_letter(stack, wanted, reason=MISSING)
    dead_letter(stack, others[1])
    return wanted, others


@pytest.mark.parametrize(
    "only",
    [
        {"message_ids": ["{message_id}", "no-such-message"], "jmespath": "amount > `50`"},
        {
            "older_than": "PT3540S",
            "newer_than": "PT2H",
            "type": "transaction",
            "reason": "KeyError",
        },
    ],
    ids=str,
)
def test_filter_chooses_the_one_message(stack, producer, operator, only):
    wanted, others = wanted_and_others(stack)
    names = {"{message_id}": wanted.message_id, "{group_id}": wanted.group_id}
    only = {
        field: [names.get(one, one) for one in value]
        if isinstance(value, list)
        else names.get(str(value), value)
        for field, value in only.items()
    }
    assert plan(operator, filter=only)["counts"] == {"redrive": 1, "left": 2}

    run = finished(operator, operator.reprocess(max_messages=1, filter=only).expect(202)["run_id"])

    assert (run["status"], run["redriven"], run["request"]["filter"]) == ("SUCCEEDED", 1, only)
    settled(producer, wanted.message_id, "PROCESSED")
    assert [one["Body"] for one in queued(stack, "DeadLetter")] == [one.body() for one in others]
    assert all_visible(stack)


# --- Refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "field", "limit"),
    [
        ({"max_per_second": 0}, "max_per_second", "0.1"),
        ({"max_per_second": 3_001}, "max_per_second", "3000"),
        ({"max_per_second": "fast"}, "max_per_second", "number"),
        ({"max_messages": 0}, "max_messages", "1"),
        ({"max_messages": 1_000_001}, "max_messages", "1000000"),
        ({"canary": {"messages": 0, "watch_seconds": 60}}, "canary.messages", "1"),
        ({"canary": {"messages": 1_001, "watch_seconds": 60}}, "canary.messages", "1000"),
        ({"canary": {"messages": 1, "watch_seconds": 0}}, "canary.watch_seconds", "1"),
        ({"canary": {"messages": 1, "watch_seconds": 14_401}}, "canary.watch_seconds", "14400"),
        ({"canary": {"messages": 1}}, "canary.watch_seconds", "required"),
        (
            {"canary": {"messages": 1, "watch_seconds": 1, "max_failures": -1}},
            "canary.max_failures",
            "0",
        ),
        (
            {"canary": {"messages": 1, "watch_seconds": 1, "speed": 1}},
            "canary.speed",
            "known are messages",
        ),
        ({"everything": True}, "everything", "is not known"),
        ({"plan_hash": "x"}, "plan_hash", "pattern"),
        ({"dry_run": "perhaps"}, "dry_run", "boolean"),
        ({"filter": {"reasons": "x"}}, "filter.reasons", "did you mean reason?"),
        ({"filter": {"message_ids": []}}, "filter.message_ids", "1"),
        ({"filter": {"message_ids": ["m"] * 101}}, "filter.message_ids", "100"),
        ({"filter": {"fingerprint": "x"}}, "filter.fingerprint", "pattern"),
        ({"filter": {"older_than": "yesterday"}}, "filter.older_than", "P1D"),
        ({"filter": {"newer_than": -1}}, "filter.newer_than", "a duration such as"),
        ({"filter": {"payload": {"a": [1]}}}, "filter.payload.a", "string"),
        ({"filter": {"jmespath": "a =="}}, "filter.jmespath", ""),
        ({"filter": {"jmespath": "a" * 501}}, "filter.jmespath", "500"),
    ],
    ids=str,
)
def test_wrong_request_is_422_naming_field_and_limit(stack, operator, request_, field, limit):
    runs = newest_runs(operator)
    for dry_run in ({}, {"dry_run": True}):
        answer = operator.call("POST", PATH, dry_run | request_)

        assert_problem(answer, 422, "invalid_request")
        (found,) = answer.json["error"]["details"]["fields"]
        assert found["field"].removeprefix("body.") == field
        assert limit in found["problem"]
        assert field in answer.json["error"]["message"]
    assert newest_runs(operator) == runs


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


def test_plan_shows_no_payload(stack, producer, operator):
    account_id, dead = dead_message(stack, producer)

    answer = operator.reprocess(dry_run=True)

    assert dead["message_id"] in answer.text
    for secret in credit(account_id).items():
        assert f'"{secret[0]}"' not in answer.text

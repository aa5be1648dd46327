"""Redrives over HTTP: the run, its record, its lock, and one trace through all of it."""

import json
import uuid
from collections import Counter

import pytest

from local.deadline import wait_until
from tests.deployed.flows import assert_problem, dead_message, finished, settled
from tests.support.redrive_runs import consume, recover
from tests.support.stack_fixtures import (
    dead_letter,
    leg_arn,
    put,
    put_on_dlq,
    row,
    transaction,
)
from workflows.redrive.counters import NAMES as COUNTERS
from workflows.redrive.outcome import Outcome

pytestmark = pytest.mark.xdist_group("flows")

RUN_FIELDS = {
    "lanes",
    "request",
    "in_flight",
    "missing",
    "left",
    "reason",
    "outcome",
    "progress",
    "run_id",
    "status",
    "trigger",
    "requested_by",
    "received",
    "redriven",
    "quarantined",
    "already_processed",
    "discarded",
    "failed",
    "started_at",
    "finished_at",
    "execution_arn",
}
QUARANTINED = {
    "message_id", "group_id", "type", "reason", "fingerprint", "attempts", "redrives",
    "redrives_left", "first_sent_at", "age_seconds", "edited", "quarantined_at", "body",
}  # fmt: skip


@pytest.mark.usefixtures("no_dead_letters")
def test_dead_message_comes_back_after_the_account_is_unfrozen(stack, producer, operator):
    account_id, record = dead_message(stack, producer)
    assert record["reason"] == {
        "type": "AccountFrozen",
        "message": f"Account {account_id} is frozen.",
    }
    assert (record["attempts"], record["redrives"], len(record["execution_arns"])) == (4, 0, 1)
    status = producer.status().expect(200)
    assert status["dead_letter_queue"]["visible"] == 1
    assert status["messages"]["dead"] >= 1
    put(stack, "Accounts", {"account_id": account_id, "status": "ACTIVE"})

    started = operator.reprocess(max_messages=1)
    run_id = started.json["run_id"]
    assert started.status == 202
    assert set(started.json) == {"run_id", "execution_arn", "status"}
    assert started.json["status"] == "RUNNING"
    run = finished(operator, run_id)
    after = settled(producer, record["message_id"], "PROCESSED")

    assert set(run) - {"failure"} == RUN_FIELDS
    assert set(run["outcome"]) == set(Outcome.model_fields)
    assert (
        run
        | {
            "run_id": run_id,
            "status": "SUCCEEDED",
            "trigger": "api",
            "requested_by": stack.users["operator"]["email"],
            "received": 1,
            "redriven": 1,
            "quarantined": 0,
            "already_processed": 0,
            "failed": 0,
            "execution_arn": started.json["execution_arn"],
            "failure": None,
        }
        == run
    )
    assert run["started_at"] < run["finished_at"]
    assert (after["attempts"], after["redrives"], after["reason"]) == (1, 1, None)
    assert after["execution_arns"] == [
        *record["execution_arns"],
        leg_arn(stack, run["execution_arn"]),
    ]
    assert str(row(stack, "Accounts", account_id)["balance"]) == "12.34"


@pytest.mark.usefixtures("no_dead_letters")
def test_one_trace_id_follows_a_message_everywhere(stack, producer, operator):
    account_id, record = dead_message(stack, producer)
    put(stack, "Accounts", {"account_id": account_id, "status": "ACTIVE"})
    finished(operator, operator.reprocess(max_messages=1).expect(202)["run_id"])
    after = settled(producer, record["message_id"], "PROCESSED")

    trace_id = record["trace_id"]
    assert after["trace_id"] == trace_id
    # A send starts and succeeds; it is consumed once more after the redrive; there are three tries,
    # or more: a worker that is slow is taken for dead.
    wanted = Counter(send_message=2, consume_message=4, retry_message=6)

    def logged():
        lines = [
            json.loads(line)
            for line in stack.lambda_log().splitlines()
            if line.startswith("{") and trace_id in line
        ]
        traced = Counter(line["action"] for line in lines if line["trace_id"] == trace_id)
        return lines if traced >= wanted else None

    lines = wait_until(logged, 60, "all lines are in the log")
    redrive = [line for line in lines if line["action"] == "validate_dlq"]
    assert [line["details"]["trace_ids"] for line in redrive] == [[trace_id]]
    (sent,) = [
        line for line in lines if (line["action"], line["status"]) == ("send_message", "success")
    ]
    assert sent["details"]["message_id"] == record["message_id"]


@pytest.mark.usefixtures("no_dead_letters")
def test_end_of_a_run_is_logged_with_its_counts_under_the_trace_of_its_request(
    stack, producer, operator
):
    dead_message(stack, producer)
    started = operator.reprocess(max_messages=1).expect(202)
    run = finished(operator, started["run_id"])

    def told():
        lines = (line for line in stack.lambda_log().splitlines() if '"end_run"' in line)
        found = map(json.loads, lines)
        return [line for line in found if line["details"]["run_id"] == run["run_id"]]

    wait_until(told, 60, "the run's end is in the log")
    recover(stack)
    (line,) = told()
    assert (line["status"], line["details"]["run_status"]) == ("success", "SUCCEEDED")
    assert {name: line["details"][name] for name in COUNTERS} == {n: run[n] for n in COUNTERS}

    def asked():
        return [
            json.loads(entry)["trace_id"]
            for entry in stack.lambda_log().splitlines()
            if '"reprocess_dlq"' in entry and run["run_id"] in entry
        ]

    assert set(wait_until(asked, 60, "the request is in the log")) == {line["trace_id"]}


@pytest.mark.usefixtures("no_dead_letters")
def test_second_run_is_refused_while_one_is_active(stack, operator):
    dead_letter(stack, transaction())
    # A consumer that is turned off with the message in hand has it for three minutes. With waits
    # that are scaled, looks of a shorter watch would be as many in that time as a run may have.
    canary = {"messages": 1, "watch_seconds": 14_400}
    consume(stack, False)  # or the message would end, and with it the run
    try:
        first = operator.reprocess(max_messages=1, canary=canary).expect(202)
        second = operator.reprocess()
        shown = operator.run(first["run_id"]).expect(200)
    finally:
        consume(stack, True)
    run = finished(operator, first["run_id"])

    assert_problem(second, 409, "run_active")
    assert first["run_id"] in second.json["error"]["message"]
    assert (shown["status"], shown["finished_at"]) == ("RUNNING", None)
    assert (run["status"], run.get("reason"), run["received"]) == ("SUCCEEDED", None, 1)


@pytest.mark.usefixtures("no_dead_letters")
def test_runs_are_listed_newest_first_in_pages(stack, operator):
    started = []
    for _ in range(3):
        put_on_dlq(stack, "not an envelope", "foreign")
        started.append(operator.reprocess(max_messages=1).expect(202)["run_id"])
        finished(operator, started[-1])

    first = operator.runs(limit=2).expect(200)
    second = operator.runs(limit=2, cursor=first["cursor"]).expect(200)

    listed = [*first["runs"], *second["runs"]]
    assert [run["run_id"] for run in listed[:3]] == started[::-1]
    assert [run["quarantined"] for run in listed[:3]] == [1, 1, 1]
    assert len(first["runs"]) == 2
    assert {run["run_id"] for run in first["runs"]}.isdisjoint(r["run_id"] for r in second["runs"])
    whole = operator.run(started[2]).expect(200)
    assert whole | listed[0] == whole


@pytest.mark.usefixtures("no_dead_letters")
def test_quarantine_shows_bodies_to_operators_only(stack, producer, operator):
    body, group = f"not an envelope {uuid.uuid4()}", f"group-{uuid.uuid4()}"
    key = f"sqs:{put_on_dlq(stack, body, group)}"
    run = finished(operator, operator.reprocess(max_messages=1).expect(202)["run_id"])
    assert run["quarantined"] == 1

    (shown,) = producer.quarantine(group_id=group).expect(200)["messages"]
    (whole,) = operator.quarantine(group_id=group).expect(200)["messages"]

    assert body not in producer.quarantine(limit=100).text
    assert (shown["body"], whole["body"]) == (None, body)
    assert shown | {"body": body, "age_seconds": whole["age_seconds"]} == whole
    assert set(whole) == QUARANTINED
    assert (whole["message_id"], whole["type"]) == (key, "foreign")
    assert whole["reason"]["type"] == "InvalidEnvelope"
    listed = producer.quarantine(reason="InvalidEnvelope", limit=100).json["messages"]
    assert key in [message["message_id"] for message in listed]
    assert producer.quarantine(group_id=group, older_than="P1D").json["messages"] == []

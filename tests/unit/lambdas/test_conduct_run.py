"""What the redrive machines' own functions add to the rules: the steps by name, and log lines."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas import conduct_run, validate_messages
from tests.support.cloud import ENVIRONMENT, audited
from tests.support.invocations import CONTEXT
from tests.support.messages import a_message, an_operator
from tests.support.troubles import in_trouble
from tests.support.troubles import row as ledger_row
from workflows.queues.queue import default
from workflows.redrive import in_flight, ownership, run_lock, runs
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import EMPTY_POLLS, Asked, Lane
from workflows.redrive.ownership import LeaseLost
from workflows.runtime import aws

pytestmark = pytest.mark.usefixtures("recursion_limit")

DLQ = ENVIRONMENT["DEAD_LETTER_QUEUE_URL"]
CANARY = "canary-7c1f"
AT = "2026-11-30T12:00:00.5Z"  # as Step Functions writes it
EXECUTION = {"Id": "arn:run-1", "Name": "run-1", "Input": {"trace_id": "t-9"}}


@pytest.fixture(autouse=True)
def _cloud(tables, queues, machines):
    """Every test needs them."""


def conduct(do, **event):
    found = conduct_run.handler({"do": do} | event, CONTEXT)
    assert json.loads(json.dumps(found)) == found
    return found


def begin(**given):
    return conduct("begin", execution=EXECUTION | given, at=AT, waves=300)


def a_lane(**fields):
    counts = dict.fromkeys(COUNTED, 0) | {"redriven": 3, "left": 1}
    return Lane(**{"counts": counts, "empty_polls": EMPTY_POLLS} | fields).model_dump()


def told(done=(), **lane):
    """Return what a lane machine tells of its leg."""
    of_its_batch = {
        "done": [*done],
        "sent_at": 0,
        "failure": "",
        "cut_short": False,
        "in_hand": False,
    }
    return {"lane": a_lane(**lane)} | of_its_batch


def lines(text):
    return [json.loads(line) for line in text.splitlines() if '"action"' in line]


def row() -> dict[str, Any]:
    return runs.find("run-1") or {}


# The run's


def test_run_begins_decides_and_finishes_step_by_step(output):
    run = begin()
    assert (run["next"], run["waves"]) == ("lanes", 300)
    run = conduct("decide", run=run, legs=[{"lane": a_lane()}])
    assert run["next"] == "finish"
    did = conduct("finish", run=run, at=AT)

    counts = dict.fromkeys(COUNTED, 0) | {"redriven": 3, "left": 1}
    assert did == {"run_id": "run-1", "status": "SUCCEEDED", "received": 3} | counts
    assert (row()["status"], row()["finished_at"]) == ("SUCCEEDED", "2026-11-30T12:00:00.500Z")
    told = [line for line in lines(output()) if line["status"] == "success"]
    assert [line["action"] for line in told] == ["begin_run", "decide_run", "finish_run"]
    assert {line["trace_id"] for line in told} == {"t-9"}
    assert [line["details"].get("next") for line in told] == ["lanes", "finish", None]


def test_step_after_a_wait_is_told_of_no_leg():
    run = begin() | {"lanes": [a_lane()]}

    assert conduct("decide", run=run, legs=[])["next"] == "finish"


def test_output_of_a_run_says_what_is_missing_only_if_something_is():
    run = begin() | {"status": "HALTED", "in_flight": 2, "missing": 1, "reason": "why"}
    did = conduct("finish", run=run, at=AT)

    also = {"status": "HALTED", "in_flight": 2, "missing": 1, "reason": "why"}
    assert also.items() <= did.items()


def hold(records=1, lane=0):
    """Leave one message in flight a record."""
    for number in range(records):
        aws.sqs().send_message(
            QueueUrl=DLQ, MessageBody="b", MessageGroupId=f"g-{number}",
            MessageDeduplicationId=f"d-{number}",
        )  # fmt: skip
        (found,) = aws.sqs().receive_message(QueueUrl=DLQ, VisibilityTimeout=600)["Messages"]
        in_flight.note("run-1", default(), lane, number, [found["ReceiptHandle"]])


def visible():
    answer = aws.sqs().receive_message(QueueUrl=DLQ, MaxNumberOfMessages=10, VisibilityTimeout=600)
    return len(answer.get("Messages", []))


@pytest.mark.parametrize("do", ["finish", "fail"])
def test_end_gives_back_what_was_left(do):
    run = begin() | {"lanes": [a_lane(records=2)]}
    hold(2)
    conduct(do, run=run, execution=EXECUTION, failure="X", at=AT)

    assert visible() == 2


def test_end_gives_back_what_every_lane_had_left():
    run = begin() | {"lanes": [a_lane(), a_lane(number=1, records=1)]}
    hold(lane=1)
    conduct("finish", run=run, at=AT)

    assert (visible(), row()["redriven"]) == (1, 6)


@pytest.mark.parametrize("do", ["finish", "fail"])
def test_end_that_cannot_give_back_is_an_end_and_the_sweep_gives_back(do, calls):
    run = begin() | {"lanes": [a_lane(records=1)]}
    hold()
    calls.error = ClientError({"Error": {"Code": "X"}}, "ChangeMessageVisibilityBatch")
    calls.error_at = "before ChangeMessageVisibilityBatch"
    conduct(do, run=run, execution=EXECUTION, failure="X", at=AT)

    assert (row()["status"], visible()) == ("SUCCEEDED" if do == "finish" else "FAILED", 0)
    assert in_flight.recover() == ["run-1"]
    assert visible() == 1


def test_finish_without_the_lock_is_told_by_name_and_then_fails():
    run = begin()
    run_lock.release("run-1", default())
    ownership.acquire("run-2", default(), "api", an_operator(), {})
    with pytest.raises(LeaseLost):
        conduct("finish", run=run, at=AT)
    said = conduct("fail", run=run, legs=[], failure="LeaseLost", execution=EXECUTION, at=AT)

    assert said == {"failure": "LeaseLost", "reason": ""}
    assert (row()["status"], row()["failure"]) == ("FAILED", "LeaseLost")


def test_failure_of_a_run_that_never_began_is_accounted_for():
    said = conduct(
        "fail", run={}, legs=[], failure="States.Timeout", execution=EXECUTION, at=AT
    )  # fmt: skip

    assert said == {"failure": "States.Timeout", "reason": ""}
    assert [record["action"] for record in audited()] == ["end_run"]


def test_failure_that_the_run_decided_on_keeps_its_reason():
    run = begin(Input={"requst": {}})
    said = conduct("fail", run=run, legs=[], failure=run["failure"], execution=EXECUTION, at=AT)

    assert said["failure"] == row()["failure"] == "InvalidInput"
    assert said["reason"] == row()["reason"]
    assert "did you mean request?" in said["reason"]


def test_failure_of_a_decision_counts_the_leg_that_it_was_asked_about():
    asked = [Asked(verdict="quarantine", id="m-1", redrives=0)]
    heard = {"told": told(asked=asked, done=["0"])}
    conduct("fail", run=begin(), legs=[heard], failure="X", execution=EXECUTION, at=AT)

    assert (row()["redriven"], row()["quarantined"], row()["received"]) == (3, 1, 4)


def test_failure_of_a_decision_on_a_lost_leg_counts_what_its_guards_had_written():
    run = begin()
    found = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": "run-1"})["Item"]
    aws.dynamodb().put_item(TableName="Runs", Item=found | {"lane_0": {"redriven": 6}})
    conduct("fail", run=run, legs=[{"error": "X"}], failure="Y", execution=EXECUTION, at=AT)

    assert (row()["redriven"], row()["received"]) == (6, 6)


# The lane's


def test_leg_is_settled_in_the_ledger_by_its_own_lane(output):
    asked = [Asked(verdict="redrive", id="m-1", redrives=1)]
    in_trouble(
        message=a_message(message_id="m-1"), status="REDRIVEN", trouble="REDRIVING", redrives=2,
        redriven_by="run-1",
    )  # fmt: skip
    leg = told(asked=asked, done=[], number=3)
    for _ in range(2):  # and once if the state is tried again
        answer = conduct("settle", run_id="run-1", trace_id="t-9", leg=leg)

    lane = answer["lane"]
    assert (lane["number"], lane["counts"]["failed"]) == (3, 1)
    assert (lane["asked"], lane["unsent"], lane["unsure"]) == ([], [], [])
    assert (ledger_row("m-1")["status"], ledger_row("m-1")["trouble"]) == ("DEAD", "DEAD")
    (line, _) = [line for line in lines(output()) if line["status"] == "success"]
    assert (line["action"], line["trace_id"]) == ("settle_leg", "t-9")


def validate(*messages, lane=None, **event):
    given: dict[str, Any] = {
        "request": {}, "run_id": "run-1", "execution_arn": "arn:leg", "trace_id": "t-9",
        "lane": (lane or Lane(size=10)).model_dump(), "done": [], "sent_at": 0,
        "queue": "default",
    }  # fmt: skip
    found = validate_messages.handler(given | {"messages": list(messages)} | event, CONTEXT)
    assert json.loads(json.dumps(found)) == found
    return found


def letter(message, number=0):
    """Return a dead letter: a message of ours, or any text."""
    body, group = (message, "g") if isinstance(message, str) else (message.body(), message.group_id)
    return {
        "MessageId": f"sqs-{number}", "Body": body, "ReceiptHandle": f"handle-{number}",
        "Attributes": {"MessageGroupId": group},
    }  # fmt: skip


def test_request_that_is_refused_is_told_without_its_values():
    # Lambda logs what a function raises, text and all.
    request = {"filter": {"payload": {"iban": [CANARY]}}, "canary": {"messages": CANARY}}
    with pytest.raises(ValueError, match=r"filter\.payload\.iban") as raised:
        validate(request=request)

    assert CANARY not in str(raised.value)


def test_each_message_has_its_verdict_and_no_body_is_told(output):
    answer = validate(*(letter(CANARY * n, n) for n in range(3)))

    assert [verdict["index"] for verdict in answer["verdicts"]] == [0, 1, 2]
    assert [one["verdict"] for one in answer["lane"]["asked"]] == ["quarantine"] * 3
    text = output()
    assert CANARY not in text
    assert lines(text)[1]["details"]["verdicts"] == ["quarantine"] * 3


def test_batch_before_is_added_up_before_its_progress_is_written():
    asked = [Asked(verdict="redrive", id=f"m-{n}", redrives=0) for n in range(2)]
    answer = validate(lane=Lane(size=10, asked=asked, turns=4), done=["1"], sent_at=7)
    lane = answer["lane"]

    assert (lane["counts"]["redriven"], lane["counts"]["failed"], lane["sent_at"]) == (1, 1, 7)
    assert lane["unsent"] == [{"id": "m-0", "redrives": 1}]
    settled = {"M": {"turn": {"N": "4"}, "unsent": {"L": [{"S": "m-0"}]}}}
    assert settled in answer["common"][1]["Parameters"]
    counts = {"M": {"redriven": {"N": "1"}, "failed": {"N": "1"}}}
    assert counts in answer["common"][1]["Parameters"]


def test_batch_has_the_mark_of_its_turn():
    message = in_trouble()
    answer = validate(letter(message), lane=Lane(size=10, number=3, turns=8))

    assert answer["lane"]["mark"] == "run-1#3.9"
    (shown,) = answer["verdicts"]
    assert {"S": "run-1#3.9"} in shown["statement"]["Parameters"]
    assert {"L": [{"S": "arn:leg"}]} in shown["statement"]["Parameters"]


def test_what_is_left_is_noted_before_anything_is_guarded():
    messages = [
        in_trouble(message=a_message(message_id=f"m-{n}", group_id=f"g-{n}")) for n in range(3)
    ]
    wanted = {"filter": {"message_ids": ["m-1"]}}
    lane = Lane(size=10, number=2, records=4)
    for _ in range(2):  # and once if the state is tried again
        answer = validate(
            *(letter(m, n) for n, m in enumerate(messages)), request=wanted, lane=lane
        )

    assert answer["lane"]["records"] == 5
    (record,) = map(dict[str, Any], aws.dynamodb().scan(TableName="Runs")["Items"])
    assert record["run_id"] == "HELD#run-1#2.4"
    assert record["receipt_handles"] == ["handle-0", "handle-2"]


def test_batch_of_which_nothing_is_left_makes_no_record():
    answer = validate(letter("foreign"))

    assert answer["lane"]["records"] == 0
    assert aws.dynamodb().scan(TableName="Runs")["Items"] == []


def test_rate_of_the_lane_bounds_its_batch():
    message = in_trouble()

    assert validate(letter(message), lane=Lane(size=10, rate=1))["lane"]["gap"] == 1_000

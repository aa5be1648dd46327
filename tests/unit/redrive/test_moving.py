"""What receives where messages are large, and deals itself with one that fits no state."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas import receive_large_dead_letters
from tests.support.aws_calls import Calls, WorkerDied
from tests.support.cloud import ENVIRONMENT, drain
from tests.support.invocations import CONTEXT
from tests.support.messages import a_message
from workflows.ledger import large, lookup
from workflows.queues.payloads import PayloadUnreadable
from workflows.queues.queue import default
from workflows.redrive import batch, run_lock, state_bytes
from workflows.redrive.lane import Lane, begin_leg
from workflows.runtime import aws, clock

RUN = "run-1"
DLQ, WORK = ENVIRONMENT["DEAD_LETTER_QUEUE_URL"], ENVIRONMENT["WORK_QUEUE_URL"]
SMALL, LARGE = 100, 9_000


@pytest.fixture(autouse=True)
def _little_room(tables, queues, monkeypatch):
    """Let so little fit a state and a row that the messages can be small; and give a run."""
    monkeypatch.setattr(state_bytes, "_STATE_BYTES", 8_000)
    monkeypatch.setattr(state_bytes, "_FILTERED_STATE_BYTES", 8_000)
    monkeypatch.setattr(large, "_MOST_BYTES", 8_000)
    monkeypatch.setattr(large, "_PART_LETTERS", 3_000)
    put("Runs", run_id=RUN, status="RUNNING", trigger="api")
    put("Runs", run_id=run_lock.key(default()), holder=RUN)


def put(table, **item: Any):
    aws.dynamodb().put_item(TableName=table, Item=item)


def dead(number, size, **columns):
    message = a_message(message_id=f"m-{number}", group_id=f"g-{number}")
    row: dict[str, Any] = {
        "message_id": message.message_id, "status": "DEAD", "type": message.type,
        "group_id": message.group_id, "payload_hash": message.payload_hash, "redrives": 0,
        "attempts_total": 5, "first_sent_at": clock.now(), "journey": [], "execution_arns": [],
        "trouble": "DEAD", "reason": {"type": "X", "message": "x"},
    }  # fmt: skip
    put("Messages", **row | columns)
    put_on_dlq(message.body().ljust(size), message.group_id)
    return message


def put_on_dlq(body, group):
    aws.sqs().send_message(
        QueueUrl=DLQ, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=group
    )


def a_lane(**fields):
    lane = Lane(size=10, measured=True, **fields)
    begin_leg(lane, RUN, 1, may_receive=None, may_redrive=None, waves=300)
    return lane


def receive(lane=None, tried=0, **request):
    answer = receive_large_dead_letters.handler(
        {
            "run_id": RUN, "trace_id": "t", "request": request, "queue": "default",
            "execution_arn": "arn:leg", "lane": (lane or a_lane()).model_dump(), "done": [],
            "sent_at": 0, "wait": 0, "tried": tried,
        },
        CONTEXT,
    )  # fmt: skip
    json.dumps(answer)  # a state has it
    return answer["Messages"], Lane.model_validate(answer["lane"])


def visible():
    return {message["Body"].strip() for message in drain(aws.sqs(), DLQ)}


def test_what_fits_is_handed_on_in_order_and_the_rest_is_visible_again():
    bodies = [dead(n, 2_000).body() for n in range(4)]

    messages, lane = receive()

    assert [message["Body"].strip() for message in messages] == bodies[:1]
    assert (lane.size, lane.turns, lane.moved) == (1, 0, False)
    assert visible() == {*bodies[1:]}


def test_as_many_more_are_asked_for_as_fit():
    dead(1, SMALL)

    _, lane = receive(a_lane(turns=3))

    assert lane.size == 10
    assert receive(Lane(size=2, measured=True, poll=2, attempt_id="a"))[1].size == 4


def test_one_that_points_to_what_s3_does_not_give_is_left_and_ends_the_leg(monkeypatch):
    message = dead(1, LARGE)

    def denied(*_):
        raise PayloadUnreadable("S3 says AccessDenied of an object in team-payloads.")

    monkeypatch.setattr(batch, "ask", denied)

    messages, lane = receive()

    assert (messages, lane.moved, lane.failure) == ([], True, "PayloadUnreadable")
    assert (lane.over_because, lane.counts["redriven"]) == ("It failed.", 0)
    assert visible() == {message.body()}


def test_one_that_fits_no_state_is_sent_and_deleted_under_its_guard():
    message = dead(1, LARGE)

    messages, lane = receive()

    assert (messages, lane.moved, lane.failure) == ([], True, "")
    assert (lane.counts["redriven"], lane.turns, lane.settled) == (1, 1, 1)
    assert lane.sent_at > 0
    (sent,) = drain(aws.sqs(), WORK)
    assert sent["Body"] == message.body().ljust(LARGE)
    assert sent["Attributes"]["MessageDeduplicationId"] == "m-1.r1"
    row = lookup.get("m-1")
    assert (row["status"], row["redrives"], row["redrive_mark"]) == ("REDRIVEN", 1, f"{RUN}#0.1")
    assert visible() == set()


def test_one_that_a_filter_leaves_stays_in_flight_and_is_noted():
    dead(1, LARGE)

    _, lane = receive(filter={"reason": "Nobody"})

    assert (lane.counts["left"], lane.records, lane.failure) == (1, 1, "")
    assert (drain(aws.sqs(), WORK), visible()) == ([], set())


def test_one_that_fits_no_row_is_stored_in_parts_with_its_attributes():
    put_on_dlq("é" * 5_000, "g")

    _, lane = receive()

    assert (lane.counts["quarantined"], visible()) == (1, set())
    (message_id,) = _strangers()
    row = lookup.get(message_id)
    assert row["body"] == "é" * 5_000
    assert row[large.IN_PARTS]["parts"] > 1


def _strangers():
    for row in aws.dynamodb().scan(TableName="Messages")["Items"]:
        if str(row["message_id"]).startswith("sqs:"):
            yield row["message_id"]


def test_row_whose_parts_are_gone_has_no_body():
    put_on_dlq("é" * 5_000, "g")
    receive()
    (message_id,) = _strangers()
    told = lookup.get(message_id)[large.IN_PARTS]
    key = f"#{message_id}#{told['of']}#0"
    aws.dynamodb().delete_item(TableName="Messages", Key={"message_id": key})

    assert "body" not in lookup.get(message_id)


def test_one_that_changed_meanwhile_is_refused_and_visible_again(monkeypatch):
    message = dead(1, LARGE)
    judged = lookup.get_many
    older = {"attempts_total": 4}
    monkeypatch.setattr(
        lookup,
        "get_many",
        lambda *ids, **named: {one: row | older for one, row in judged(*ids, **named).items()},
    )

    _, lane = receive()

    assert (lane.counts["failed"], lane.failure) == (1, "")
    assert (drain(aws.sqs(), WORK), visible()) == ([], {message.body()})


def test_run_that_lost_its_lock_sends_nothing():
    message = dead(1, LARGE)
    put("Runs", run_id=run_lock.key(default()), holder="another")

    _, lane = receive()

    assert (lane.failure, lane.over_because) == ("LeaseLost", "It failed.")
    assert (drain(aws.sqs(), WORK), visible()) == ([], {message.body()})


@pytest.mark.parametrize(
    ("call", "unsure", "redriven"),
    [("BatchExecuteStatement", ["m-1"], 0), ("SendMessage", ["m-1"], 0), ("DeleteMessage", [], 1)],
)
def test_call_that_fails_ends_the_leg_and_loses_nothing(call, unsure, redriven):
    message = dead(1, LARGE)
    calls = Calls()
    calls.error = ClientError({"Error": {"Code": "InternalError", "Message": "made up"}}, call)
    calls.error_at = f"before {call}"

    _, lane = receive()

    assert (lane.failure, lane.over_because) == ("InternalError", "It failed.")
    assert (lane.unsure, lane.counts["redriven"]) == (unsure, redriven)
    assert visible() == {message.body()}


def test_call_that_was_cut_off_is_not_repeated_and_its_turn_stays_open():
    dead(1, LARGE)
    calls = Calls()
    calls.error_at = "after BatchExecuteStatement"
    with pytest.raises(WorkerDied):
        receive()
    dead(2, LARGE)

    messages, lane = receive(tried=1)

    assert (messages, lane.failure, lane.turns) == ([], "MoveUnanswered", 0)
    assert lookup.get("m-2")["status"] == "DEAD"


def test_try_that_was_given_up_moves_nothing_any_more():
    dead(1, LARGE)
    receive(tried=1, filter={"reason": "Nobody"})
    dead(2, LARGE)
    _, late = receive(tried=0)
    assert (late.failure, lookup.get("m-2")["status"]) == ("MoveUnanswered", "DEAD")


def test_later_try_does_what_the_one_before_it_did_not_begin():
    dead(1, LARGE)
    receive(a_lane(turns=4), tried=0, filter={"reason": "Nobody"})
    dead(2, LARGE)

    for tried in (1, 2):
        _, lane = receive(a_lane(turns=5), tried=tried)
        assert lane.failure == ("" if tried == 1 else "MoveUnanswered")
    assert lookup.get("m-2")["status"] == "REDRIVEN"

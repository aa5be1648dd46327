"""How a run begins: what it asks the queue, the lock and its input, and in which order."""

import json

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cloud import ENVIRONMENT, audited
from tests.support.messages import an_operator
from tests.support.pairs import STANDARD
from workflows.queues import registry
from workflows.queues.queue import default
from workflows.redrive import beginning, leg_executions, ownership, run_lock, runs, shares
from workflows.redrive.run import new
from workflows.redrive.state_bytes import batch_size
from workflows.runtime import aws

DLQ = ENVIRONMENT["DEAD_LETTER_QUEUE_URL"]
STATE_BYTES = 262_144
SCHEDULED = {"trigger": "schedule", "requested_by": "schedule"}
AT = "2026-11-30T12:00:00.000Z"


@pytest.fixture(autouse=True)
def sfn(tables, queues, machines):
    return machines


def begin(given_=None, run_id="run-1", at=AT):
    return beginning.begin(run_id, f"arn:{run_id}", {} if given_ is None else given_, at, 300)


def dead_letter(number=0):
    aws.sqs().send_message(
        QueueUrl=DLQ, MessageBody="b", MessageGroupId="g", MessageDeduplicationId=f"d-{number}"
    )


def row():
    return runs.find("run-1")


def actions():
    return [(record["action"], record["result"]) for record in audited()]


def test_run_takes_the_lock_its_record_and_its_first_leg():
    run = begin({"request": {"max_messages": 7}, "planned": 3, "trace_id": "t-1"})

    assert (run.next, run.request, run.planned) == ("lanes", {"max_messages": 7}, 3)
    assert (run.lanes[0].name, run.lanes[0].poll, run.lanes[0].waves_left) == ("run-1-l0-1", 7, 300)
    assert run.lanes[0].may_receive == 7
    lock, found = run_lock.find(default()), row()
    assert lock is not None
    assert found is not None
    assert lock["holder"] == "run-1"
    assert (found["status"], found["trigger"], found["trace_id"]) == ("RUNNING", "console", "t-1")
    (leg,) = leg_executions.of_row(found)
    assert leg.endswith(":redrive_lane:run-1-l0-1")


@pytest.mark.parametrize(
    ("request_", "step"),
    [({}, 0), ({"canary": {"messages": 5, "watch_seconds": 60}}, 5)],
)
def test_canary_is_the_first_step(request_, step):
    run = begin({"request": request_})

    assert run.step == step
    assert run.lanes[0].may_redrive == (step or None)


@pytest.mark.parametrize(
    ("request_", "count"), [({}, 2), ({"lanes": 3}, 3), ({"lanes": 3, "max_messages": 20}, 2)]
)
def test_lanes_begin_side_by_side_as_many_as_the_queue_is_deep_or_are_asked_for(
    monkeypatch, request_, count
):
    monkeypatch.setattr(shares, "_VISIBLE_A_LANE", 1)
    for number in range(2):
        dead_letter(number)
    run = begin({"request": request_})

    assert [lane.name for lane in run.at_work] == [f"run-1-l{n}-1" for n in range(count)]
    assert len(leg_executions.of_row(row() or {})) == count


@pytest.mark.usefixtures("later")  # which stops the clock
def test_asked_again_it_begins_the_same_run():
    first = begin({"request": {}})

    assert begin({"request": {}}) == first
    assert audited() == []


# Skipped


def test_scheduled_run_of_an_empty_queue_is_skipped_and_takes_nothing():
    for _ in range(2):
        run = begin(SCHEDULED)

    assert (run.next, run.reason) == ("skip", "The dead-letter queue is empty.")
    assert (run_lock.find(default()), row()) == (None, None)
    assert actions() == [("skip_run", "SKIPPED")]
    (record,) = audited()
    assert record["input"]["reason"] == "The dead-letter queue is empty."


def visible():
    """Leave the message that was sent on the queue."""


def in_flight():
    assert aws.sqs().receive_message(QueueUrl=DLQ, VisibilityTimeout=600)["Messages"]


@pytest.mark.parametrize("where", [visible, in_flight])
def test_scheduled_run_begins_with_a_message_wherever_it_is(where):
    dead_letter()
    where()

    assert begin(SCHEDULED).next == "lanes"


def test_scheduled_run_that_has_begun_is_not_skipped_when_it_is_asked_again():
    dead_letter()
    begin(SCHEDULED)  # whose answer is lost
    aws.sqs().purge_queue(QueueUrl=DLQ)

    assert begin(SCHEDULED).next == "lanes"
    assert actions() == []


def test_run_of_a_person_asks_the_empty_queue_itself():
    assert begin({}).next == "lanes"


@pytest.mark.parametrize("given_", [{}, SCHEDULED, {"request": "nonsense"}])
def test_run_that_finds_another_at_work_is_skipped_whatever_its_input(given_):
    dead_letter()
    ownership.acquire("run-0", default(), "api", an_operator(), {})
    run = begin(given_)

    assert run.next == "skip"
    assert run.reason == "Another run is active on this dead-letter queue."
    assert row() is None
    assert ("skip_run", "SKIPPED") in actions()


def test_run_whose_record_is_closed_does_nothing_more():
    begin({})
    assert row() is not None
    ownership.close(new("run-1", "arn:run-1", {}), AT)

    assert begin({}).next == "skip"


# The input


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({"request": {"max_mesages": 1}}, "request.max_mesages: is not known"),
        ({"requst": {}}, "requst: is not known"),
        ({"request": {"max_messages": 0}}, "request.max_messages"),
        ({"request": {"lanes": 0}}, "request.lanes: "),
        ({"request": {"lanes": 41}}, "request.lanes: "),
        ({"request": {"lanes": "many"}}, "request.lanes: "),
        ({"request": {"dry_run": True}}, "only POST /messages/dlq/reprocess makes plans"),
        ({"request": []}, "request"),
        ([], "input"),
        ("all", "input"),
        (7, "input"),
    ],
)
def test_input_that_is_not_understood_fails_the_run_with_its_record(given_, reason):
    run = begin(given_)

    assert (run.next, run.failure) == ("fail", "InvalidInput")
    assert run.reason.startswith("The input is not understood. ")
    assert reason in run.reason
    found = row()
    assert found is not None
    assert found["status"] == "RUNNING"  # which FailRun closes
    assert leg_executions.of_row(found) == []


NOBODY = ("console", "console", "run-1")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"trigger": "api", "requested_by": "o@example.com"}, NOBODY),
        ({"trigger": "schedule", "requested_by": "o"}, ("schedule", "schedule", "run-1")),
        ({"trace_id": "t" * 254}, ("console", "console", "t" * 254)),
        ({"trace_id": "t" * 255}, NOBODY),
        ({"trigger": "t", "requested_by": "", "trace_id": None}, NOBODY),
        ({"trigger": 1, "requested_by": [], "trace_id": {}}, NOBODY),
        ([], NOBODY),
        ("text", NOBODY),
        (None, NOBODY),
    ],
)
def test_no_input_names_a_person_or_the_api(said, kept):
    run = new("run-1", "arn", said)

    assert (run.trigger, run.requested_by, run.trace_id) == kept


def test_run_of_the_api_is_whose_its_record_says_whatever_its_input_says():
    ownership.acquire("run-1", default(), "api", an_operator(), {})

    run = begin({"trigger": "schedule", "requested_by": "another@example.com", "trace_id": "t-9"})

    actor = an_operator()
    assert (run.trigger, run.requested_by, run.trace_id) == ("api", actor.email, actor.trace_id)
    ownership.close(run, AT)
    assert {(one["actor"], one["role"]) for one in audited()} >= {(actor.email, "api")}
    assert not [one for one in audited() if one["actor"] == "another@example.com"]


def test_run_of_no_record_names_nobody_in_the_audit():
    run = begin({"trigger": "api", "requested_by": "another@example.com"})
    ownership.close(run, AT)

    (end,) = audited()
    assert (end["actor"], end["role"]) == ("console", "console")


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"max_messages": None, "max_per_second": 2}, {"max_per_second": 2}),
        (None, {}),
        ("text", "text"),
        ([1], [1]),
        (0, 0),
        (False, False),
    ],
)
def test_request_is_kept_as_it_was_but_for_what_says_nothing(asked, kept):
    assert new("run-1", "arn", {"request": asked}).request == kept


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(json_values | st.dictionaries(st.sampled_from(["request", "trigger"]), json_values))
def test_a_run_can_be_made_of_any_input(anything):
    run = new("run-1", "arn", anything)

    assert json.loads(run.model_dump_json()) == run.model_dump()


# How many messages fit a state

FILTERED = {"filter": {"type": "transaction"}}


@pytest.mark.parametrize(
    ("maximum", "request_", "size"),
    [
        (4_096, {}, 10), (12_000, {}, 10), (12_001, {}, 9), (122_880, {}, 1),
        (11_350, FILTERED, 10), (11_351, FILTERED, 9), (122_880, FILTERED, 1),
        (1_048_576, {}, 1),
    ],
)  # fmt: skip
def test_batch_is_as_large_as_a_state_takes(maximum, request_, size):
    assert batch_size(maximum, request_) == size


@given(st.integers(1_024, 122_880))
def test_no_batch_is_larger_than_a_state(maximum):
    size = batch_size(maximum, {})

    assert 1 <= size <= 10
    assert size == 1 or size * (2 * maximum + 2_000) < STATE_BYTES
    assert size == 10 or (size + 1) * (2 * maximum + 2_000) > 260_000


def test_size_is_that_of_the_queue_as_it_is():
    aws.sqs().set_queue_attributes(QueueUrl=DLQ, Attributes={"MaximumMessageSize": "12001"})

    assert begin({}).lanes[0].size == 9


def test_run_of_a_queue_that_nobody_registered_fails_and_is_in_its_list():
    arn = run_lock.execution_of("run-1")
    run = beginning.begin("run-1", arn, {"request": {"queue": "nobody-s"}}, AT, 300)

    assert (run.next, run.failure) == ("fail", "InvalidInput")
    (listed,), _ = runs.page_of("nobody-s", 10, None)
    assert listed["run_id"] == "run-1"
    with pytest.raises(registry.UnknownQueue):
        runs.page_of("unknown", 10, None)


@pytest.mark.parametrize("gone", [STANDARD.source_url, STANDARD.dead_letter_url])
def test_run_of_a_queue_that_is_gone_fails_at_once_and_says_which(gone):
    for url in {STANDARD.source_url, STANDARD.dead_letter_url} - {gone}:
        aws.sqs().create_queue(QueueName=url.rpartition("/")[2])
    registry.register(STANDARD, None)

    run = begin({"request": {"queue": "orders"}})

    assert (run.next, run.failure) == ("fail", "QueueMissing")
    assert run.reason == f"There is no queue {gone}."
    assert (row() or {})["status"] == "RUNNING"  # until it is closed, with failure and reason


def test_run_that_may_not_ask_whether_the_source_is_there_begins(monkeypatch):
    for url in (STANDARD.source_url, STANDARD.dead_letter_url):
        aws.sqs().create_queue(QueueName=url.rpartition("/")[2])
    registry.register(STANDARD, None)
    asked = aws.sqs().get_queue_attributes

    def denied(QueueUrl, **more):  # noqa: N803 - as boto3 has it
        if QueueUrl == STANDARD.source_url:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetQueueAttributes")
        return asked(QueueUrl=QueueUrl, **more)

    monkeypatch.setattr(aws.sqs(), "get_queue_attributes", denied)

    assert begin({"request": {"queue": "orders"}}).next == "lanes"

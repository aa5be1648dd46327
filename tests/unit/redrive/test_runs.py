"""Redrive runs: one at a time, never locked out by a run that is gone, and listed in pages."""

import base64
import json
import re

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ENVIRONMENT
from tests.support.messages import an_operator
from workflows.queues.queue import default
from workflows.redrive import ownership, requests, run_lock, runs
from workflows.redrive.ownership import RunActive
from workflows.redrive.requests import RedriveRequest
from workflows.redrive.run import new
from workflows.redrive.runs import RunEnded, RunNotFound
from workflows.runtime import aws, clock, executions
from workflows.runtime.paging import InvalidCursor

pytestmark = pytest.mark.usefixtures("recursion_limit")

QUEUE = "dead-letter.fifo"
MACHINE = ENVIRONMENT["REDRIVE_STATE_MACHINE_ARN"]
EXECUTION = MACHINE.replace("stateMachine", "execution") + ":run-1"
LEASE = int(ENVIRONMENT["RUN_LEASE_SECONDS"])
ALL = RedriveRequest()


@pytest.fixture(autouse=True)
def sfn(tables, machines):
    return machines


@pytest.fixture
def begin(sfn):
    """Give a function that takes the lock for a run and starts its execution."""

    def start(run_id):
        row = ownership.acquire(run_id, default(), "api", an_operator(), {})
        sfn.start_execution(stateMachineArn=MACHINE, name=run_id, input="{}")
        return row

    return start


def acquire(run_id):
    return ownership.acquire(run_id, default(), "api", an_operator(), {})


def lock():
    found = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": f"LOCK#{QUEUE}"})
    return found.get("Item")


def put_run(run_id, **attributes):
    usual = {"dead_letter_queue": QUEUE, "status": "SUCCEEDED", "started_at": clock.now()}
    started = {"trigger": "api", "requested_by": "o@example.com", "execution_arn": "arn:1"}
    item = {"run_id": run_id, "owned_at": clock.epoch()} | started | usual | attributes
    aws.dynamodb().put_item(TableName="Runs", Item=item)


def stop(sfn, run_id):
    sfn.stop_execution(executionArn=MACHINE.replace("stateMachine", "execution") + f":{run_id}")


@pytest.mark.usefixtures("later")  # the lock and the record each ask the clock
def test_free_lock_is_taken_and_the_run_recorded():
    row = acquire("run-1")

    assert row == runs.get("run-1")
    assert (lock()["holder"], lock()["lease_until"] - lock()["acquired_at"]) == ("run-1", LEASE)
    assert row.pop("started_at").endswith("Z")
    assert row.pop("owned_at") == lock()["acquired_at"]
    assert row == {
        "run_id": "run-1",
        "dead_letter_queue": QUEUE,
        "status": "RUNNING",
        "trigger": "api",
        "requested_by": "o@example.com",
        "request": "{}",
        "trace_id": "trace-1",
        "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:redrive:run-1",
        "received": 0,
        "redriven": 0,
        "quarantined": 0,
        "already_processed": 0,
        "discarded": 0,
        "failed": 0,
        "left": 0,
    }


def test_lock_is_exclusive_while_its_run_lives(begin):
    begin("run-1")

    with pytest.raises(RunActive, match="run-1") as raised:
        acquire("run-2")

    assert raised.value.run_id == "run-1"
    assert lock()["holder"] == "run-1"
    with pytest.raises(RunNotFound):
        runs.get("run-2")


def test_run_that_asks_again_keeps_its_lock(begin):
    begin("run-1")

    assert acquire("run-1")["run_id"] == "run-1"


def test_lock_of_a_stopped_run_is_taken_over_at_once_and_its_row_set_right(begin, sfn):
    begin("run-1")
    stop(sfn, "run-1")

    acquire("run-2")

    assert lock()["holder"] == "run-2"
    row = runs.get("run-1")
    assert (row["status"], row["failure"]) == ("ABORTED", "The execution was ended from outside.")
    assert row["finished_at"] >= row["started_at"]


@pytest.mark.parametrize(("seconds", "free"), [(0, False), (58, False), (61, True)])
def test_lock_without_an_execution_is_held_for_the_grace_of_a_start(later, seconds, free):
    acquire("run-1")
    later(seconds)

    if free:
        acquire("run-2")
    else:
        with pytest.raises(RunActive, match="run-1"):
            acquire("run-2")
    assert lock()["holder"] == ("run-2" if free else "run-1")


@pytest.mark.parametrize("seconds", [61, LEASE + 1])
def test_run_whose_execution_never_began_is_not_running_for_ever(later, seconds):
    acquire("run-1")
    assert runs.get("run-1")["status"] == "RUNNING"

    later(seconds)
    acquire("run-2")

    assert runs.get("run-1")["status"] == "FAILED"
    assert runs.get("run-2")["status"] == "RUNNING"


def test_lock_ends_with_its_lease_even_if_the_execution_seems_to_run(begin, later):
    begin("run-1")
    later(LEASE - 1)
    with pytest.raises(RunActive):
        acquire("run-2")

    later(2)
    acquire("run-2")
    assert lock()["holder"] == "run-2"


def test_only_the_first_to_notice_a_dead_run_gets_its_lock(begin, sfn, monkeypatch):
    begin("run-1")
    stop(sfn, "run-1")
    alive = run_lock.is_alive

    def overtaken(found):
        monkeypatch.setattr(run_lock, "is_alive", alive)
        begin("run-2")
        return alive(found)

    monkeypatch.setattr(run_lock, "is_alive", overtaken)
    with pytest.raises(RunActive):
        acquire("run-3")
    assert lock()["holder"] == "run-2"


@pytest.fixture
def begun_since(begin, later, monkeypatch):
    """Let an execution that was given up begin, after somebody asked for its status."""
    begin("run-1")
    later(61)
    status_of = executions.execution_status

    def ask(_):
        monkeypatch.setattr(executions, "execution_status", status_of)
        assert ownership.claim(new("run-1", EXECUTION, {}), default())

    monkeypatch.setattr(executions, "execution_status", ask)


@pytest.mark.usefixtures("begun_since")
@pytest.mark.parametrize(
    "look",
    [lambda: runs.get("run-1"), lambda: runs.page(10, None, default())[0][0]],
    ids=["get", "list"],
)
def test_run_that_begins_while_somebody_looks_goes_on(look):
    row = look()

    assert (row["status"], row["execution_arn"]) == ("RUNNING", EXECUTION)
    assert "failure" not in row


@pytest.mark.usefixtures("begun_since")
def test_run_that_begins_while_it_is_cancelled_is_cancelled():
    assert runs.cancel("run-1", an_operator())["status"] == "CANCELLING"


@pytest.mark.usefixtures("begun_since")
def test_lock_of_a_run_that_begins_while_another_asks_for_it_is_kept():
    with pytest.raises(RunActive, match="run-1"):
        acquire("run-2")
    assert (lock()["holder"], runs.get("run-1")["status"]) == ("run-1", "RUNNING")


@pytest.mark.usefixtures("begun_since")
def test_lock_of_a_run_that_begins_during_a_sweep_is_kept():
    assert ownership.recover(default()) is None
    assert (lock()["holder"], runs.get("run-1")["status"]) == ("run-1", "RUNNING")


def test_run_that_began_although_its_start_seemed_to_fail_goes_on(begin):
    row = begin("run-1")
    assert ownership.claim(new("run-1", EXECUTION, {}), default())

    ownership.abandon(row, "The execution could not be started.")

    assert runs.get("run-1")["status"] == "RUNNING"
    assert lock()["holder"] == "run-1"


def test_second_of_two_cancels_at_once_is_no_refusal(begin, monkeypatch):
    begin("run-1")
    transact = aws.transact

    def overtaken(writes):
        monkeypatch.setattr(runs, "transact", transact)
        runs.cancel("run-1", an_operator())
        return transact(writes)

    monkeypatch.setattr(runs, "transact", overtaken)

    assert runs.cancel("run-1", an_operator())["status"] == "CANCELLING"


def test_run_that_ends_while_it_is_cancelled_has_ended(begin, monkeypatch):
    begin("run-1")
    transact = aws.transact

    def overtaken(writes):
        put_run("run-1")
        return transact(writes)

    monkeypatch.setattr(runs, "transact", overtaken)

    with pytest.raises(RunEnded, match="SUCCEEDED"):
        runs.cancel("run-1", an_operator())


def test_abandoned_run_is_failed_and_its_lock_free():
    row = acquire("run-1")

    ownership.abandon(row, "no such machine")

    assert lock() is None
    row = runs.get("run-1")
    assert (row["status"], row["failure"]) == ("FAILED", "no such machine")
    assert acquire("run-2")["status"] == "RUNNING"


def test_abandoning_leaves_the_lock_that_somebody_else_has(later):
    row = acquire("run-1")
    later(LEASE + 1)
    acquire("run-2")

    ownership.abandon(row, "late")

    assert lock()["holder"] == "run-2"
    assert runs.get("run-1")["status"] == "FAILED"


def test_abandoning_keeps_the_word_of_a_run_that_ended():
    row = acquire("run-1")
    put_run("run-1", status="SUCCEEDED")

    ownership.abandon(row, "late")

    assert runs.get("run-1")["status"] == "SUCCEEDED"


def test_running_row_of_a_live_execution_is_shown_as_it_is(begin):
    row = begin("run-1")

    assert runs.get("run-1") == row


def test_row_is_set_right_when_it_is_read_after_a_stop(begin, sfn):
    begin("run-1")
    stop(sfn, "run-1")

    assert runs.get("run-1")["status"] == "ABORTED"
    assert runs.page(10, None, default())[0][0]["status"] == "ABORTED"


def test_row_that_the_machine_closed_meanwhile_keeps_its_word(begin, sfn, monkeypatch):
    begin("run-1")
    stop(sfn, "run-1")
    status = executions.execution_status

    def closed(arn):
        put_run("run-1", status="SUCCEEDED", redriven=3)
        return status(arn)

    monkeypatch.setattr(executions, "execution_status", closed)
    assert (runs.get("run-1")["status"], runs.get("run-1")["redriven"]) == ("SUCCEEDED", 3)


@pytest.mark.parametrize("run_id", ["unknown", f"LOCK#{QUEUE}"])
def test_what_is_no_run_is_not_found(run_id):
    acquire("run-1")

    with pytest.raises(RunNotFound, match=run_id):
        runs.get(run_id)


def listed(limit=2):
    pages, cursor = [], None
    for _ in range(10):
        rows, cursor = runs.page(limit, cursor, default())
        pages.append([row["run_id"] for row in rows])
        if cursor is None:
            return pages
    raise AssertionError("the pages have no end")


def test_pages_list_every_run_once_newest_first_and_no_lock():
    acquire("run-9")
    for number in range(5):
        put_run(f"run-{number}", started_at=f"2026-01-0{number + 1}T00:00:00.000Z")
    put_run("other", dead_letter_queue="other.fifo")

    pages = listed()

    assert [page for page in pages if page] == [
        ["run-9", "run-4"], ["run-3", "run-2"], ["run-1", "run-0"],
    ]  # fmt: skip


def test_no_runs_are_one_empty_page():
    assert runs.page(10, None, default()) == ([], None)


def cursor_of(text):
    return base64.urlsafe_b64encode(text.encode()).decode()


def forged(**changes):
    key = {"run_id": "run-1", "dead_letter_queue": QUEUE, "started_at": "2026"}
    return cursor_of(json.dumps(key | changes))


FORGED = {
    "text": "x",
    "not base64": "%%%",
    "not ASCII": "ä\ud800",
    "not UTF-8": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    "not JSON": cursor_of("{"),
    "array": cursor_of("[]"),
    "number": cursor_of("1"),
    "null": cursor_of("null"),
    "string": cursor_of('"x"'),
    "deep": cursor_of("[" * 5_000),
    "5,000 digits": cursor_of("1" * 5_000),
    "no key": cursor_of("{}"),
    "key of another table": cursor_of('{"message_id": "m-1"}'),
    "other queue": forged(dead_letter_queue="other.fifo"),
    "empty id": forged(run_id=""),
    "empty time": forged(started_at=""),
    "null id": forged(run_id=None),
    "object as id": forged(run_id={"S": "x"}),
}


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED)
def test_forged_cursor_is_told_so_and_asks_nothing(calls, cursor):
    with pytest.raises(InvalidCursor, match="cursor"):
        runs.page(10, cursor, default())
    assert calls.ends == []


def test_start_takes_the_lock_and_starts_the_machine_under_the_run_s_name(sfn):
    row = requests.start(RedriveRequest(max_messages=5), an_operator())

    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", row["run_id"])
    found = sfn.describe_execution(executionArn=row["execution_arn"])
    assert (found["name"], found["status"]) == (row["run_id"], "RUNNING")
    assert json.loads(row["request"]) == {"max_messages": 5}
    assert json.loads(found["input"]) == {
        "request": {"max_messages": 5},
        "trigger": "api",
        "requested_by": "o@example.com",
        "trace_id": "trace-1",
    }


def test_second_start_is_refused_while_the_first_run_lives(sfn):
    first = requests.start(ALL, an_operator())

    with pytest.raises(RunActive, match=first["run_id"]):
        requests.start(ALL, an_operator(trace_id="trace-2"))
    assert len(sfn.list_executions(stateMachineArn=MACHINE)["executions"]) == 1


@pytest.mark.parametrize("code", ["StateMachineDoesNotExist", "ThrottlingException"])
def test_run_that_cannot_be_started_gives_the_lock_back(calls, code):
    calls.error = ClientError({"Error": {"Code": code}}, "StartExecution")
    calls.error_at = "before StartExecution"
    with pytest.raises(ClientError, match=code):
        requests.start(ALL, an_operator())

    (failed,) = runs.page(10, None, default())[0]
    assert (failed["status"], lock()) == ("FAILED", None)
    assert requests.start(ALL, an_operator(trace_id="trace-2"))["status"] == "RUNNING"


ENDS = [f"{end} {call}" for call in ("UpdateItem", "TransactWriteItems", "StartExecution")
        for end in ("before", "after")]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_starter_that_dies_locks_nobody_out(calls, later, sfn, end):
    calls.error_at = end
    with pytest.raises(WorkerDied):
        requests.start(ALL, an_operator())

    if end == "after StartExecution":  # the run is on its way
        with pytest.raises(RunActive):
            requests.start(ALL, an_operator(trace_id="trace-2"))
    else:
        later(61)
        assert requests.start(ALL, an_operator(trace_id="trace-2"))["status"] == "RUNNING"


def test_start_makes_the_calls_whose_ends_are_tried_above(calls):
    requests.start(ALL, an_operator())

    assert calls.ends == ENDS


def test_request_that_nests_too_deep_to_be_shown_is_none():
    assert runs.parse_request('{"filter": {}}') == {"filter": {}}
    for levels in (101, 300, 5_000):
        assert runs.parse_request('{"a":' * levels + "1" + "}" * levels) == {}

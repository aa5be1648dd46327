"""A held group: stopped executions, crashing workers, native redrives, discards."""

import pytest

from local.deadline import wait_until
from tests.deployed import gates
from tests.support.scratch_project import deployed, scratch_project
from tests.support.stack_fixtures import dead_letter, queued, row, transaction

ELEVEN = list(range(1, 12))
# So many waits one after the other: on a busy machine the usual limit ends a test while all goes
# well. Each wait has a deadline of its own and says what it waited for.
pytestmark = [pytest.mark.xdist_group("fence hold"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    project = scratch_project(tmp_path_factory.mktemp("hold") / "project", crashing=True)
    gates.build_gates(project)
    with deployed(project, parameters={"MaxRedrives": "2"}) as entries:
        yield entries


@pytest.fixture(autouse=True)
def no_dead_letters(entries):
    entries.empty_dead_letter_queue()


def send_eleven(entries, group):
    """Send eleven entries of which the first fails until an account is unfrozen."""
    account = f"{group}-account"
    entries.freeze(account)
    entries.send(group, 1, frozen_by=account).expect(202)
    entries.is_held_up(group)
    for number in ELEVEN[1:]:
        entries.send(group, number).expect(202)
    return account


def backlog_is_parked(entries, group, numbers):
    wait_until(
        lambda: (entries.fence(group) or {}).get("parked") == len(numbers),
        30,
        f"{len(numbers)} messages of {group} are parked",
    )
    ids = entries.fence(group)["parked_message_ids"]
    assert ids == [f"{group}-{number}" for number in numbers]


def comes_back(entries, group, status, redrives):
    """Wait until the first entry of a group has this status after so many redrives."""

    def found():
        ledger = entries.row(group, 1)
        return (ledger["status"], ledger["redrives"]) == (status, redrives)

    wait_until(found, 30, f"{group}-1 is {status} after {redrives} redrives")


@pytest.fixture
def brought_again_soon(entries):
    with entries.brought_again_soon():
        yield


def stop_at(entries, group, state):
    """Let the group's execution come to a state, and stop it there; return its ARN."""
    execution = entries.execution(group)
    gates.arrives(entries, execution, state)
    entries.stop(execution)
    gates.open_all(entries, group)
    return execution


def test_held_group_resumes_in_order_after_a_stop_in_the_middle(entries):
    gates.close(entries, "held", "ProcessMessage")
    account = send_eleven(entries, "held")
    backlog_is_parked(entries, "held", ELEVEN[1:])
    stop_at(entries, "held", "ProcessMessage")

    entries.reaches("held", 1, "DEAD")  # by the execution that the event started
    assert entries.fence("held")["reason"] == "DEAD"
    assert entries.effects("held") == []
    assert entries.executions("held") == {"r0-g1": "ABORTED", "r0-g2": "SUCCEEDED"}
    entries.unfreeze(account)
    gates.close(entries, "held", "PromoteParked")
    entries.redrive(max_messages=1)
    entries.reaches("held", 1, "PROCESSED")
    stop_at(entries, "held", "PromoteParked")

    entries.are_processed("held", 11)
    assert entries.effects("held") == ELEVEN
    assert entries.executions("held") == {
        "r0-g1": "ABORTED",
        "r0-g2": "SUCCEEDED",
        "r1-g3": "ABORTED",
        "r1-g4": "SUCCEEDED",
    }


@pytest.mark.usefixtures("brought_again_soon")
def test_group_waits_behind_a_message_that_sqs_moved_after_three_crashes(entries):
    """SQS moves the whole batch; what came with the crashing message was parked before."""
    entries.consume(False)
    entries.send("crash", 1, crash=3).expect(202)
    entries.send("crash", 2).expect(202)
    entries.send("crash", 3).expect(202)
    entries.consume(True)
    wait_until(
        lambda: len(queued(entries.stack, "DeadLetter", "crash")) == 3, 60, "SQS moves the batch"
    )
    entries.send("crash", 4).expect(202)
    entries.reaches("crash", 4, "PARKED")
    assert entries.effects("crash") == []
    assert entries.fence("crash")["holder"] == "crash-1"

    run = entries.redrive(max_messages=3)
    entries.are_processed("crash", 4)
    assert entries.effects("crash") == [1, 2, 3, 4]
    assert (run["redriven"], run["already_processed"]) == (1, 2)  # two were parked besides
    assert queued(entries.stack, "DeadLetter", "crash") == []


def test_native_redrive_keeps_order_and_counts_and_quarantine_holds_until_a_discard(entries):
    account = send_eleven(entries, "native")
    entries.reaches("native", 1, "DEAD")
    for redrives, outcome in ((1, "DEAD"), (2, "DEAD"), (2, "QUARANTINED")):
        entries.redrive_natively()
        comes_back(entries, "native", outcome, redrives)

    assert entries.fence("native")["reason"] == "QUARANTINED"
    entries.unfreeze(account)
    backlog_is_parked(entries, "native", ELEVEN[1:])
    assert entries.effects("native") == []
    entries.api.call("POST", "/messages/native-1/discard", {"reason": "given up"}).expect(200)
    entries.are_processed("native", 10)
    assert entries.effects("native") == ELEVEN[1:]
    assert entries.status("native", 1) == "DISCARDED"


def test_lock_of_a_stopped_run_is_free_again(entries):
    dead_letter(entries.stack, transaction())
    canary = {"messages": 1, "watch_seconds": 600}
    entries.consume(False)  # or the message would end, and with it the run
    try:
        run = entries.api.reprocess(canary=canary).expect(202)
        lock = f"LOCK#{entries.stack.outputs['DeadLetterQueueUrl'].rpartition('/')[2]}"
        assert row(entries.stack, "Runs", lock)["holder"] == run["run_id"]
        entries.stop(run["execution_arn"])
    finally:
        entries.consume(True)

    wait_until(lambda: not row(entries.stack, "Runs", lock), 60, "the lock is free")
    assert row(entries.stack, "Runs", run["run_id"])["status"] == "ABORTED"

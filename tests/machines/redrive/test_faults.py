"""The redrive machine when something breaks: partial answers, crashes, and services that fail."""

import json
import uuid

import pytest

from local.client import Client
from local.deadline import wait_until
from tests.machines.scenarios.paths import NOTHING_RECEIVED
from tests.support.redrive_runs import (
    DONE,
    FAILED,
    GIVEN_BACK,
    JUDGED,
    LOCK,
    LOCK_IS_ANOTHERS,
    LOCKED,
    MAX_REDRIVES,
    NO_RECORD,
    QUEUE,
    REFUSED,
    START,
    STORED,
    WAVE,
    all_visible,
    audited,
    counters,
    is_visible_again,
    ledger,
    machine_with,
    maximum_message_size,
    on_dlq,
    process_all,
    received,
    redrive,
    sent,
    throw,
)
from tests.support.stack_fixtures import (
    balance,
    dead_letter,
    ended,
    events,
    history,
    put,
    put_on_dlq,
    queued,
    record,
    row,
    run_machine,
    start_machine,
    transaction,
    waits_scaled,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]


# Partial failures


def test_only_what_was_sent_is_deleted(stack):
    account = str(uuid.uuid4())
    large, later = transaction(account_id=account), transaction(account_id=account)
    other = transaction()
    body = dead_letter_of(stack, large, 2_000)
    dead_letter(stack, later)
    dead_letter(stack, other)

    with maximum_message_size(stack, "Work", 1_999):
        run = redrive(stack, 3)

    # The large one was refused; looked at again, it is this run's own and waits for another.
    assert counters(stack, run) == {"received": 2, "redriven": 1, "failed": 1, "left": 1}
    assert [m["Body"] for m in queued(stack, "Work")] == [other.body()]
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == [body, later.body()]
    assert all(letter["IsVisible"] for letter in queued(stack, "DeadLetter"))
    assert ledger(stack, large)["redrives"] == 1  # too high, never too low
    assert ledger(stack, later)["redrives"] == 0


def dead_letter_of(stack, message, size):
    """Make a message a dead letter whose body has this size; return the body."""
    body = message.body().ljust(size)
    record(stack, message, "DEAD")
    put_on_dlq(stack, body, message.group_id)
    return body


def test_nothing_is_deleted_when_no_message_could_be_sent(stack):
    bodies = [dead_letter_of(stack, transaction(), 2_000) for _ in range(3)]

    with maximum_message_size(stack, "Work", 1_999):
        run = redrive(stack, 3)

    assert run.status == "SUCCEEDED"
    assert run.states == [*START, *JUDGED, *WAVE, *REFUSED, *DONE]
    assert counters(stack, run) == {"received": 3, "failed": 3}
    assert queued(stack, "Work") == []
    assert [m["Body"] for m in queued(stack, "DeadLetter")] == bodies
    assert all(letter["IsVisible"] for letter in queued(stack, "DeadLetter"))


def all_failed(count):
    return [
        {"Id": str(n), "Code": "InternalError", "SenderFault": False, "Message": "made up"}
        for n in range(count)
    ]


def test_message_that_could_not_be_sent_goes_with_another_run(stack):
    message = transaction()
    dead_letter(stack, message)
    redrive(stack, 1, mocks={"RedriveMessages": [{"Return": {"Failed": all_failed(1)}}]})

    run = redrive(stack, 1)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert sent(stack, message)[0]["MessageDeduplicationId"] == f"{message.message_id}.r2"
    process_all(stack, message)
    assert balance(stack, message) == 10


def test_message_that_was_sent_but_not_deleted_has_one_effect_when_processed_first(stack):
    message, other = transaction(), transaction()
    run_with_stale_receipt(stack, message, other)
    process_all(stack, message, other)

    run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 2, "already_processed": 2}
    assert run.states == [*START, *JUDGED, *STORED, *DONE]
    assert queued(stack, "DeadLetter") == queued(stack, "Work") == []
    assert balance(stack, message) == balance(stack, other) == 10


def test_message_that_was_sent_but_not_deleted_has_one_effect_when_redriven_again(stack):
    message = transaction()
    run_with_stale_receipt(stack, message)

    run = redrive(stack, 1)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert [m["MessageDeduplicationId"][-3:] for m in sent(stack, message)] == [".r1", ".r2"]
    process_all(stack, message)
    assert balance(stack, message) == 10


def run_with_stale_receipt(stack, *messages):
    """Run a redrive that takes so long that SQS has made its dead letters visible again."""
    letters = [(dead_letter(stack, m), m.body(), m.group_id) for m in messages]
    run = redrive(stack, len(messages), mocks={"ReceiveDeadLetters": received(*letters)})
    assert counters(stack, run) == {"received": len(messages), "redriven": len(messages)}
    assert len(queued(stack, "DeadLetter")) == len(messages)


@pytest.mark.parametrize("body", ["not ours", None], ids=["foreign", "out of redrives"])
def test_quarantined_message_that_was_not_deleted_is_not_stored_twice(stack, body):
    message = transaction()
    if body:
        letter = put_on_dlq(stack, body, message.group_id)
        key = f"sqs:{letter}"
    else:
        letter = dead_letter(stack, message, redrives=MAX_REDRIVES)
        key = message.message_id
    first = (letter, body or message.body(), message.group_id)
    run = redrive(stack, 1, mocks={"ReceiveDeadLetters": received(first)})
    assert counters(stack, run) == {"received": 1, "quarantined": 1}
    stored = row(stack, "Messages", key)

    run = redrive(stack, 1)

    assert counters(stack, run) == {"received": 1, "already_processed": 1}
    assert row(stack, "Messages", key) == stored
    assert queued(stack, "DeadLetter") == []


@pytest.mark.parametrize("code", ["ThrottlingError", "TransactionConflict", "InternalServerError"])
def test_message_whose_guard_gave_no_answer_stays(stack, code):
    messages = [transaction(), transaction()]
    for message in messages:
        dead_letter(stack, message)

    run = redrive(stack, 2, mocks={"GuardLoop": guard_answers({}, {"Code": code})})

    assert counters(stack, run) == {"received": 2, "redriven": 1, "failed": 1}
    assert len(sent(stack, messages[0])) == 1
    assert is_visible_again(stack, messages[1])


def test_lease_that_could_not_be_prolonged_just_now_is_not_lost(stack):
    dead_letter(stack, transaction())
    lease = {"Code": "TransactionConflict"}

    run = redrive(stack, 1, mocks={"GuardLoop": guard_answers({}, lease)})

    assert counters(stack, run) == {"received": 1, "redriven": 1}


def test_left_out_messages_that_cannot_be_noted_fail_the_run_before_they_are_held(stack):
    message = transaction()
    dead_letter(stack, message)
    # The lease, the counters, the note.
    mocks = {"GuardLoop": guard_answers({}, {}, {"Code": "ThrottlingError"})}

    run = run_machine(stack, "redrive", {"request": {"filter": {"type": "other"}}}, mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "DynamoDb.ThrottlingError")
    assert "HoldDeadLetters" not in run.states
    assert len(queued(stack, "DeadLetter", message.group_id)) == 1


def guard_answers(*errors):
    """Return what GuardLoop's statements for messages answer: {} for done, or an error."""
    done = [{"Error": error} if error else {} for error in errors]
    responses = [*done, {}, {}, {}]
    return [{"Return": {"Responses": responses}}]


# Crashes: the execution is stopped while a state is at work, as in the console


def stop_in(stack, state, max_messages):
    """Start a run, stop it in a state whose service does not answer; let SQS time out its batch."""
    with waits_scaled(stack, 1):  # so that the state is still busy with its retries
        arn = start_machine(
            stack,
            "redrive",
            {"request": {"max_messages": max_messages}},
            mocks={state: throw("Some.ServiceException")},
        )
        wait_until(lambda: history(stack, arn)[-1:] == [state], 60, f"the run is in {state}")
        stack.client("stepfunctions").stop_execution(executionArn=arn)
    make_visible(stack, arn)
    return arn.rpartition(":")[2]


def make_visible(stack, execution_arn):
    """Make visible what an execution received, as SQS does after the visibility timeout."""
    entries = [
        {"Id": str(uuid.uuid4()), "ReceiptHandle": letter["ReceiptHandle"], "VisibilityTimeout": 0}
        for event in events(stack, execution_arn)
        if event["type"] == "TaskSucceeded"
        for letter in json.loads(event["taskSucceededEventDetails"]["output"]).get("Messages", [])
    ]
    stack.client("sqs").change_message_visibility_batch(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"], Entries=entries
    )


def expire_lease(stack):
    """Let the time pass after which the lock of a run that says nothing is free."""
    lock = row(stack, "Runs", LOCK)
    if lock:  # unless the event of its end freed it already
        put(stack, "Runs", lock | {"lease_until": 1})


def test_crash_before_the_guard_changes_nothing(stack):
    message = transaction()
    dead_letter(stack, message)
    before = ledger(stack, message)

    stop_in(stack, "GuardLoop", 1)

    assert ledger(stack, message) == before
    expire_lease(stack)
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "redriven": 1}


def test_crash_between_guard_and_send_loses_nothing(stack):
    message = transaction()
    dead_letter(stack, message)

    stop_in(stack, "RedriveMessages", 1)

    assert sent(stack, message) == []
    expire_lease(stack)
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "redriven": 1}
    assert ledger(stack, message)["redrives"] == 2  # one too high
    assert [m["MessageDeduplicationId"][-3:] for m in sent(stack, message)] == [".r2"]
    process_all(stack, message)
    assert balance(stack, message) == 10


def test_crash_between_send_and_delete_has_one_effect(stack):
    message = transaction()
    dead_letter(stack, message)

    stop_in(stack, "DeleteDeadLetters", 1)

    process_all(stack, message)
    expire_lease(stack)
    assert counters(stack, redrive(stack, 1)) == {"received": 1, "already_processed": 1}
    assert queued(stack, "DeadLetter") == queued(stack, "Work") == []
    assert balance(stack, message) == 10


def test_crash_between_delete_and_bookkeeping_keeps_the_message(stack):
    message = transaction()
    dead_letter(stack, message)

    run_id = stop_in(stack, "FinishRun", 1)

    assert row(stack, "Runs", run_id)["status"] in ("RUNNING", "ABORTED")
    assert queued(stack, "DeadLetter") == []
    process_all(stack, message)
    assert balance(stack, message) == 10


def test_lock_of_a_stopped_run_is_taken_over_by_the_next_start_through_the_api(stack):
    message = transaction()
    dead_letter(stack, message)
    stopped = stop_in(stack, "ValidateMessages", 1)
    assert row(stack, "Runs", LOCK).get("holder") in (stopped, None)  # an event may free it

    answer = Client(stack.api_url).signed_in(**stack.users["operator"]).reprocess(1)

    assert answer.status == 202
    run = ended(stack, answer.json["execution_arn"])
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    started = row(stack, "Runs", run.name)
    assert (started["trigger"], started["requested_by"]) == ("api", "operator@example.com")
    assert row(stack, "Runs", stopped)["status"] == "ABORTED"
    assert row(stack, "Runs", LOCK) == {}


def test_lock_of_a_stopped_run_is_free_for_a_schedule_when_its_lease_ends(stack):
    stopped = f"run-{uuid.uuid4()}"
    put(stack, "Runs", {"run_id": LOCK, "holder": stopped, "lease_until": 4_102_444_800})
    schedule = {"trigger": "schedule", "requested_by": "schedule", "request": {"max_messages": 1}}
    message = transaction()
    dead_letter(stack, message)

    assert run_machine(stack, "redrive", schedule).output["status"] == "SKIPPED"
    expire_lease(stack)
    run = run_machine(stack, "redrive", schedule)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert row(stack, "Runs", run.name)["trigger"] == "schedule"


# Loud failures


@pytest.mark.parametrize(
    "state",
    ["ReceiveDeadLetters", "ValidateMessages", "GuardLoop", "RedriveMessages"],
)
def test_service_that_fails_for_good_fails_the_run_before_anything_is_sent(stack, state):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(stack, 1, mocks={state: throw("Some.ServiceException")})

    assert_failed_loudly(stack, run, state)
    assert counters(stack, run) == {}
    assert len(on_dlq(stack, message)) == 1
    assert sent(stack, message) == []
    assert ledger(stack, message)["redrives"] == (1 if state == "RedriveMessages" else 0)


def assert_failed_loudly(stack, run, state, error="Some.ServiceException"):
    assert (run.status, run.error) == ("FAILED", error)
    end = FAILED if state in NOTHING_RECEIVED else GIVEN_BACK
    assert run.states[-1 - len(end) :] == [state, *end]
    assert all_visible(stack)
    recorded = row(stack, "Runs", run.name)
    assert (recorded["status"], recorded["failure"]) == ("FAILED", error)
    assert recorded["finished_at"]
    assert row(stack, "Runs", LOCK) == {}


def test_failure_to_delete_fails_the_run_and_deletes_nothing(stack):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(stack, 1, mocks={"DeleteDeadLetters": throw("Some.ServiceException")})

    assert_failed_loudly(stack, run, "DeleteDeadLetters")
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert len(on_dlq(stack, message)) == len(sent(stack, message)) == 1


def test_queue_that_cannot_be_inspected_fails_the_run_before_it_has_a_record(stack):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(stack, 1, mocks={"InspectQueue": throw("Some.ServiceException")})

    assert (run.status, run.error) == ("FAILED", "Some.ServiceException")
    assert run.states == ["InspectQueue", *NO_RECORD]
    assert row(stack, "Runs", run.name) == row(stack, "Runs", LOCK) == {}
    (record,) = audited(stack, run.name)
    assert (record["action"], record["result"]) == ("end_run", "FAILED")
    assert len(on_dlq(stack, message)) == 1
    assert sent(stack, message) == []


def test_run_of_a_person_whose_queue_cannot_be_inspected_is_recorded_as_failed(stack):
    run_id = f"run-{uuid.uuid4()}"
    put(stack, "Runs", {"run_id": LOCK, "holder": run_id, "lease_until": 4_102_444_800})
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING", "trigger": "api"})

    run = run_machine(
        stack,
        "redrive",
        {"trigger": "api"},
        name=run_id,
        mocks={"InspectQueue": throw("Some.ServiceException")},
    )

    assert_failed_loudly(stack, run, "InspectQueue")


def test_failure_to_hold_what_stays_fails_the_run(stack):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(
        stack,
        1,
        mocks={
            "RedriveMessages": [{"Return": {"Failed": all_failed(1)}}],
            "HoldDeadLetters": throw("Some.ServiceException"),
        },
    )

    assert_failed_loudly(stack, run, "HoldDeadLetters")
    assert len(on_dlq(stack, message)) == 1


def test_failure_to_finish_fails_the_run_with_true_counters(stack):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(stack, 1, mocks={"FinishRun": throw("Some.ServiceException")})

    assert_failed_loudly(stack, run, "FinishRun")
    assert counters(stack, run) == {"received": 1, "redriven": 1}


def test_run_that_cannot_even_start_fails_and_takes_no_lock(stack):
    run = redrive(stack, 1, mocks={"AcquireRun": throw("DynamoDb.ResourceNotFoundException")})

    assert (run.status, run.error) == ("FAILED", "DynamoDb.ResourceNotFoundException")
    assert run.states == [*LOCKED, "RunFailed"]
    assert row(stack, "Runs", LOCK) == {}


def test_run_whose_failure_cannot_be_recorded_fails_with_the_first_error(stack):
    run = redrive(
        stack,
        1,
        mocks={"ReceiveDeadLetters": throw("Sqs.First"), "FailRun": throw("DynamoDb.Second")},
    )

    assert (run.status, run.error) == ("FAILED", "Sqs.First")
    assert run.states == [*START, "ReceiveDeadLetters", *GIVEN_BACK]
    # Until its lease ends, or the event of its end frees it.
    assert row(stack, "Runs", LOCK).get("holder") in (run.name, None)


@pytest.mark.parametrize("code", ["ValidationError", "ResourceNotFound", "AccessDenied"])
def test_guard_statement_that_cannot_work_fails_the_run_before_anything_is_sent(stack, code):
    messages = [transaction(), transaction()]
    for message in messages:
        dead_letter(stack, message)

    run = redrive(stack, 2, mocks={"GuardLoop": guard_answers({}, {"Code": code})})

    assert_failed_loudly(stack, run, "AnyToRedrive", f"DynamoDb.{code}")
    assert queued(stack, "Work") == []
    assert len(queued(stack, "DeadLetter")) == 2


def test_work_queue_that_is_gone_fails_the_run_and_deletes_nothing(stack):
    message = transaction()
    dead_letter(stack, message)

    with machine_without(stack, stack.outputs["WorkQueueUrl"]) as arn:
        run = run_machine(stack, arn, {"request": {"max_messages": 1}})

    assert_failed_loudly(stack, run, "RedriveMessages", run.error)
    assert "NotExist" in str(run.error)
    assert len(on_dlq(stack, message)) == 1
    assert queued(stack, "Work") == []


def test_missing_table_of_runs_fails_the_run_at_once(stack):
    with machine_without(stack, stack.outputs["RunsTableName"]) as arn:
        run = run_machine(stack, arn)

    assert run.states == [*LOCKED, "RunFailed"]
    assert run.error == "DynamoDb.ResourceNotFoundException"


def test_dead_letter_queue_that_is_gone_fails_the_run_at_once(stack):
    with machine_without(stack, stack.outputs["DeadLetterQueueUrl"]) as arn:
        run = run_machine(stack, arn)

    assert run.states == ["InspectQueue", *NO_RECORD]
    assert "NotExist" in str(run.error)


def test_service_that_recovers_does_not_fail_the_run(stack):
    message, sqs = transaction(), stack.client("sqs")
    dead_letter(stack, message)
    work = stack.outputs["WorkQueueUrl"]

    with waits_scaled(stack, 1), machine_without(stack, work) as arn:  # 31 s of retries
        execution = start_machine(stack, arn, {"request": {"max_messages": 1}})
        wait_until(lambda: "TaskFailed" in str(events(stack, execution)), 60, "a send fails")
        url = sqs.create_queue(
            QueueName=gone(work).rpartition("/")[2], Attributes={"FifoQueue": "true"}
        )["QueueUrl"]
        run = ended(stack, execution)
    sqs.delete_queue(QueueUrl=url)

    assert run.states == [*START, *JUDGED, *WAVE, *DONE]
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert ledger(stack, message)["redrives"] == 1


def gone(resource):
    """Return a name that does not exist; a queue's keeps its ending."""
    return f"{resource[:-5]}-gone{resource[-5:]}"


def machine_without(stack, resource):
    """Give the redrive machine as deployed, except that one of its resources does not exist."""
    return machine_with(stack, resource, gone(resource))


def test_run_that_lost_its_lease_sends_nothing_more(stack):
    message, run_id = transaction(), f"run-{uuid.uuid4()}"
    dead_letter(stack, message)
    far = 4_102_444_800
    new_holder = {"run_id": LOCK, "holder": "another", "lease_until": far, "acquired_at": far}
    put(stack, "Runs", new_holder)
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING", "dead_letter_queue": QUEUE})

    run = redrive(stack, 1, name=run_id, mocks={"AcquireRun": [{"Return": {}}]})

    assert (run.status, run.error) == ("FAILED", "LeaseLost")
    assert run.states == [
        *START,
        *JUDGED,
        "GuardLoop",
        "AnyToRedrive",
        *LOCK_IS_ANOTHERS,
    ]
    assert row(stack, "Runs", run_id)["failure"] == "LeaseLost"
    assert row(stack, "Runs", LOCK) == new_holder
    assert queued(stack, "Work") == []
    assert len(on_dlq(stack, message)) == 1


def test_run_that_lost_its_lease_at_its_end_is_recorded_whole_and_leaves_the_lock(stack):
    message, run_id = transaction(), f"run-{uuid.uuid4()}"
    dead_letter(stack, message)
    new_holder = {"run_id": LOCK, "holder": "another", "lease_until": 4_102_444_800}
    put(stack, "Runs", new_holder)
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING", "dead_letter_queue": QUEUE})
    mocks = {"AcquireRun": [{"Return": {}}], "GuardLoop": guard_answers({})}

    run = redrive(stack, 1, name=run_id, mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "LeaseLost")
    assert run.states[-5:] == ["FinishRun", *LOCK_IS_ANOTHERS]
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert [entry["result"] for entry in audited(stack, run_id)] == ["FAILED"]
    assert row(stack, "Runs", LOCK) == new_holder

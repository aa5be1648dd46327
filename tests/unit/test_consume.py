"""Consuming: what becomes of a delivery, and of one whose worker died in the middle."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.support.accounts import balance, freeze
from tests.support.aws_calls import WorkerDied
from tests.support.cloud import ENVIRONMENT
from tests.support.fenced_group import consume_all, fence_of
from tests.support.messages import a_message, a_transaction
from tests.support.troubles import change, row
from workflows.consume import Delivery, MessageBusy
from workflows.groups.fence import FenceTaken
from workflows.ledger import claims, transitions
from workflows.messages import message_types
from workflows.messages.reasons import reason_of
from workflows.messages.transaction import AccountFrozen
from workflows.runtime.settings import settings

pytestmark = pytest.mark.usefixtures("dead_letters", "recursion_limit")

MESSAGE = a_message()
REJECTED = a_message(payload=a_transaction(kind="debit"))
OTHER = a_message(payload=a_transaction(amount="99"))
LEASE = int(ENVIRONMENT["CLAIM_LEASE_SECONDS"])
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
SQS_ID = "0000-sqs"


@pytest.fixture
def executions(machines):
    machine = ENVIRONMENT["RETRY_STATE_MACHINE_ARN"]
    return lambda: machines.list_executions(stateMachineArn=machine)["executions"]


def delivery(message=MESSAGE, group_id="acc-1", receive_count=1):
    body = message if isinstance(message, str) else message.body()
    return Delivery(body, group_id, SQS_ID, "1", receive_count)


def deliver(*args, **kwargs):
    (outcome,) = consume_all(delivery(*args, **kwargs))
    return outcome


def spelled(message):
    """Return the message in the bytes of another writer."""
    return json.dumps(json.loads(message.body()), indent=2).replace("acc-1", "\\u0061cc-1", 1)


def test_healthy_message_is_processed(dead_letters, executions):
    assert deliver() == "PROCESSED"

    assert balance() == 10
    assert (row()["status"], row()["attempts"]) == ("PROCESSED", 1)
    assert (dead_letters(), executions()) == ([], [])


def test_second_copy_of_a_processed_message_has_no_effect():
    deliver()

    assert deliver() == "SETTLED"
    assert balance() == 10


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("DISCARDED", "SETTLED"), ("QUARANTINED", "KEPT"), ("PARKED", "KEPT")],
)
@pytest.mark.parametrize("receive_count", [1, 2])
def test_message_that_needs_no_worker_is_acknowledged_untried(status, outcome, receive_count):
    claims.claim(MESSAGE)
    change(status=status)
    before = row()

    assert deliver(receive_count=receive_count) == outcome
    assert (row(), balance()) == (before, 0)
    # What is in quarantine and comes again had a worker that died before it raised the fence.
    assert (fence_of() is not None) == (receive_count == 2 and status == "QUARANTINED")


def test_message_in_another_worker_s_hands_stays_on_the_queue():
    claims.claim(MESSAGE)

    with pytest.raises(MessageBusy, match="m-1"):
        deliver()
    assert balance() == 0


def test_message_of_a_frozen_account_goes_to_the_retry_machine(dead_letters, executions):
    freeze()

    assert deliver() == "RETRYING"

    assert row()["status"] == "RETRYING"
    assert row()["reason"] == reason_of(
        AccountFrozen("Account {account_id} is frozen.", account_id="acc-1")
    )
    assert [execution["executionArn"] for execution in executions()] == row()["execution_arns"]
    assert dead_letters() == []


def test_retrying_message_that_comes_again_finds_its_execution(executions):
    freeze()
    deliver()

    assert deliver() == "RETRYING"
    assert len(executions()) == 1


def test_redriven_message_that_fails_again_gets_an_execution_of_its_own(executions):
    freeze()
    deliver()
    change(status="REDRIVEN", redrives=1)

    assert deliver() == "RETRYING"
    names = {execution["name"][-6:] for execution in executions()}
    assert names == {"-r0-g1", "-r1-g2"}


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ClientError({}, "X")])
def test_whatever_a_type_raises_the_retry_machine_decides(monkeypatch, error):
    monkeypatch.setattr(message_types, "process", lambda _: (_ for _ in ()).throw(error))

    assert deliver() == "RETRYING"
    assert row()["reason"]["type"] == type(error).__name__


def test_rejected_message_is_dead_at_once_with_its_reason(dead_letters, executions):
    assert deliver(REJECTED) == "DEAD"

    (letter,) = dead_letters()
    assert letter["Body"] == REJECTED.body()
    assert letter["Attributes"]["MessageGroupId"] == "acc-1"
    assert letter["Attributes"]["MessageDeduplicationId"] == "m-1.r0"
    said = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    why = row()["reason"]
    assert said == {"ReasonType": why["type"], "ReasonMessage": why["message"]}
    assert (row()["status"], row()["attempts"], executions()) == ("DEAD", 1, [])


@pytest.mark.parametrize(("spare", "told"), [(1_024, True), (1_023, False), (0, False)])
def test_body_that_leaves_no_room_for_its_reason_is_dead_lettered_without(
    dead_letters, spare, told
):
    """Only who sends through the API must leave room; SQS counts attributes as size."""
    room = int(ENVIRONMENT["MAX_MESSAGE_BYTES"]) - spare - len(REJECTED.body())

    assert deliver(REJECTED.body() + " " * room) == "DEAD"

    (letter,) = dead_letters()
    assert letter["Body"] == REJECTED.body() + " " * room
    assert ("MessageAttributes" in letter) is told
    assert row()["reason"]["type"] == "TransactionRejected"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "unknown"}, "UnknownType"),
        ({"payload": {}}, "InvalidPayload"),
        ({"payload": {"note": "\ud800"}}, "InvalidPayload"),
    ],
)
def test_message_that_no_type_takes_is_dead_with_a_row(dead_letters, change, error):
    assert deliver(a_message(**change)) == "DEAD"
    assert row()["reason"]["type"] == error
    assert len(dead_letters()) == 1


FOREIGN = {
    "empty object": "{}",
    "text": "hello",
    "array": "[1]",
    "number": "1",
    "null": "null",
    "cut": MESSAGE.body()[:-1],
    "duplicate key": MESSAGE.body()[:-1] + ',"type":"transaction"}',
    "NaN": MESSAGE.body().replace('"10.00"', "NaN"),
    "overflow": MESSAGE.body().replace('"10.00"', "1e999"),
    "5,000 digits": MESSAGE.body().replace('"10.00"', "1" * 5_000),
    "deep": "[" * 10_000,
    "reserved id": MESSAGE.body().replace('"m-1"', '"m-1.r7"'),
    "expression": '{"a": "{% $states.input %}", "b": "${MessagesTable}"}',
    "quotes": "\"; $s := \"x 'y' \\",
    "line separators, emoji": "\u2028 \U0001f600 \t\r\n",
}


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_foreign_body_is_dead_lettered_byte_by_byte(dead_letters, tables, body):
    assert deliver(body) == "DEAD"

    (letter,) = dead_letters()
    assert letter["Body"] == body
    assert letter["Attributes"]["MessageGroupId"] == "acc-1"
    assert letter["Attributes"]["MessageDeduplicationId"] == SQS_ID
    said = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert said["ReasonType"] == "InvalidEnvelope"
    assert said["ReasonMessage"]
    assert tables.scan(TableName="Messages")["Count"] == 0


@pytest.mark.parametrize("levels", [200, 255, 256, 300, 600, 900, 980])
def test_deep_payload_is_dead_lettered_too(dead_letters, levels):
    body = MESSAGE.body().replace('"10.00"', "[" * levels + "]" * levels)

    assert deliver(body) == "DEAD"
    assert [letter["Body"] for letter in dead_letters()] == [body]


def test_message_on_another_group_than_it_says_is_foreign(dead_letters):
    assert deliver(group_id="acc-2") == "DEAD"
    assert dead_letters()[0]["Attributes"]["MessageGroupId"] == "acc-2"
    assert balance() == 0


@pytest.mark.parametrize("receive_count", [1, 2])
@pytest.mark.parametrize("body", ["{", OTHER.body()], ids=["foreign", "conflict"])
def test_message_that_is_not_ours_fences_nothing(body, receive_count):
    deliver()

    deliver(body, receive_count=receive_count)
    assert fence_of() is None


def test_trace_is_the_sender_s_or_else_sqs_s_id():
    assert delivery().trace_id == "trace-1"
    assert delivery("{").trace_id == SQS_ID


def test_other_message_under_a_taken_id_is_dead_lettered_and_leaves_the_row(dead_letters):
    deliver()
    before = row()

    assert deliver(OTHER) == "CONFLICT"

    (letter,) = dead_letters()
    assert (letter["Body"], letter["Attributes"]["MessageDeduplicationId"]) == (
        OTHER.body(),
        SQS_ID,
    )
    assert letter["MessageAttributes"]["ReasonType"]["StringValue"] == "MessageConflict"
    assert (row(), balance()) == (before, 10)


def test_native_redrive_of_a_mended_message_is_processed(executions):
    claims.claim(MESSAGE)
    change(status="DEAD", trouble="DEAD", lease_until=0)

    assert deliver() == "PROCESSED"
    assert row()["redrives"] == 1


def test_native_redrive_is_quarantined_at_the_limit_and_never_processed(dead_letters):
    freeze()
    claims.claim(MESSAGE)
    for redrives in range(LIMIT):
        change(status="DEAD", trouble="DEAD", lease_until=0)
        assert deliver() == "RETRYING"
        assert row()["redrives"] == redrives + 1
    change(status="DEAD", trouble="DEAD", lease_until=0)

    assert deliver() == "EXHAUSTED"

    assert (row()["status"], row()["redrives"]) == ("QUARANTINED", LIMIT)
    assert row()["reason"]["type"] == "RedriveLimitReached"
    assert row()["body"] == MESSAGE.body()
    assert deliver() == "KEPT"


def test_ledger_keeps_the_very_bytes_of_another_writer(executions):
    freeze()
    body = spelled(MESSAGE)

    assert deliver(body) == "RETRYING"
    assert row()["body"] == body


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_dead_and_quarantined_rows_keep_the_very_bytes_too(dead_letters, status):
    body = spelled(REJECTED)
    assert deliver(body) == "DEAD"
    if status == "QUARANTINED":
        change(redrives=LIMIT)
        assert deliver(body) == "EXHAUSTED"

    assert [letter["Body"] for letter in dead_letters()] == [body]
    assert row()["body"] == body


def test_worker_whose_lease_ran_out_leaves_the_other_one_s_result(monkeypatch, later):
    processed = transitions.processed

    def slow(message_id):
        monkeypatch.setattr(transitions, "processed", processed)
        later(LEASE + 1)
        assert deliver() == "PROCESSED"
        processed(message_id)

    monkeypatch.setattr(transitions, "processed", slow)
    assert deliver() == "PROCESSED"
    assert (balance(), row()["status"]) == (10, "PROCESSED")


def test_worker_that_fails_after_another_one_succeeded_starts_no_retry(monkeypatch, executions):
    def slow(message):
        transitions.processed(message.message_id)
        raise AccountFrozen

    monkeypatch.setattr(message_types, "process", slow)
    with pytest.raises(FenceTaken):
        deliver()
    assert (row()["status"], executions(), fence_of()) == ("PROCESSED", [], None)
    assert deliver() == "SETTLED"


@pytest.mark.parametrize("code", ["StateMachineDoesNotExist", "ThrottlingException"])
def test_retry_machine_that_cannot_be_started_leaves_the_message_on_the_queue(
    calls, executions, code
):
    freeze()
    calls.error = ClientError({"Error": {"Code": code}}, "StartExecution")
    calls.error_at = "before StartExecution"
    with pytest.raises(ClientError, match=code):
        deliver()

    assert deliver(receive_count=2) == "RETRYING"
    assert len(executions()) == 1


@pytest.mark.parametrize("table", ["Messages", "Groups", "Accounts"])
def test_lost_table_loses_no_message(tables, table):
    tables.delete_table(TableName=table)

    if table != "Accounts":
        with pytest.raises(ClientError):
            deliver()
    else:
        assert deliver() == "RETRYING"


def both_ends(*calls):
    return [f"{end} {call}" for call in calls for end in ("before", "after")]


HEALTHY = both_ends("BatchGetItem", "UpdateItem", "TransactWriteItems", "UpdateItem")
FAILING = both_ends(
    "BatchGetItem",
    "UpdateItem",
    "TransactWriteItems",
    "TransactWriteItems",
    "StartExecution",
    "BatchGetItem",
)
INVALID = both_ends(
    "BatchGetItem",
    "UpdateItem",
    "TransactWriteItems",
    "SendMessage",
    "TransactWriteItems",
    "BatchGetItem",
)
GUARD = both_ends("BatchGetItem", "BatchGetItem", "TransactWriteItems")
LET_GO = both_ends("DeleteItem")
# By `OnDeadLetter` and by how often SQS delivered the message.
INVALID_ENDS = {
    ("hold", 1): INVALID,
    ("continue", 1): INVALID,
    ("hold", 2): GUARD + INVALID[2:],
    ("continue", 2): GUARD + INVALID[2:-2] + LET_GO + INVALID[-2:],
}
EXHAUSTED = both_ends("BatchGetItem", *["UpdateItem"] * 3)
FOREIGN_ENDS = both_ends("BatchGetItem", "SendMessage")


def on_dead_letter(monkeypatch, policy):
    monkeypatch.setenv("ON_DEAD_LETTER", policy)
    settings.cache_clear()


def deliver_until_settled(message, calls, later, error_at, receive_count=1):
    calls.ends.clear()
    calls.error_at = error_at
    with pytest.raises(WorkerDied):
        deliver(message, receive_count=receive_count)
    later(LEASE + 1)
    return deliver(message, receive_count=receive_count + 1)


def given_exhausted():
    claims.claim(MESSAGE)
    change(status="DEAD", trouble="DEAD", lease_until=0, redrives=LIMIT)


def test_each_case_makes_the_calls_whose_ends_are_tried_below(calls):
    def ends(message):
        calls.ends.clear()
        deliver(message)
        return calls.ends

    assert ends("{") == FOREIGN_ENDS
    assert ends(a_message(message_id="m-2")) == HEALTHY
    freeze()
    assert ends(a_message(message_id="m-3")) == FAILING
    given_exhausted()
    assert ends(MESSAGE) == EXHAUSTED


@pytest.mark.parametrize(("policy", "receive_count"), INVALID_ENDS)
def test_invalid_message_makes_the_calls_whose_ends_are_tried_below(
    calls, monkeypatch, policy, receive_count
):
    on_dead_letter(monkeypatch, policy)

    deliver(REJECTED, receive_count=receive_count)
    assert calls.ends == INVALID_ENDS[policy, receive_count]


@pytest.mark.parametrize("end", range(len(HEALTHY)), ids=lambda end: HEALTHY[end])
def test_crash_with_a_healthy_message_has_one_effect(calls, later, dead_letters, end):
    outcome = deliver_until_settled(MESSAGE, calls, later, end)

    assert outcome == ("SETTLED" if end == len(HEALTHY) - 1 else "PROCESSED")
    assert (balance(), row()["status"], dead_letters()) == (10, "PROCESSED", [])


@pytest.mark.parametrize("end", range(len(FAILING)), ids=lambda end: FAILING[end])
def test_crash_with_a_failing_message_leaves_one_retry(calls, later, executions, end):
    freeze()

    assert deliver_until_settled(MESSAGE, calls, later, end) == "RETRYING"

    assert (row()["status"], row()["body"]) == ("RETRYING", MESSAGE.body())
    assert [execution["executionArn"] for execution in executions()] == row()["execution_arns"]


@pytest.mark.parametrize(
    ("policy", "receive_count", "end"),
    [
        pytest.param(policy, receive_count, end, id=f"{policy}-{receive_count}-{name}")
        for (policy, receive_count), ends in INVALID_ENDS.items()
        for end, name in enumerate(ends)
    ],
)
def test_crash_with_an_invalid_message_never_loses_it_nor_its_fence(
    calls, later, dead_letters, monkeypatch, policy, receive_count, end
):
    on_dead_letter(monkeypatch, policy)

    assert deliver_until_settled(REJECTED, calls, later, end, receive_count) == "DEAD"

    assert (row()["status"], balance()) == ("DEAD", 0)
    assert {letter["Body"] for letter in dead_letters()} == {REJECTED.body()}
    fenced = fence_of()
    assert (fenced and fenced.holder) == ("m-1" if policy == "hold" else None)


@pytest.mark.parametrize("end", range(len(EXHAUSTED)), ids=lambda end: EXHAUSTED[end])
def test_crash_with_an_exhausted_message_leaves_it_in_quarantine(calls, later, end):
    given_exhausted()

    outcome = deliver_until_settled(MESSAGE, calls, later, end)

    assert outcome == ("KEPT" if end == len(EXHAUSTED) - 1 else "EXHAUSTED")
    assert (row()["status"], row()["body"], balance()) == ("QUARANTINED", MESSAGE.body(), 0)


@pytest.mark.parametrize("end", range(len(FOREIGN_ENDS)), ids=lambda end: FOREIGN_ENDS[end])
def test_crash_with_a_foreign_message_never_loses_it(calls, later, dead_letters, end):
    assert deliver_until_settled("{", calls, later, end) == "DEAD"
    assert [letter["Body"] for letter in dead_letters()] == ["{"]

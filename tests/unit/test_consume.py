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
from workflows.consume import Delivery
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


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("PROCESSED", "SETTLED"),
        ("DISCARDED", "SETTLED"),
        ("QUARANTINED", "KEPT"),
        ("PARKED", "KEPT"),
    ],
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


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ClientError({}, "X")])
def test_whatever_a_type_raises_the_retry_machine_decides(monkeypatch, error):
    monkeypatch.setattr(message_types, "process", lambda *_: (_ for _ in ()).throw(error))

    assert deliver() == "RETRYING"
    assert row()["reason"]["type"] == type(error).__name__


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
    "empty object": "{}", "text": "hello", "array": "[1]", "number": "1", "null": "null",
    "cut": MESSAGE.body()[:-1], "duplicate key": MESSAGE.body()[:-1] + ',"type":"transaction"}',
    "NaN": MESSAGE.body().replace('"10.00"', "NaN"),
    "overflow": MESSAGE.body().replace('"10.00"', "1e999"),
    "5,000 digits": MESSAGE.body().replace('"10.00"', "1" * 5_000), "deep": "[" * 10_000,
    "reserved id": MESSAGE.body().replace('"m-1"', '"m-1.r7"'),
    "expression": '{"a": "{% $states.input %}", "b": "${MessagesTable}"}',
    "quotes": "\"; $s := \"x 'y' \\", "line separators, emoji": "\u2028 \U0001f600 \t\r\n",
}  # fmt: skip


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
    def slow(message, _):
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


def on_dead_letter(monkeypatch, policy):
    monkeypatch.setenv("ON_DEAD_LETTER", policy)
    settings.cache_clear()


def dying_at_each_call(calls, later, make, receive_count=1):
    """Let a worker die at each end of its calls, each time with another message, and deliver again.

    `make` gives message `number`. Yields each with the end, and what became of it.
    """
    undisturbed = make(0)
    calls.ends.clear()
    deliver_of(undisturbed, receive_count)
    ends = list(calls.ends)
    assert len(ends) > 2
    for number, end in enumerate(ends, 1):
        message = make(number)
        calls.ends.clear()
        calls.error_at = number - 1
        with pytest.raises(WorkerDied):
            deliver_of(message, receive_count)
        later(LEASE + 1)
        yield message, end, deliver_of(message, receive_count + 1)


def deliver_of(message, receive_count):
    """Deliver a message, under an id of SQS's own, on the group that it names, if it is ours."""
    ours = not isinstance(message, str)
    body, group_id = (message.body(), message.group_id) if ours else (message, "acc-1")
    (outcome,) = consume_all(Delivery(body, group_id, f"sqs-{hash(body)}", "1", receive_count))
    return outcome


def a_group_s(number, **payload):
    """Return a message that is alone in its group."""
    group_id = f"acc-{number}"
    payload = a_transaction(account_id=group_id, **payload)
    return a_message(message_id=f"m-{number}", group_id=group_id, payload=payload)


@pytest.mark.parametrize("policy", ["hold", "continue"])
@pytest.mark.parametrize("receive_count", [1, 2])
def test_crash_with_an_invalid_message_never_loses_it_nor_its_fence(
    calls, later, dead_letters, monkeypatch, policy, receive_count
):
    on_dead_letter(monkeypatch, policy)

    def make(number):
        return a_group_s(number, kind="debit")

    for message, end, outcome in dying_at_each_call(calls, later, make, receive_count):
        assert outcome == "DEAD", end
        assert row(message.message_id)["status"] == "DEAD", end
        assert balance(message.group_id) == 0, end
        fenced = fence_of(message.group_id)
        assert (fenced and fenced.holder) == (message.message_id if policy == "hold" else None), end
        assert message.body() in {letter["Body"] for letter in dead_letters()}, end


def test_crash_with_an_exhausted_message_leaves_it_in_quarantine(calls, later):
    def make(number):
        message = a_group_s(number)
        claims.claim(message)
        change(message.message_id, status="DEAD", trouble="DEAD", lease_until=0, redrives=LIMIT)
        return message

    outcomes = []
    for message, end, outcome in dying_at_each_call(calls, later, make):
        outcomes.append(outcome)
        found = row(message.message_id)
        assert (found["status"], found["body"]) == ("QUARANTINED", message.body()), end
        assert balance(message.group_id) == 0, end

    assert outcomes == ["EXHAUSTED"] * (len(outcomes) - 1) + ["KEPT"]


def test_crash_with_a_foreign_message_never_loses_it(calls, later, dead_letters):
    for body, end, outcome in dying_at_each_call(calls, later, "{{{}".format):
        assert outcome == "DEAD", end
        assert body in [letter["Body"] for letter in dead_letters()], end

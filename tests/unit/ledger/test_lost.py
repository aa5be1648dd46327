"""Messages that the work queue lost before a worker had them: found, listed, and sent again."""

import time

import pytest

from lambdas import send_message
from tests.support.cloud import ENVIRONMENT, drain
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.rows import indexed
from tests.support.troubles import in_trouble, row
from workflows import recovery
from workflows.ledger import claims, conditions, journey, lost, transitions, trouble
from workflows.ledger.claims import Decision
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.operator import discard, edit, failures, retry_by_hand
from workflows.operator.discard import DiscardRequest
from workflows.operator.mend import BodyMissing
from workflows.operator.retry_by_hand import RetryRequest
from workflows.queues.queue import default
from workflows.redrive import let_go, ownership, runs
from workflows.redrive.judge import Judge
from workflows.redrive.verdict import DeadLetter
from workflows.runtime import aws, clock
from workflows.runtime.settings import settings


@pytest.fixture(autouse=True)
def work_queue(tables, queues, machines):
    return lambda: drain(queues, ENVIRONMENT["WORK_QUEUE_URL"])


@pytest.fixture
def is_over(later):
    """Give a function after which no queue can have what was sent before."""
    return lambda: later(settings().work_queue_retention_seconds + 901)


def send(message_id="m-1"):
    body = {"type": "transaction", "message_id": message_id, "payload": a_transaction()}
    return send_message.handler(api_event("POST", "/messages/send", body), CONTEXT)["statusCode"]


def listed():
    letters, _ = failures.dead_letters(Filter(), 10, None, default())
    return letters


def write(item):
    aws.dynamodb().put_item(TableName="Messages", Item=indexed(item))


@pytest.fixture
def gone(work_queue, is_over):
    """Give a message that was sent, purged, and found lost by the sweep."""
    assert send() == 202
    work_queue()
    is_over()
    assert recovery.recover().lost == ["m-1"]
    return a_message(**{name: row()[name] for name in ("first_sent_at", "trace_id")})


def test_first_send_that_the_queue_lost_is_listed_with_its_reason(gone):
    (letter,) = listed()

    assert (letter.message_id, letter.lost, letter.hours_until_dropped) == ("m-1", True, 0)
    assert letter.reason is not None
    assert letter.reason.type == "LostByQueue"
    assert [event.event for event in journey.told(row())] == ["sent", "lost"]
    assert "expires_at" not in row()
    assert recovery.recover().lost == []


def test_message_that_was_lost_is_sent_again_under_its_id(gone, work_queue):
    assert (send(), send()) == (202, 200)

    (copy,) = work_queue()
    assert copy["Body"] == gone.body()
    assert (row()["status"], "trouble" in row(), "reason" in row()) == ("QUEUED", False, False)
    assert row()["expires_at"] > 0
    assert listed() == []
    assert claims.claim(gone, "sqs-1").decision is Decision.PROCESS
    transitions.processed("m-1")
    told = [event.event for event in journey.told(row())]
    assert told == ["sent", "lost", "sent_again", "processed"]


@pytest.mark.usefixtures("gone")
def test_message_that_is_lost_twice_is_found_twice(work_queue, is_over):
    send()
    work_queue()
    is_over()

    assert recovery.recover().lost == ["m-1"]
    assert send() == 202


def test_late_copy_is_processed_once_whether_it_was_sent_again_or_not(gone):
    assert claims.claim(gone, "late").decision is Decision.PROCESS
    assert listed() == []
    assert send() == 200
    transitions.processed("m-1")

    assert claims.claim(gone, "another").decision is Decision.SETTLED


def test_message_sent_again_that_a_worker_had_meanwhile_is_a_duplicate(gone, work_queue):
    seen = row()
    assert claims.claim(gone, "late").decision is Decision.PROCESS

    assert not lost.send_again(seen)
    assert not lost.note(seen)
    assert work_queue() == []


def test_crash_between_note_and_send_leaves_what_the_next_send_sends(gone, work_queue):
    assert lost.send_again(row())
    assert row()["status"] == "ACCEPTED"

    assert send() == 200
    assert [copy["Body"] for copy in work_queue()] == [gone.body()]


def test_another_payload_under_its_id_is_still_refused(gone):
    body = {"type": "transaction", "message_id": "m-1", "payload": a_transaction(amount="11.00")}

    answer = send_message.handler(api_event("POST", "/messages/send", body), CONTEXT)
    assert answer["statusCode"] == 409
    assert [letter.message_id for letter in listed()] == [gone.message_id]


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "ACCEPTED", "updated_at": None},
        {"status": "QUEUED"},
        {"status": "REDRIVEN", "redrives": 1},
        {"status": "REDRIVEN", "redrives": 1, "trouble": "REDRIVING"},
        {"status": "PROCESSING", "lease_until": 1, "sqs_message_id": "sqs-1"},
    ],
    ids=lambda columns: "-".join(map(str, columns.values())),
)
def test_every_status_that_trusts_the_work_queue_is_looked_for(columns):
    in_trouble(**{"trouble": None} | columns)

    assert recovery.recover().lost == ["m-1"]
    assert (row()["status"], row()["trouble"]) == (columns["status"], "DEAD")


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "QUEUED", "updated_at": "now"},
        {"status": "ACCEPTED", "updated_at": None, "first_sent_at": "now"},
        {"status": "PROCESSING", "updated_at": "now", "lease_until": 4_102_444_800},
        *({"status": status, "trouble": status} for status in ("DEAD", "RETRYING", "QUARANTINED")),
        *({"status": status} for status in ("PARKED", "PROCESSED", "DISCARDED")),
    ],
    ids=lambda columns: "-".join(map(str, columns.values())),
)
def test_what_a_queue_may_have_or_need_not_have_is_left_alone(columns):
    now = clock.now()
    columns = {name: now if value == "now" else value for name, value in columns.items()}
    in_trouble(**{"trouble": None} | columns)
    before = row()

    assert not lost.is_lost(before)
    assert recovery.recover().lost == []
    assert row() == before


def test_message_is_waited_for_as_long_as_the_queue_may_have_it(later):
    send()
    later(settings().work_queue_retention_seconds)

    assert recovery.recover().lost == []


@pytest.mark.usefixtures("gone")
def test_lost_message_without_a_body_is_not_retried_and_says_what_to_do():
    with pytest.raises(BodyMissing):
        retry_by_hand.retry("m-1", RetryRequest(), an_operator())
    with pytest.raises(BodyMissing):
        edit.edit("m-1", a_transaction(amount="20.00"), an_operator())

    assert "send it under its id" in str(BodyMissing.__doc__)


@pytest.mark.parametrize("status", ["ACCEPTED", "QUEUED", "REDRIVEN", "PROCESSING"])
def test_lost_message_is_discarded_and_a_late_copy_has_no_effect(status):
    message = in_trouble(status=status, trouble=None)
    recovery.recover()

    discard.discard("m-1", DiscardRequest(reason="a test"), an_operator())

    assert claims.claim(message, "late").decision is Decision.SETTLED
    assert listed() == []


def judged(message, only=None):
    letter: DeadLetter = {
        "MessageId": "s",
        "Body": message.body(),
        "Attributes": {"MessageGroupId": "acc-1"},
    }
    (verdict,) = Judge("run", only or Filter(), default()).judge([letter])
    return verdict


def test_run_that_meets_a_lost_message_redrives_it_and_takes_it_off_the_list(gone):
    """SQS had moved it: that the list has it must not outlast the redrive."""
    verdict = judged(gone)

    assert (verdict["verdict"], verdict["unnoted"], verdict["status"]) == (
        "redrive", False, "ACCEPTED",
    )  # fmt: skip


def test_run_that_leaves_out_a_lost_message_notes_that_the_queue_has_it(gone):
    verdict = judged(gone, Filter(type="another"))

    assert (verdict["left_because"], verdict["unnoted"]) == ("filter", True)
    assert judged(gone, Filter(reason="LostByQueue"))["verdict"] == "redrive"


def test_old_copy_of_a_lost_retry_by_hand_is_redriven_and_not_left_for_ever():
    message = in_trouble(
        status="REDRIVEN", trouble=None, redrives=1, redrive_mark=f"{conditions.BY_HAND}1"
    )
    assert judged(message)["left_because"] == "busy"
    recovery.recover()

    assert judged(message)["verdict"] == "redrive"


def put_many(count):
    for number in range(count):
        message = a_message(message_id=f"m-{number:03}")
        write(in_trouble_row(message))


def in_trouble_row(message):
    in_trouble(status="QUEUED", trouble=None, message=message)
    return row(message.message_id)


def test_pass_goes_on_where_a_sweep_had_no_more_time(monkeypatch):
    put_many(7)
    ticks = iter(range(0, 10_000, 20))  # three rows, and the time is over
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))

    parts = [lost.sweep() for _ in range(4)]

    assert sorted(found for part in parts for found in part) == [f"m-{n:03}" for n in range(7)]
    assert max(map(len, parts)) == 3
    assert trouble.count("DEAD", DEFAULT_QUEUE) == 7


def test_table_is_read_once_a_day(later, monkeypatch):
    reads = []
    scan = lost._candidates

    def read(after):
        reads.append(after)
        return scan(after)

    monkeypatch.setattr(lost, "_candidates", read)

    for seconds in (0, 300, 86_000, 200, 300):
        later(seconds)
        lost.sweep()

    assert len(reads) == 2
    with pytest.raises(runs.RunNotFound):
        runs.get("SWEEP#LOST")


def test_row_that_cannot_be_written_holds_up_no_other(monkeypatch):
    put_many(3)
    note = lost.note

    def fail_for_one(found):
        if found["message_id"] == "m-001":
            raise TimeoutError
        return note(found)

    monkeypatch.setattr(lost, "note", fail_for_one)

    with pytest.raises(TimeoutError):
        lost.sweep()
    assert trouble.count("DEAD", DEFAULT_QUEUE) == 2


# --- What a lost message is once somebody acts on it ---------------------------------------


def guard(gone):
    """Write what a run's guard writes of a dead letter that the list takes for lost."""
    write(
        row(gone.message_id)
        | {"status": "REDRIVEN", "trouble": "REDRIVING", "redrives": 1, "redriven_by": "run"}
        | {"updated_at": clock.now()}
    )


def test_lost_message_that_a_run_found_and_sqs_refused_is_no_longer_gone(gone, later):
    """As LetGoMessages writes it: the reason stays, and the letter is on the dead-letter queue."""
    later(1)
    guard(gone)
    write(row() | {"status": "DEAD", "trouble": "DEAD"})

    assert row()["reason"]["type"] == "LostByQueue"
    assert [letter.lost for letter in listed()] == [False]
    assert (lost.count_gone(DEFAULT_QUEUE), send()) == (0, 200)
    later(lost.DEAD_LETTER_RETENTION_SECONDS + 901)
    assert (lost.count_gone(DEFAULT_QUEUE), send()) == (1, 202)


def test_lost_message_that_the_sweep_let_go_of_may_be_on_its_way(gone, later, work_queue):
    later(lost.DEAD_LETTER_RETENTION_SECONDS - 60)
    guard(gone)
    ownership.acquire("run", default(), "api", an_operator(), {})
    aws.dynamodb().update_item(
        TableName="Runs",
        Key={"run_id": "run"},
        UpdateExpression="SET #status = :failed, failure = :failed, finished_at = :now",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":failed": "FAILED", ":now": clock.now()},
    )

    assert let_go.recover() == ["m-1"]
    assert [letter.lost for letter in listed()] == [False]
    later(1_000)  # the dead-letter queue has dropped its copy, and the work queue may have one
    assert (send(), work_queue()) == (200, [])

    later(settings().work_queue_retention_seconds + 1)
    assert send() == 202


def test_what_a_worker_had_is_sent_again_only_when_no_copy_can_be_in_being(later, work_queue):
    in_trouble(status="PROCESSING", trouble=None, lease_until=1, body=None)
    assert recovery.recover().lost == ["m-1"]
    assert (send(), work_queue()) == (200, [])

    later(lost.DEAD_LETTER_RETENTION_SECONDS + 901)

    assert send() == 202
    assert len(work_queue()) == 1


def test_row_that_a_run_made_is_sent_again_by_whoever_has_its_message(gone, work_queue):
    """Such a row does not say who sent its message first."""
    write({name: value for name, value in row().items() if name != "submitted_by"})

    assert send() == 202

    (copy,) = work_queue()
    assert copy["Body"] == gone.body()
    assert row()["status"] == "QUEUED"

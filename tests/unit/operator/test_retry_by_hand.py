"""Retries by hand: who may be retried, once counted, never lost, whatever stops in between."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_calls import WorkerDied
from tests.support.cloud import audited
from tests.support.interleaving import every_order, watch
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import LIMIT, in_trouble, row, sent
from workflows import recovery
from workflows.ledger import lookup, writes
from workflows.ledger.transitions import NotInTrouble
from workflows.messages.limits import RedriveLimitReached
from workflows.operator import edit, retry_by_hand
from workflows.operator.mend import MessageChanged
from workflows.operator.retry_by_hand import RetryRequest
from workflows.runtime import aws, clock

ACTOR = an_operator()
NOW = RetryRequest()
RESET = RetryRequest(reset_redrives=True)
STATUSES = (
    "ACCEPTED", "QUEUED", "PROCESSING", "PROCESSED", "RETRYING", "REDRIVEN", "PARKED", "DISCARDED",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines")


def retry(request=NOW, message_id="m-1"):
    return retry_by_hand.retry(message_id, request, ACTOR)


# --- What a retry does --------------------------------------------------------------------


def test_dead_message_is_on_the_work_queue_byte_for_byte_and_counted():
    message = in_trouble(redrives=1, redriven_by="run-1", redrive_mark="run-1#3", lease_until=1)

    answer = retry()

    assert sent() == [("m-1.r2", "acc-1", message.body())]
    assert (answer["status"], answer["redrives"]) == ("REDRIVEN", 2)
    found = row()
    assert (found["status"], found["redrives"], found["attempts"]) == ("REDRIVEN", 2, 0)
    assert found["redrive_mark"] == "#2"
    assert {"trouble", "redriven_by", "lease_until", "expires_at", "redrive_limit"}.isdisjoint(
        found
    )
    assert found["body"] == message.body()  # until it is processed: nobody else may have it


def test_odd_body_is_sent_as_it_is_and_not_as_it_could_be_written():
    body = json.dumps(json.loads(a_message().body()), indent=3) + "\n\u2028"
    in_trouble(body=body)

    retry()

    assert [copy[2] for copy in sent()] == [body]


def test_retry_is_told_in_the_journey_and_in_the_audit():
    in_trouble(journey=[{"event": "dead", "at": "2026-11-24T12:00:01.000Z"}])

    retry()

    dead, retried = row()["journey"]
    assert dead["event"] == "dead"
    assert (retried["event"], retried["by"], retried["number"]) == ("retried", "o@example.com", 1)
    assert dead["at"] < retried["at"] <= row()["updated_at"]
    (record,) = audited()
    assert (record["action"], record["result"]) == ("retry_message", "REDRIVEN")
    assert (record["message_id"], record["actor"]) == ("m-1", "o@example.com")
    assert record["input"] == {"reset_redrives": False}


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_reset_gives_a_new_budget_and_never_counts_down(status):
    in_trouble(status, redrives=LIMIT)

    retry(RESET)

    assert (row()["redrives"], row()["redrive_limit"]) == (LIMIT + 1, 2 * LIMIT)
    assert [copy[0] for copy in sent()] == [f"m-1.r{LIMIT + 1}"]


@pytest.mark.parametrize("limit", [None, 7])
def test_message_out_of_redrives_is_retried_only_with_a_reset(limit):
    most = limit or LIMIT
    in_trouble(redrives=most, redrive_limit=limit)
    before = row()

    with pytest.raises(RedriveLimitReached, match=f"redriven {most} times"):
        retry()

    assert (row(), sent(), audited()) == (before, [], [])
    retry(RESET)
    assert len(sent()) == 1


def test_last_redrive_of_the_budget_is_one():
    in_trouble(redrives=6, redrive_limit=7)

    assert retry()["redrives"] == 7


@pytest.mark.parametrize("request_", [NOW, RESET])
@pytest.mark.parametrize("status", STATUSES)
def test_message_that_is_not_in_trouble_is_not_retried(status, request_):
    in_trouble(status, trouble=None)
    before = row()

    with pytest.raises(NotInTrouble, match=f"m-1 is {status}"):
        retry(request_)

    assert (row(), sent(), audited()) == (before, [], [])


def test_journey_is_trimmed():
    in_trouble(journey=[{"event": "attempt", "at": "t", "number": n} for n in range(250)])

    retry()

    journey = row()["journey"]
    assert len(journey) == 200
    assert (journey[0]["number"], journey[-1]["event"]) == (51, "retried")


# --- Two at once --------------------------------------------------------------------------


def outcome(act, *expected):
    """Return an actor that notes how its act ended."""
    ends = []

    def run():
        try:
            ends.append(act()["status"])
        except expected as error:
            ends.append(type(error).__name__)

    return run, ends


def test_two_operators_count_once_in_every_order():
    watch(aws.dynamodb(), aws.sqs())
    ends = {}

    def scene():
        empty()
        in_trouble()
        one, ends["one"] = outcome(retry, NotInTrouble)
        two, ends["two"] = outcome(retry, NotInTrouble)
        return {"one": one, "two": two}

    seen = set()
    for order in every_order(scene):
        copies = sent()
        assert {copy[0] for copy in copies} == {"m-1.r1"}, order
        assert row()["redrives"] == 1, order
        assert "trouble" not in row(), order
        assert [record["result"] for record in audited()].count("REDRIVEN") == 1, order
        assert "REDRIVEN" in ends["one"] + ends["two"]
        seen.add(tuple(ends["one"] + ends["two"]))
    assert len(seen) == 3  # either was too late, or both sent the one copy


def guarded_by_a_run():
    """Count a redrive as the redrive machine's GuardLoop does."""
    row = lookup.get("m-1")
    if row["status"] != "DEAD":
        return {"status": "left"}
    won, _ = writes.update(
        "m-1",
        "SET #status = :redriven, redrives = redrives + :one, redrive_mark = :mark,"
        " updated_at = :now REMOVE trouble",
        "redrives = :seen AND payload_hash = :hash AND #status <> :processed",
        {
            ":redriven": "REDRIVEN", ":one": 1, ":mark": "run-1#1", ":seen": row["redrives"],
            ":hash": row["payload_hash"], ":processed": "PROCESSED",
        },
    )  # fmt: skip
    return {"status": "REDRIVEN" if won else "refused"}


def test_run_and_operator_count_once_in_every_order():
    watch(aws.dynamodb(), aws.sqs())
    ends = {}

    def scene():
        empty()
        in_trouble()
        one, ends["operator"] = outcome(retry, NotInTrouble)
        two, ends["run"] = outcome(guarded_by_a_run)
        return {"operator": one, "run": two}

    seen = set()
    for order in every_order(scene):
        assert row()["redrives"] == 1, order
        won = row()["redrive_mark"] == "#1"
        assert len(sent()) == won, order  # the run's own copy is the machine's to send
        seen.add((ends["operator"][0], ends["run"][0]))
    assert seen == {
        ("REDRIVEN", "refused"), ("REDRIVEN", "left"), ("NotInTrouble", "REDRIVEN"),
    }  # fmt: skip


def test_edit_and_retry_send_what_the_ledger_has_in_every_order():
    watch(aws.dynamodb(), aws.sqs())
    ends = {}
    new = a_transaction(amount="11.00")

    def scene():
        empty()
        in_trouble()
        one, ends["retry"] = outcome(retry, NotInTrouble, MessageChanged)
        two, ends["edit"] = outcome(
            lambda: edit.edit("m-1", new, ACTOR), NotInTrouble, MessageChanged
        )
        return {"retry": one, "edit": two}

    seen = set()
    for order in every_order(scene):
        copies, found = sent(), row()
        assert all(copy[2] == found["body"] for copy in copies), order
        assert len(copies) == (found["status"] == "REDRIVEN"), order
        edited = found["payload_hash"] == a_message(payload=new).payload_hash
        assert ends["edit"][0] == ("DEAD" if edited and not copies else ends["edit"][0])
        assert (len(copies), edited) != (0, False), order  # one of them got through
        seen.add((ends["retry"][0], ends["edit"][0]))
    assert ("REDRIVEN", "NotInTrouble") in seen
    assert ("MessageChanged", "DEAD") in seen


def empty():
    """Forget what the order before left."""
    for table, keys in (("Messages", ["message_id"]), ("Audit", ["day", "entry"])):
        for item in aws.dynamodb().scan(TableName=table)["Items"]:
            key = {name: item[name] for name in keys}
            aws.dynamodb().delete_item(TableName=table, Key=key)
    sent()


# --- Crashes ------------------------------------------------------------------------------


def ends_of_a_retry(calls):
    in_trouble()
    calls.ends.clear()
    retry()
    ends = list(calls.ends)
    empty()
    return ends


def die_at(calls, at):
    in_trouble()
    calls.ends.clear()
    calls.error_at = at
    with pytest.raises(WorkerDied):
        retry()


def is_sent_once_and_counted_once(message, at):
    copies = sent()
    assert copies, at
    assert set(copies) == {("m-1.r1", "acc-1", message.body())}, at
    assert (row()["status"], row()["redrives"]) == ("REDRIVEN", 1), at
    assert "trouble" not in row(), at
    assert [record["result"] for record in audited()].count("REDRIVEN") == 1, at


@pytest.mark.parametrize("by", ["operator", "sweep"])
def test_retry_that_dies_at_any_call_is_finished(calls, later, by):
    ends = ends_of_a_retry(calls)
    assert [end for end in ends if end.startswith("before")] == [
        "before GetItem", "before TransactWriteItems", "before SendMessage", "before UpdateItem",
    ]  # fmt: skip
    for at, end in enumerate(ends):
        message = a_message()
        die_at(calls, at)
        guarded = row()["status"] == "REDRIVEN"
        assert guarded == (at > ends.index("before TransactWriteItems"))
        assert len(audited()) == guarded, "the record is there if and only if the deed is"
        pending = row().get("trouble") == "SENDING"
        assert pending == (guarded and end != "after UpdateItem")
        if by == "sweep" and guarded:
            later(retry_by_hand.SENDING_SECONDS + 1)
            assert recovery.recover().resent == ["m-1"] * pending
        elif pending or not guarded:
            assert retry()["status"] == "REDRIVEN"
        is_sent_once_and_counted_once(message, end)
        empty()


def test_retry_that_died_can_be_asked_for_again_whatever_the_budget():
    in_trouble("REDRIVEN", redrives=LIMIT, trouble="SENDING")

    assert retry(NOW)["redrives"] == LIMIT
    assert len(sent()) == 1
    assert [record["result"] for record in audited()] == ["UNCHANGED"]


def test_sweep_leaves_a_retry_that_is_under_way_to_it(later):
    in_trouble("REDRIVEN", trouble="SENDING", updated_at=clock.now())

    assert retry_by_hand.finish_sending() == []
    later(retry_by_hand.SENDING_SECONDS - 1)
    assert retry_by_hand.finish_sending() == []
    assert sent() == []
    later(2)
    assert retry_by_hand.finish_sending() == ["m-1"]
    assert retry_by_hand.finish_sending() == []
    assert len(sent()) == 1


@pytest.mark.parametrize("status", ["PROCESSING", "PARKED", "RETRYING", "DEAD", "PROCESSED"])
def test_sweep_sends_nothing_that_a_worker_has_had(status):
    in_trouble(status, trouble="SENDING", redrives=1)

    assert retry_by_hand.finish_sending() == []
    assert (sent(), "trouble" in row()) == ([], False)


def test_message_that_sqs_refuses_holds_up_no_other_and_is_told(calls):
    for number in (1, 2, 3):
        in_trouble("REDRIVEN", a_message(message_id=f"m-{number}"), trouble="SENDING", redrives=1)
    calls.error_at = "before SendMessage"
    calls.error = ClientError({"Error": {"Code": "InvalidMessageContents"}}, "SendMessage")

    with pytest.raises(ClientError):
        retry_by_hand.finish_sending()

    assert {copy[0] for copy in sent()} == {"m-2.r1", "m-3.r1"}
    assert row("m-1")["trouble"] == "SENDING"
    assert retry_by_hand.finish_sending() == ["m-1"]


def test_late_note_of_a_first_retry_does_not_touch_a_second():
    """Somebody sent the first copy, was held up, and notes it after the message died again."""
    in_trouble("REDRIVEN", trouble="SENDING", redrives=2)

    retry_by_hand._note_sent("m-1", 1)

    assert row()["trouble"] == "SENDING"

"""The judgement of dead letters: a verdict for each, whatever it holds, in the right order."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, a_transaction
from workflows.ledger import lookup, transitions
from workflows.messages.envelope import foreign_hash
from workflows.messages.filters import Filter
from workflows.messages.ids import FOREIGN_PREFIX
from workflows.queues.queue import default
from workflows.redrive.judge import Judge
from workflows.redrive.requests import RedriveRequest
from workflows.redrive.verdict import Verdict
from workflows.runtime import aws, clock

pytestmark = pytest.mark.usefixtures("recursion_limit")

RUN = "20261124T120000Z-abcdef01"
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
MESSAGE = a_message()
NO_REASON = {"type": "", "message": ""}


@pytest.fixture(autouse=True)
def _messages(tables):
    """Every test needs the table."""


def letter(message=MESSAGE, group="acc-1", sqs_id="0000-sqs"):
    body = message if isinstance(message, str) else message.body()
    return {"MessageId": sqs_id, "Body": body, "Attributes": {"MessageGroupId": group}}


def given_row(status="DEAD", message=MESSAGE, **attributes):
    transitions.accept(message)
    changed = lookup.get(message.message_id) | {"status": status} | attributes
    aws.dynamodb().put_item(TableName="Messages", Item=changed)


def judge(letters, run_id=RUN, only=None):
    return Judge(run_id, only or Filter(), default()).judge(letters)


def judge_one(message=MESSAGE, **where):
    (verdict,) = judge([letter(message, **where)], RUN)
    return verdict


def said(verdict):
    return verdict["verdict"], verdict["reason"]["type"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("ACCEPTED", "ConsumerCrashed"),
        ("QUEUED", "ConsumerCrashed"),
        ("PROCESSING", "ConsumerCrashed"),
        ("DEAD", ""),
        ("REDRIVEN", ""),
    ],
)
def test_dead_message_is_redriven_whatever_stopped_its_worker(status, reason):
    given_row(status, redrives=LIMIT - 1)

    verdict = judge_one()

    assert said(verdict) == ("redrive", reason)
    assert verdict["unnoted"] is bool(reason)
    assert (verdict["known"], verdict["ledger_id"], verdict["redrives"]) == (True, "m-1", LIMIT - 1)
    assert verdict["payload_hash"] == MESSAGE.payload_hash


def test_lease_that_ends_during_the_verdict_ends_for_all_of_it(monkeypatch):
    given_row("PROCESSING", lease_until=100)
    ticking = iter([99, 100, 101])
    monkeypatch.setattr(clock, "epoch", lambda: next(ticking))

    verdict = judge_one()

    assert (verdict["verdict"], verdict["left_because"]) == ("left", "busy")
    assert verdict["unnoted"] is False


@pytest.mark.parametrize("status", ["PROCESSED", "PARKED", "QUARANTINED"])
def test_settled_message_is_only_deleted(status):
    given_row(status, redrives=LIMIT)

    assert said(judge_one()) == ("settled", "")


@pytest.mark.parametrize("redrives", [LIMIT, LIMIT + 1, 10**9])
def test_message_out_of_redrives_is_quarantined(redrives):
    given_row(redrives=redrives)

    verdict = judge_one()

    assert said(verdict) == ("quarantine", "RedriveLimitReached")
    assert (verdict["known"], verdict["redrives"]) == (True, redrives)


def test_message_that_the_ledger_does_not_know_is_quarantined_under_its_own_id():
    verdict = judge_one()

    assert said(verdict) == ("quarantine", "UnknownMessage")
    assert (verdict["known"], verdict["ledger_id"]) == (False, "m-1")
    assert verdict["first_sent_at"] == "2026-11-24T12:00:00.123Z"
    assert (verdict["type"], verdict["trace_id"]) == ("transaction", "trace-1")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "unknown"}, "UnknownType"),
        ({"payload": {}}, "InvalidPayload"),
        ({"payload": {"note": "\ud800"}}, "InvalidPayload"),
    ],
)
def test_message_that_no_type_takes_is_quarantined(change, error):
    wrong = a_message(**change)
    assert said(judge_one(wrong)) == ("quarantine", error)

    given_row(message=wrong)
    assert said(judge_one(wrong)) == ("quarantine", error)
    assert judge_one(wrong)["known"] is True


def test_other_message_under_a_taken_id_is_quarantined_under_sqs_s_id():
    given_row("PROCESSED")
    other = a_message(payload=a_transaction(amount="99"))

    verdict = judge_one(other)

    assert said(verdict) == ("quarantine", "MessageConflict")
    assert (verdict["known"], verdict["ledger_id"]) == (False, "sqs:0000-sqs")
    assert verdict["redrives"] == 0
    assert verdict["payload_hash"] == other.payload_hash


def test_message_that_this_run_redrove_is_left_for_another_run():
    given_row(redrive_mark=f"{RUN}#4", redrives=1)

    assert said(judge_one()) == ("left", "")


@pytest.mark.parametrize("mark", [f"{RUN}0#4", "20261124T110000Z-00000000#4", "", f"x{RUN}#4"])
def test_message_that_another_run_redrove_is_not_left(mark):
    given_row(redrive_mark=mark, redrives=1)

    assert said(judge_one()) == ("redrive", "")


@pytest.mark.parametrize("status", ["PROCESSED", "PARKED", "QUARANTINED"])
def test_settled_comes_before_left(status):
    given_row(status, redrive_mark=f"{RUN}#4")

    assert said(judge_one()) == ("settled", "")


def test_left_comes_before_the_limit_and_before_the_payload():
    wrong = a_message(payload={})
    given_row(message=wrong, redrive_mark=f"{RUN}#4", redrives=LIMIT)

    assert said(judge_one(wrong)) == ("left", "")


def test_wrong_payload_comes_before_the_limit():
    wrong = a_message(payload={})
    given_row(message=wrong, redrives=LIMIT)

    assert said(judge_one(wrong)) == ("quarantine", "InvalidPayload")


def test_conflict_comes_before_settled():
    given_row("PROCESSED")

    assert said(judge_one(a_message(payload={}))) == ("quarantine", "MessageConflict")


def given_foreign_row(status):
    aws.dynamodb().put_item(
        TableName="Messages",
        Item={
            "message_id": FOREIGN_PREFIX + "0000-sqs",
            "status": status,
            "redrives": 0,
            "reason": {"type": "InvalidEnvelope", "message": "It is not ours."},
            "type": "foreign",
            "payload_hash": "as it was noted",
        },
    )


@pytest.mark.parametrize(("status", "kind"), [("QUARANTINED", "settled"), ("DEAD", "quarantine")])
@pytest.mark.parametrize("body", ["{", MESSAGE.body()])
def test_letter_that_an_earlier_run_stored_or_noted(body, status, kind):
    given_row()
    given_foreign_row(status)

    verdict = judge_one(body)

    assert said(verdict) == (kind, "InvalidEnvelope")
    assert (verdict["known"], verdict["ledger_id"]) == (True, "sqs:0000-sqs")
    # The guard compares it with the row's, which of a conflicting message is not the body's.
    assert verdict["payload_hash"] == "as it was noted"


BODIES = {
    "malformed": "{",
    "empty": "",
    "array": "[]",
    "number": "1",
    "null": "null",
    "duplicate key": MESSAGE.body()[:-1] + ',"type":"transaction"}',
    "NaN": MESSAGE.body().replace('"10.00"', "NaN"),
    "overflow": MESSAGE.body().replace('"10.00"', "1e999"),
    "5,000 digits": MESSAGE.body().replace('"10.00"', "1" * 5_000),
    "10,000 levels": "[" * 10_000,
    **{
        f"{levels} levels": MESSAGE.body().replace('"10.00"', "[" * levels + "]" * levels)
        for levels in (200, 255, 256, 300, 600, 900, 980)
    },
    "reserved id": MESSAGE.body().replace('"m-1"', '"m-1.r7"'),
    "foreign prefix": MESSAGE.body().replace('"m-1"', '"sqs:0000-sqs"'),
    "lone surrogate": '{"a": "\ud800"}',
    "lone surrogate as a field": MESSAGE.body()[:-1] + ',"\\ud800":1}',
    "NUL": "\x00",
    "expression": "{% $states.input %}${MessagesTable}",
    "quotes": "\"; $s := \"x 'y' \\",
    "emoji": "\U0001f600\u2028",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_spoils_the_batch_and_each_foreign_one_is_quarantined(body):
    given_row()

    foreign, healthy = judge([letter(body), letter(sqs_id="1111-sqs")], RUN)

    assert healthy["verdict"] == "redrive"
    assert foreign["verdict"] == "quarantine"
    assert re.fullmatch(r"[\x20-\x7e]{1,256}", foreign["reason"]["message"])
    assert foreign["known"] is False


def test_foreign_letter_is_kept_under_sqs_s_id_and_judged_by_its_bytes():
    verdict = judge_one("hello", group="any group")

    assert said(verdict) == ("quarantine", "InvalidEnvelope")
    assert verdict["ledger_id"] == "sqs:0000-sqs"
    assert (verdict["type"], verdict["group"]) == ("foreign", "any group")
    assert (verdict["trace_id"], verdict["payload_hash"]) == ("0000-sqs", foreign_hash("hello"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=[])), max_size=10))
def test_any_texts_get_a_verdict_each_that_lambda_can_answer_with(bodies):
    found = judge([letter(body, sqs_id=str(n)) for n, body in enumerate(bodies)], RUN)

    assert [verdict["verdict"] for verdict in found] == ["quarantine"] * len(bodies)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("missing", ["Body", "Attributes"])
def test_letter_without_body_or_group_is_quarantined(missing):
    half = letter()
    del half[missing]

    (verdict,) = judge([half], RUN)

    assert said(verdict) == ("quarantine", "InvalidEnvelope")


def test_group_of_the_queue_decides_not_the_one_in_the_body():
    given_row()

    assert said(judge_one(group="acc-2")) == ("quarantine", "InvalidEnvelope")
    assert judge_one(group="acc-2")["group"] == "acc-2"


def test_waves_count_the_letters_ahead_in_the_same_group():
    groups = ["a", "b", "a", "a", "c", "b"]

    found = judge([letter("{", group, str(n)) for n, group in enumerate(groups)], RUN)

    assert [verdict["wave"] for verdict in found] == [0, 0, 1, 2, 0, 1]
    assert [verdict["index"] for verdict in found] == [0, 1, 2, 3, 4, 5]
    assert [verdict["group"] for verdict in found] == groups


@given(st.lists(st.sampled_from("abc"), max_size=10))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_wave_holds_two_letters_of_a_group(groups):
    found = judge([letter("{", group, str(n)) for n, group in enumerate(groups)], RUN)

    places = [(verdict["wave"], verdict["group"]) for verdict in found]
    assert len(set(places)) == len(groups)
    for group in set(groups):
        waves = [verdict["wave"] for verdict in found if verdict["group"] == group]
        assert waves == list(range(len(waves)))


@pytest.mark.parametrize("status", ["DEAD", "QUEUED", None], ids=["dead", "unnoted", "unknown"])
def test_second_copy_of_a_message_waits_for_what_becomes_of_the_first(status):
    if status:
        given_row(status)

    first, second = judge([letter(), letter(sqs_id="1111-sqs")], RUN)

    assert (first["verdict"], first["wave"]) == ("redrive" if status else "quarantine", 0)
    assert (second["verdict"], second["wave"], second["unnoted"]) == ("left", 0, False)


def test_what_lies_behind_a_second_copy_stays_behind_it():
    given_row()
    behind = a_message(message_id="m-2")
    given_row(message=behind)

    found = judge([letter(), letter(sqs_id="1111-sqs"), letter(behind, sqs_id="2222-sqs")], RUN)

    assert [verdict["verdict"] for verdict in found] == ["redrive", "left", "left"]


def test_every_verdict_has_the_same_fields():
    given_row()
    found = judge([letter(), letter("{", sqs_id="1111-sqs")], RUN)

    for verdict in found:
        assert set(verdict) == Verdict.__required_keys__
    assert found[0]["reason"] == NO_REASON


def test_discarded_message_is_told_from_a_processed_one():
    given_row("DISCARDED")

    assert judge_one()["verdict"] == "discarded"


def test_copy_of_a_retrying_message_is_left_alone():
    given_row("RETRYING")

    assert judge_one()["verdict"] == "left"


def test_empty_batch_has_no_verdicts():
    assert judge([], RUN) == []


def test_ledger_that_does_not_answer_is_loud(tables):
    tables.delete_table(TableName="Messages")

    with pytest.raises(tables.exceptions.ResourceNotFoundException):
        judge([letter()], RUN)


@pytest.mark.parametrize("body", ["{}", '{"max_messages": 1}', '{"max_messages": null}'])
def test_request_may_limit_the_run(body):
    assert RedriveRequest.model_validate_json(body).max_messages in (None, 1)


@pytest.mark.parametrize("value", [0, -1, 1_000_001, "x", 1.5, [], "true"])
def test_absurd_limit_is_refused(value):
    with pytest.raises(ValueError, match="max_messages"):
        RedriveRequest.model_validate({"max_messages": value})

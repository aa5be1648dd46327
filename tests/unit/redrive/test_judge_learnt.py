"""The judgement of dead letters that nobody noted, were edited, are too old or filtered out."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, a_transaction
from workflows.ledger import conditions, lookup, transitions
from workflows.messages.filters import Filter
from workflows.messages.reasons import fingerprint
from workflows.queues.queue import default
from workflows.redrive.judge import Judge
from workflows.runtime import aws, clock

RUN = "20261124T120000Z-abcdef01"
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
MESSAGE = a_message()
EDITED = a_message(payload=a_transaction(amount="11.00"))
EVERYTHING = Filter()
NOTHING = Filter(type="nothing")


@pytest.fixture(autouse=True)
def _messages(tables):
    """Every test needs the table."""


def letter(message=MESSAGE, group="acc-1", sqs_id="0000-sqs", **attributes):
    body = message if isinstance(message, str) else message.body()
    return {
        "MessageId": sqs_id,
        "Body": body,
        "Attributes": {"MessageGroupId": group} | attributes,
    }


def given_row(status="DEAD", message=MESSAGE, **attributes):
    transitions.accept(message)
    changed = lookup.get(message.message_id) | {"status": status} | attributes
    aws.dynamodb().put_item(TableName="Messages", Item=changed)


def judge(*letters, only=EVERYTHING):
    return Judge(RUN, only, default()).judge(list(letters))


def judge_one(message=MESSAGE, only=EVERYTHING, **where):
    (verdict,) = judge(letter(message, **where), only=only)
    return verdict


def test_lease_that_a_worker_has_leaves_its_copy_alone():
    given_row("PROCESSING", lease_until=clock.epoch() + 30)

    verdict = judge_one()

    assert (verdict["verdict"], verdict["unnoted"]) == ("left", False)


@pytest.mark.parametrize("columns", [{}, {"lease_until": 1}], ids=["none", "over"])
def test_message_of_a_crashed_worker_is_noted_and_redriven(columns):
    given_row("PROCESSING", redrives=1, **columns)

    verdict = judge_one(SentTimestamp="1795528800123")

    assert (verdict["verdict"], verdict["unnoted"]) == ("redrive", True)
    assert (verdict["status"], verdict["redrives"]) == ("PROCESSING", 1)
    assert verdict["reason"]["type"] == "ConsumerCrashed"
    assert verdict["dead_at"] == "2026-11-24T14:00:00.123Z"


def test_message_that_a_person_sent_again_is_left_and_one_that_died_since_is_not():
    given_row("REDRIVEN", redrive_mark=conditions.BY_HAND + "1", redrives=1)
    assert judge_one()["verdict"] == "left"

    given_row("DEAD", redrive_mark=conditions.BY_HAND + "1", redrives=1)
    assert judge_one()["verdict"] == "redrive"


@pytest.mark.parametrize(
    ("redrives", "limit", "kind"),
    [(LIMIT, LIMIT + 1, "redrive"), (LIMIT + 1, LIMIT + 1, "quarantine"), (0, 0, "quarantine")],
)
def test_budget_of_its_own_comes_before_the_usual_limit(redrives, limit, kind):
    given_row(redrives=redrives, redrive_limit=limit)

    verdict = judge_one()

    assert (verdict["verdict"], verdict["redrive_limit"]) == (kind, limit)


def given_edited(body=None, **columns):
    usual = {"superseded_hashes": ["0" * 64, MESSAGE.payload_hash]}
    given_row(message=EDITED, **(usual | {"body": body or EDITED.body()} | columns))


def test_edited_message_goes_with_the_ledger_s_body():
    given_edited(EDITED.body() + " ")

    verdict = judge_one()

    assert (verdict["verdict"], verdict["body"]) == ("redrive", EDITED.body() + " ")
    assert verdict["payload_hash"] == EDITED.payload_hash


def test_copy_that_has_the_edited_body_already_needs_no_other():
    given_edited()

    verdict = judge_one(EDITED)

    assert verdict["verdict"] == "redrive"
    assert "body" not in verdict


def test_edited_body_is_what_is_judged_and_what_a_filter_sees():
    wrong = a_message(payload=a_transaction(currency="euro"))
    given_row(message=wrong, superseded_hashes=[MESSAGE.payload_hash], body=wrong.body())

    assert judge_one()["reason"]["type"] == "InvalidPayload"
    assert judge_one(only=Filter(payload={"currency": "EUR"}))["verdict"] == "left"
    assert judge_one(only=Filter(payload={"currency": "euro"}))["verdict"] == "quarantine"


def test_copy_that_was_never_this_message_s_is_a_conflict_also_when_it_was_edited():
    given_edited()

    other = a_message(payload=a_transaction(amount="12.00"))

    assert judge_one(other)["reason"]["type"] == "MessageConflict"


def first_sent(seconds):
    return a_message(first_sent_at=(datetime.now(UTC) - timedelta(seconds=seconds)).isoformat())


@pytest.mark.parametrize(("beyond", "kind"), [(60, "quarantine"), (-60, "redrive")])
def test_message_is_too_old_fourteen_days_after_it_was_first_sent(beyond, kind):
    message = first_sent(14 * 86_400 + beyond)
    given_row(message=message)

    verdict = judge_one(message)

    assert verdict["verdict"] == kind
    assert verdict["reason"]["type"] == ("TooOld" if kind == "quarantine" else "")


def test_type_without_an_age_has_none(monkeypatch):
    monkeypatch.setattr("workflows.messages.transaction.MAX_AGE_SECONDS", None)
    message = first_sent(400 * 86_400)
    given_row(message=message)

    assert judge_one(message)["verdict"] == "redrive"


def test_processed_comes_before_too_old():
    message = first_sent(15 * 86_400)
    given_row("PROCESSED", message=message)

    assert judge_one(message)["verdict"] == "settled"


@pytest.mark.parametrize("body", [MESSAGE.body(), "{"], ids=["ours", "foreign"])
def test_unknown_message_that_is_left_out_is_to_be_noted(body):
    verdict = judge_one(body, only=NOTHING)

    assert (verdict["verdict"], verdict["unnoted"], verdict["known"]) == ("left", True, False)
    assert verdict["reason"]["type"] in ("UnknownMessage", "InvalidEnvelope")


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED", "PROCESSED", "REDRIVEN"])
def test_what_the_ledger_knows_is_not_noted_again_when_it_is_left_out(status):
    given_row(status)

    verdict = judge_one(only=NOTHING)

    assert (verdict["verdict"], verdict["unnoted"]) == ("left", False)


def test_noted_unknown_message_is_quarantined_by_a_run_that_takes_it():
    why = {"type": "UnknownMessage", "message": "The ledger does not know it."}
    given_row("DEAD", reason=why)

    verdict = judge_one()

    assert (verdict["verdict"], verdict["known"]) == ("quarantine", True)
    assert verdict["reason"]["type"] == "UnknownMessage"


def test_what_lies_behind_a_left_out_message_in_its_group_is_left_and_other_groups_are_not():
    ids = {"a": "m-a", "b": "m-b", "c": "m-c"}
    messages = {
        name: a_message(message_id=message_id, group_id="acc-2" if name == "c" else "acc-1")
        for name, message_id in ids.items()
    }
    for message in messages.values():
        given_row(message=message)

    found = judge(
        letter(messages["a"], sqs_id="1"),
        letter(messages["b"], sqs_id="2"),
        letter(messages["c"], "acc-2", sqs_id="3"),
        only=Filter(message_ids=["m-b", "m-c"]),
    )

    assert [verdict["verdict"] for verdict in found] == ["left", "left", "redrive"]
    assert [verdict["wave"] for verdict in found] == [0, 0, 0]


FROZEN = {"type": "AccountFrozen", "message": "Account acc-1 is frozen."}
BY_ITS_RECORD = [
    Filter(reason="AccountFrozen"),
    Filter(fingerprint=fingerprint("transaction", FROZEN)),
]


@pytest.mark.parametrize("only", BY_ITS_RECORD, ids=["reason", "fingerprint"])
def test_filter_asks_why_a_message_died_and_not_what_is_wrong_with_it_besides(only):
    given_row(reason=FROZEN, redrives=LIMIT)

    verdict = judge_one(only=only)

    assert (verdict["verdict"], verdict["reason"]["type"]) == ("quarantine", "RedriveLimitReached")
    assert judge_one(only=Filter(reason="RedriveLimitReached"))["verdict"] == "left"


@pytest.mark.parametrize("only", BY_ITS_RECORD, ids=["reason", "fingerprint"])
def test_filter_takes_a_message_that_nobody_noted_for_crashed_whatever_failed_before(only):
    given_row("PROCESSING", reason=FROZEN)

    assert judge_one(only=only)["verdict"] == "left"
    assert judge_one(only=Filter(reason="ConsumerCrashed"))["verdict"] == "redrive"


def test_conflicting_message_that_was_noted_has_the_type_of_its_record():
    given_row()
    other = a_message(payload=a_transaction(amount="12.00"))
    noted = judge_one(other, only=NOTHING)
    row = {
        "message_id": noted["ledger_id"],
        "status": "DEAD",
        "type": noted["type"],
        "reason": noted["reason"],
        "payload_hash": noted["payload_hash"],
        "redrives": 0,
        "execution_arns": [],
    }
    aws.dynamodb().put_item(TableName="Messages", Item=row)

    verdict = judge_one(other, only=Filter(type="transaction", reason="MessageConflict"))

    assert (verdict["verdict"], verdict["known"]) == ("quarantine", True)

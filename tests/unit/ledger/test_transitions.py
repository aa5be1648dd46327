"""The ledger: which step each status allows, to whom, and what the sparse index shows."""

import re

import pytest

from tests.support.at_status import (
    BODY,
    ERROR,
    ID,
    MESSAGE,
    OTHER,
    STATUSES,
    TROUBLES,
    attempt,
    fall_into,
    put,
    write,
)
from tests.support.messages import a_message
from tests.support.troubles import row
from workflows.ledger import attempts, claims, lookup, transitions, trouble
from workflows.ledger.lookup import MessageNotFound
from workflows.messages.carried import NOTHING
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.messages.message_types import meaning_hash
from workflows.messages.reasons import reason_of
from workflows.runtime import aws, clock

WHY = {"type": "AccountFrozen", "message": "Account acc-1 is frozen."}
GIVEN_UP = {"reason": "given up", "by": "o@example.com", "at": "2026-11-24T12:00:00.000Z"}
UNTIL = 1  # of a lease that is over
LEASED = attempts.Lease(UNTIL, sole=True, body="")

pytestmark = pytest.mark.usefixtures("tables")


def without_expiry(item):
    return {name: value for name, value in item.items() if name != "expires_at"}


def assert_expires_in_90_days(item):
    assert 90 * 86_400 - 5 < item["expires_at"] - clock.epoch() <= 90 * 86_400


STEPS = {
    "queued": (lambda: transitions.queued(ID), {"ACCEPTED": "QUEUED"}),
    "processed": (lambda: transitions.processed(ID), dict.fromkeys(STATUSES, "PROCESSED")),
    "parked": (lambda: write(transitions.parked(MESSAGE, attempt())), {"PROCESSING": "PARKED"}),
    "retrying": (lambda: fall_into("RETRYING"), {"PROCESSING": "RETRYING"}),
    "dead": (lambda: fall_into("DEAD"), {"PROCESSING": "DEAD"}),
    "quarantine": (
        lambda: transitions.quarantine(MESSAGE, BODY, NOTHING, ERROR, attempt()),
        {"DEAD": "QUARANTINED", "PROCESSING": "QUARANTINED"},  # of a worker that is gone
    ),
    "discarded": (
        lambda: write(transitions.discarded(ID, GIVEN_UP)),
        dict.fromkeys(["DEAD", "QUARANTINED"], "DISCARDED"),
    ),
    "failed_again": (
        lambda: attempts.failed_again(ID, WHY, final=False, attempt=attempt(), lease=LEASED),
        {"RETRYING": "RETRYING"},
    ),
    "claim": (
        lambda: claims.claim(MESSAGE),
        dict.fromkeys(["ACCEPTED", "QUEUED", "REDRIVEN", "PROCESSING", "DEAD"], "PROCESSING"),
    ),
}
NEEDED = {"quarantine": {"redrive_limit": 0}, "failed_again": {"lease_until": UNTIL}}
PARTS = ["parked", "retrying", "dead", "discarded"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("step", STEPS)
def test_step_changes_only_the_statuses_it_may(step, status):
    take, allowed = STEPS[step]
    put(status, **NEEDED.get(step, {}))
    before = row()

    answer = take()

    assert row()["status"] == allowed.get(status, status)
    assert (row() != before) == (status in allowed)
    if step in PARTS:
        assert answer == (status in allowed)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "claim"])
def test_only_a_claim_makes_a_row(step):
    STEPS[step][0]()
    with pytest.raises(MessageNotFound, match=ID):
        row()


def test_accepted_row_says_who_sent_what_when():
    assert transitions.accept(MESSAGE) is None

    found = row()
    assert_expires_in_90_days(found)
    assert without_expiry(found) == {
        "message_id": ID, "type": "transaction", "group_id": "acc-1",
        "payload_hash": MESSAGE.payload_hash, "meaning_hash": meaning_hash(MESSAGE),
        "first_sent_at": "2026-11-24T12:00:00.123Z", "submitted_by": "p@example.com",
        "trace_id": "trace-1", "status": "ACCEPTED", "attempts": 0, "attempts_total": 0,
        "redrives": 0, "execution_arns": [], "journey": [],
    }  # fmt: skip


def test_id_that_is_taken_gives_the_older_row_and_stays():
    transitions.accept(MESSAGE)
    before = row()

    assert transitions.accept(OTHER) == before
    assert row() == before


@pytest.mark.parametrize("trouble", sorted(TROUBLES))
def test_row_in_trouble_holds_body_and_reason_and_is_free_and_lasting(trouble):
    claims.claim(MESSAGE)
    fall_into(trouble)

    found = row()
    assert (found["status"], found["trouble"]) == (trouble, trouble)
    assert (found["body"], found["reason"]) == (BODY, reason_of(ERROR))
    assert found["execution_arns"] == (["arn:1"] if trouble == "RETRYING" else [])
    assert not {"lease_until", "expires_at"} & found.keys()


def test_parked_row_is_free_untried_and_lasting():
    transitions.accept(MESSAGE)
    claims.claim(MESSAGE)
    write(transitions.parked(MESSAGE, attempt()))

    found = row()
    assert (found["status"], found["attempts"]) == ("PARKED", 0)
    assert not {"lease_until", "expires_at", "trouble"} & found.keys()


@pytest.mark.parametrize("status", [*sorted(TROUBLES), "PARKED"])
def test_row_that_was_lasting_expires_once_it_is_processed(status):
    put(status)
    aws.dynamodb().put_item(TableName="Messages", Item=without_expiry(row()))
    transitions.processed(ID)

    assert_expires_in_90_days(row())


def test_executions_are_kept_in_order():
    for execution in ("arn:1", "arn:2"):
        put("PROCESSING", execution_arns=row()["execution_arns"] if execution == "arn:2" else [])
        fall_into("RETRYING", execution)

    assert row()["execution_arns"] == ["arn:1", "arn:2"]


@pytest.mark.parametrize("trouble", ["DEAD", "QUARANTINED"])
def test_discarded_row_keeps_body_reason_and_who_gave_it_up_but_not_forever(trouble):
    claims.claim(MESSAGE)
    fall_into(trouble)

    write(transitions.discarded(ID, GIVEN_UP))

    found = row()
    assert (found["status"], found["discarded"]) == ("DISCARDED", GIVEN_UP)
    assert (found["body"], found["reason"]) == (BODY, reason_of(ERROR))
    assert "trouble" not in found
    assert_expires_in_90_days(found)


@pytest.mark.parametrize("status", sorted(TROUBLES))
def test_processed_row_forgets_its_trouble_but_not_its_journey(status):
    put(status, reason=WHY, attempts=3, redrives=1, execution_arns=["arn:1"])
    transitions.processed(ID)

    found = row()
    assert not {"trouble", "body", "reason", "lease_until"} & found.keys()
    assert (found["attempts"], found["redrives"], found["execution_arns"]) == (3, 1, ["arn:1"])


def test_first_processing_time_stays(monkeypatch):
    transitions.accept(MESSAGE)
    monkeypatch.setattr(clock, "now", lambda: "2026-01-01T00:00:00.000Z")
    transitions.processed(ID)
    monkeypatch.setattr(clock, "now", lambda: "2026-01-02T00:00:00.000Z")
    transitions.processed(ID)

    assert row()["processed_at"] == "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize("status", STATUSES)
def test_index_shows_messages_in_trouble_and_no_others(status):
    put(status, updated_at=clock.now())

    counts = {name: trouble.count(name, DEFAULT_QUEUE) for name in trouble.LISTED}
    assert counts == {name: int(name == status) for name in trouble.LISTED}
    found = aws.dynamodb().scan(TableName="Messages", IndexName=trouble.TROUBLE_INDEX)
    assert found["Count"] == int(status in trouble.LISTED)


def test_oldest_is_the_one_longest_in_trouble():
    assert trouble.oldest("DEAD", DEFAULT_QUEUE) is None
    for number, day in enumerate(("03", "01", "02")):
        message = a_message(message_id=f"m-{number}")
        put("DEAD", message, updated_at=f"2026-01-{day}T00:00:00.000Z")
    put("RETRYING", a_message(message_id="m-9"), updated_at="2025-01-01T00:00:00.000Z")

    assert trouble.oldest("DEAD", DEFAULT_QUEUE) == "2026-01-01T00:00:00.000Z"


def test_many_rows_are_read_by_id_and_unknown_ids_are_absent():
    columns = {
        "redrive_limit", "superseded_hashes", "edited_meaning_hash", "redrive_mark", "redriven_by",
        "reason", "dead_at", "updated_at", "trouble", "lease_until",
    }  # fmt: skip
    for number in range(3):
        put("DEAD", a_message(message_id=f"m-{number}"), **dict.fromkeys(columns, "any"))

    found = lookup.get_many(["m-0", "m-2", "m-2", "unknown"])

    assert set(found) == {"m-0", "m-2"}
    assert set(found["m-0"]) == columns | {
        "message_id", "status", "redrives", "payload_hash", "meaning_hash", "execution_arns",
        "first_sent_at", "type", "group_id", "attempts_total",
    }  # fmt: skip
    assert lookup.get_many([]) == {}


def test_what_one_answer_left_out_is_asked_for_again(monkeypatch):
    for number in range(3):
        put("DEAD", a_message(message_id=f"m-{number}"))
    read = aws.dynamodb().batch_get_item

    def one_at_a_time(RequestItems):  # noqa: N803 - boto3's
        (table, wanted), *_ = RequestItems.items()
        first, rest = wanted["Keys"][:1], wanted["Keys"][1:]
        answer = read(RequestItems={table: wanted | {"Keys": first}})
        return answer | {"UnprocessedKeys": {table: wanted | {"Keys": rest}} if rest else {}}

    monkeypatch.setattr(aws.dynamodb(), "batch_get_item", one_at_a_time)
    assert set(lookup.get_many(["m-0", "m-1", "m-2"])) == {"m-0", "m-1", "m-2"}


_PARAMS = "provide-client-params.dynamodb"


@pytest.mark.parametrize("step", STEPS)
def test_expression_uses_every_name_and_value_it_is_given(step):
    put("PROCESSING")
    asked = []
    on = aws.dynamodb().meta.events.register
    on(f"{_PARAMS}.UpdateItem", lambda params, **_: asked.append(params))
    on(
        f"{_PARAMS}.TransactWriteItems",
        lambda params, **_: asked.extend(item["Update"] for item in params["TransactItems"]),
    )
    STEPS[step][0]()

    for words in asked:
        text = words["UpdateExpression"] + words["ConditionExpression"]
        given = words["ExpressionAttributeNames"] | words["ExpressionAttributeValues"]
        assert set(re.findall(r"[:#]\w+", text)) == set(given)
    assert asked

"""Old copies of a registered queue's message: the edited body goes in their place, once."""

import base64
import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.support.messages import an_operator
from tests.support.pairs import STANDARD
from workflows.ledger import audit, lookup
from workflows.ledger.transitions import NotInTrouble
from workflows.messages.carried import Carried
from workflows.messages.filters import Filter
from workflows.operator import retry_by_hand
from workflows.operator.edit import edit
from workflows.operator.retry_by_hand import RetryRequest
from workflows.queues import registry
from workflows.queues.letters import hash_of, identity_attribute
from workflows.queues.queue import Queue
from workflows.redrive import batch, partiql, plan, statements
from workflows.redrive.columns import Turn
from workflows.redrive.judge import Judge
from workflows.redrive.lane import Lane
from workflows.runtime import aws, clock

ACTOR = an_operator()
ID = "sqs:orders:o-1"
OLD, NEW, OTHER = (f'{{"id": "o-1", "v": "{v}"}}' for v in ("old", "new", "other"))
BINARY = {"DataType": "Binary", "BinaryValue": base64.b64encode(b"\x00\xff").decode()}
IDENTITY = identity_attribute(ID, NEW)
RUNS = (f"20261124T1200{number:02}Z-abcdef01" for number in itertools.count())


@pytest.fixture(autouse=True)
def registered(tables, queues):
    """Give each test the tables and a registered queue."""
    for name in ("orders", "orders-dead"):
        queues.create_queue(QueueName=name)
    registry.register(STANDARD, "o")


def letter(body=OLD, sqs_id="sqs-1") -> Any:
    return {
        "MessageId": sqs_id,
        "Body": body,
        "Attributes": {"SentTimestamp": str(clock.milliseconds())},
        "MessageAttributes": {"raw": BINARY},
    }


def judged(given=None, *, run="r", queue: Queue = STANDARD, only=None, looks=False):
    (verdict,) = Judge(run, only or Filter(), queue, looks=looks).judge([given or letter()])
    return verdict


def write(verdict, given=None, run="r"):
    """Execute what a verdict writes, with the body in the place of its mark; tell if it held."""
    given = given or letter()
    statement = statements.of(verdict, given, Turn(run, STANDARD, "arn:leg", f"{run}#0.1"))
    if statement is None:
        return None
    statement.pop("ReturnValuesOnConditionCheckFailure", None)
    statement["Parameters"] = [
        {"S": given["Body"]} if "body" in one else one for one in statement["Parameters"]
    ]
    return partiql.execute([statement])[0]


def run_over(run):
    """Write the record of a run whose first turn SQS has taken."""
    item: Any = {"run_id": run, "trigger": "api", "settled_0": {"turn": 1}}
    aws.dynamodb().put_item(TableName="Runs", Item=item)


def redrive(given=None):
    """Let a run judge and send a letter; return its verdict."""
    run = next(RUNS)
    verdict = judged(given, run=run)
    assert (verdict["verdict"], write(verdict, given, run)) == ("redrive", True)
    run_over(run)
    return verdict


def given_edited(body=NEW):
    """Note a letter as dead, and edit it; the letter lies on the queue as it did."""
    assert write(judged(looks=True))
    edit(ID, body, ACTOR)


def row(message_id=ID):
    return lookup.get(message_id)


def said(verdict):
    return verdict["verdict"], verdict["left_because"] or verdict["reason"]["type"]


def test_old_copy_is_sent_with_the_edited_body_and_the_attributes_that_tell_whose_it_is():
    given_edited()

    verdict = judged()
    turn = Turn("r", STANDARD, "arn:leg", "r#0.1")
    entry = batch.guarded(turn, Lane(), [letter()], [verdict])["verdicts"][0]["entry"]

    assert verdict["verdict"] == "redrive"
    assert entry["MessageBody"] == NEW
    assert entry["MessageAttributes"] == {"raw": BINARY} | IDENTITY
    assert write(verdict)
    assert (row()["status"], row()["redrives"]) == ("REDRIVEN", 1)
    assert row()["sent_hash"] == row()["payload_hash"] == hash_of(NEW)


def test_edited_copy_that_came_back_goes_as_it_is_and_is_counted_with_the_first():
    given_edited()
    redrive()
    back = letter(NEW, "sqs-2") | {"MessageAttributes": {"raw": BINARY} | IDENTITY}

    verdict = judged(back)

    assert (said(verdict), verdict["unnoted"]) == (("redrive", "DeadLettered"), True)
    assert "body" not in verdict
    assert (verdict["ledger_id"], verdict["redrives"]) == (ID, 1)


def test_old_copy_is_deleted_once_sqs_has_the_edited_body_and_is_none_that_came_back():
    given_edited()
    redrive()

    for sqs_id in ("sqs-1", "sqs-2"):  # the letter of which the row speaks, and another old copy
        verdict = judged(letter(sqs_id=sqs_id))
        assert (verdict["verdict"], verdict["unnoted"]) == ("settled", False)


def test_old_copy_is_deleted_once_a_person_sent_the_edited_body(queues):
    given_edited()
    retry_by_hand.retry(ID, RetryRequest(), ACTOR)

    assert {judged(letter(sqs_id=one))["verdict"] for one in ("sqs-1", "sqs-2")} == {"settled"}


def test_old_copy_is_sent_while_it_is_not_certain_that_the_edited_body_was():
    given_edited()
    verdict = judged(run="gone")
    assert write(verdict, run="gone")  # and nothing tells whether it was sent

    again = judged(letter(sqs_id="sqs-2"))

    assert (said(again), again["unnoted"]) == (("redrive", "DeadLettered"), False)
    assert again["body"] == NEW


def test_another_letter_of_the_identity_is_no_copy_and_undoes_no_edit():
    given_edited()
    other = letter(OTHER, "sqs-3")

    redrive(other)
    assert row()["sent_hash"] == hash_of(OTHER)
    verdict = judged()

    # SQS has the other body, and not the edited one.
    assert (verdict["verdict"], verdict["body"]) == ("redrive", NEW)


def test_old_copy_is_kept_by_itself_where_the_row_speaks_of_another_letter_since():
    given_edited()
    redrive(letter(OTHER, "sqs-3"))
    other = letter(OTHER, "sqs-4")
    assert write(judged(other, looks=True), other)  # it came back: the row has its body

    verdict = judged()

    assert said(verdict) == ("quarantine", "Superseded")
    assert verdict["ledger_id"] == "sqs:orders:@sqs-1"
    assert "body" not in verdict
    assert write(verdict)
    assert row(verdict["ledger_id"])["body"] == OLD


@pytest.mark.parametrize("looks", [False, True], ids=["redrives", "notes"])
def test_edit_between_judgement_and_write_is_not_undone(looks):
    assert write(judged(looks=True))
    if looks:  # a run that was stopped has counted it, and another copy came back
        assert write(judged())
        changed = {"status": "REDRIVEN", "trouble": "DEAD", "listed": "orders/DEAD#0"}
        item: Any = row() | changed
        aws.dynamodb().put_item(TableName="Messages", Item=item)
    given = letter(sqs_id="sqs-2" if looks else "sqs-1")
    verdict = judged(given, looks=looks)

    edit(ID, NEW, ACTOR)

    assert write(verdict, given) is False
    assert row()["body"] == NEW
    assert judged(given)["body"] == NEW


def test_write_of_a_run_between_reading_and_editing_refuses_the_edit(monkeypatch):
    assert write(judged(looks=True))
    entry = audit.entry

    def after_a_guard(*given, **named):
        if row()["status"] == "DEAD":
            assert write(judged())
        return entry(*given, **named)

    monkeypatch.setattr(audit, "entry", after_a_guard)
    with pytest.raises(NotInTrouble, match="REDRIVEN"):
        edit(ID, NEW, ACTOR)
    assert (row()["status"], row()["body"]) == ("REDRIVEN", OLD)


def test_what_is_stored_of_an_old_copy_is_the_edited_body():
    given_edited()
    item: Any = row() | {"redrive_limit": 0}
    aws.dynamodb().put_item(TableName="Messages", Item=item)

    verdict = judged()

    assert said(verdict) == ("quarantine", "RedriveLimitReached")
    assert write(verdict)
    assert (row()["status"], row()["body"]) == ("QUARANTINED", NEW)
    assert Carried.beside(row()).attributes == {"raw": BINARY} | IDENTITY
    assert judged()["verdict"] == "settled"
    another = judged(letter(sqs_id="sqs-2"))
    assert said(another) == ("quarantine", "AlreadySettled")
    assert "body" not in another  # which is kept by itself, as it is


def test_looking_leaves_an_edited_message_as_it_is():
    given_edited()
    before = row()

    assert write(judged(looks=True)) is None
    assert row() == before


def test_filter_schema_and_labels_are_of_the_edited_body():
    queue = replace(STANDARD, type="body.v")
    registry.register(queue, "o")
    assert write(judged(looks=True, queue=queue))
    edit(ID, NEW, ACTOR)
    strict = replace(queue, schema={"properties": {"v": {"const": "old"}}})

    assert said(judged(queue=strict)) == ("quarantine", "InvalidBody")
    for only, kind in ((Filter(payload={"v": "new"}), "redrive"), (Filter(type="old"), "left")):
        assert judged(queue=queue, only=only)["verdict"] == kind
        assert plan.draw({}, only, None, None, queue).counts == {kind: 1}


def test_letter_kept_by_itself_and_edited_is_stored_as_it_was_edited():
    own = "sqs:orders:@sqs-1"
    given_edited()
    item: Any = row() | {"message_id": own, "superseded_hashes": [hash_of(OLD)], "body": NEW}
    aws.dynamodb().put_item(TableName="Messages", Item=item)

    verdict = judged()

    assert (said(verdict), verdict["body"]) == (("quarantine", "AlreadySettled"), NEW)

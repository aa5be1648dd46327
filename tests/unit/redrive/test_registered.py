"""The judgement of a registered queue's dead letters, and what it writes."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.cloud import ENVIRONMENT
from tests.support.pairs import STANDARD
from workflows.ledger import conditions, listing, lookup, trouble
from workflows.messages.filters import Filter
from workflows.queues.queue import Queue
from workflows.redrive import batch, partiql, reading, statements
from workflows.redrive.columns import Turn
from workflows.redrive.judge import Judge
from workflows.redrive.lane import Guarded, Lane
from workflows.runtime import aws, clock

RUN = "20261124T120000Z-abcdef01"
BEFORE = "20261123T120000Z-abcdef01"
LIMIT = int(ENVIRONMENT["MAX_REDRIVES"])
ID = "sqs:orders:o-1"
FIFO = replace(STANDARD, fifo=True)


@pytest.fixture(autouse=True)
def _messages(tables):
    """Every test needs the tables."""


def letter(number=1, sqs_id="sqs-1", group="", **body) -> Any:
    attributes = {"SentTimestamp": str(clock.milliseconds())} | (
        {"MessageGroupId": group} if group else {}
    )
    text = json.dumps({"id": f"o-{number}"} | body)
    return {"MessageId": sqs_id, "Body": text, "Attributes": attributes}


def given_row(status="REDRIVEN", **columns):
    row: dict[str, Any] = {
        "message_id": ID, "status": status, "type": "orders", "group_id": "", "payload_hash": "h",
        "redrives": 1, "redrive_limit": LIMIT, "attempts_total": 0, "letter_id": "sqs-1",
        "redrive_mark": f"{BEFORE}#0.1", "first_sent_at": clock.now(), "trouble": "REDRIVING",
        "execution_arns": [], "journey": [],
    }  # fmt: skip
    item: Any = {name: value for name, value in (row | columns).items() if value is not None}
    aws.dynamodb().put_item(TableName="Messages", Item=item)


def given_run(turn):
    item: Any = {"run_id": BEFORE, "trigger": "api", "settled_0": {"turn": turn}}
    aws.dynamodb().put_item(TableName="Runs", Item=item)


def judge(*letters, queue: Queue = STANDARD, only=None, looks=False):
    return Judge(RUN, only or Filter(), queue, looks=looks).judge(list(letters))


def judge_one(*, queue: Queue = STANDARD, **where):
    (verdict,) = judge(letter(**where), queue=queue)
    return verdict


def said(verdict):
    return verdict["verdict"], verdict["left_because"] or verdict["reason"]["type"]


def test_message_that_nobody_has_met_is_redriven_and_its_row_is_made_by_the_guard():
    verdict = judge_one()
    turn = Turn(RUN, STANDARD, "arn:leg", f"{RUN}#0.1")
    statement = statements.of(verdict, letter(), turn)

    assert said(verdict) == ("redrive", "DeadLettered")
    assert statement is not None
    assert statement["Statement"].startswith('INSERT INTO "Messages"')
    written = dict(
        zip(
            [part.strip("'{ ") for part in statement["Statement"].split("VALUE ")[1].split(":?")],
            statement["Parameters"],
            strict=False,
        )
    )
    names = {name.strip(",'"): value for name, value in written.items()}
    assert names["redrives"] == {"N": "1"}
    assert names["trouble"] == {"S": "REDRIVING"}
    assert names["status"] == {"S": "REDRIVEN"}
    assert names["letter_id"] == {"S": "sqs-1"}
    assert names["redrive_limit"] == {"N": str(LIMIT)}


@pytest.mark.parametrize(
    ("redrives", "queue", "kind"),
    [
        (LIMIT - 1, STANDARD, ("redrive", "DeadLettered")),
        (LIMIT, STANDARD, ("quarantine", "RedriveLimitReached")),
        (LIMIT + 1, replace(STANDARD, max_redrives=25), ("quarantine", "RedriveLimitReached")),
    ],
)
def test_message_that_came_back_is_redriven_as_often_as_its_row_allows(redrives, queue, kind):
    given_row(redrives=redrives, letter_id="sqs-0")
    verdict = judge_one(queue=queue)

    assert said(verdict) == kind
    assert verdict["unnoted"]


@pytest.mark.parametrize(
    ("status", "kind"), [("QUARANTINED", "settled"), ("DISCARDED", "discarded")]
)
def test_letter_that_was_given_up_is_deleted_and_no_other_of_its_identity(status, kind):
    given_row(status, trouble=None)

    assert judge_one()["verdict"] == kind
    other = judge_one(sqs_id="sqs-2")
    assert said(other) == ("quarantine", "AlreadySettled")
    assert (other["ledger_id"], other["known"]) != (ID, True)

    given_row("QUARANTINED", message_id=other["ledger_id"], letter_id="sqs-2")
    assert judge_one(sqs_id="sqs-2")["verdict"] == "settled"


def test_what_this_run_sent_is_left_and_what_of_it_came_back_is_noted():
    given_row(redrive_mark=f"{RUN}#0.1")

    mine, back = judge_one(), judge_one(sqs_id="sqs-2")

    assert (said(mine), mine["unnoted"]) == (("left", "busy"), False)
    assert (said(back), back["unnoted"]) == (("left", "busy"), True)


@pytest.mark.parametrize(
    ("turn", "columns", "kind"),
    [
        (1, {}, "settled"),  # the run's record says that SQS has it
        (0, {}, "redrive"),  # it ended before that was known
        (None, {}, "redrive"),  # it is forgotten
        (1, {"letter_id": "sqs-0"}, "redrive"),  # it came back since
        (1, {"trouble": "DEAD"}, "redrive"),  # it was let go of
        (1, {"trouble": "none"}, "redrive"),  # nothing would have let go of it
        (0, {"redrive_mark": f"{conditions.BY_HAND}1", "trouble": None}, "settled"),
        (0, {"redrive_mark": f"{conditions.BY_HAND}1", "trouble": "SENDING"}, "left"),
    ],
)
def test_letter_that_was_sent_and_not_deleted_is_not_sent_once_more(turn, columns, kind):
    if turn is not None:
        given_run(turn)
    given_row(**{"redrive_mark": f"{BEFORE}#0.1"} | columns)

    assert judge_one()["verdict"] == kind


@pytest.mark.parametrize("met", [False, True], ids=["unmet", "came back"])
def test_message_that_sqs_refused_is_let_go_of_and_not_taken_for_sent(met):
    if met:
        given_row(letter_id="sqs-0", trouble=None)
    turn = Turn(BEFORE, STANDARD, "arn:leg", f"{BEFORE}#0.1")
    (verdict,) = Judge(BEFORE + "x", Filter(), STANDARD).judge([letter()])
    guard = statements.of(verdict, letter(), turn)
    assert guard is not None
    guard.pop("ReturnValuesOnConditionCheckFailure", None)
    redrives = verdict["redrives"] + 1

    for statement in (guard, statements.let_go(Guarded(id=ID, redrives=redrives), BEFORE)):
        partiql.execute([statement])
    given_run(1)  # which has settled the turn since

    items: Any = aws.dynamodb().scan(TableName="Messages")["Items"]
    (row,) = items
    assert (row["status"], row["trouble"], row["redrives"]) == ("DEAD", "DEAD", redrives)
    assert "expires_at" not in row
    assert judge_one()["verdict"] == "redrive"


def test_copy_that_was_only_noted_is_not_taken_for_stored():
    given_row("QUARANTINED", trouble=None, letter_id="sqs-0")
    given_row("DEAD", message_id="sqs:orders:@sqs-1", trouble="DEAD")

    assert said(judge_one()) == ("quarantine", "AlreadySettled")


def test_message_too_old_or_unlike_its_schema_is_quarantined():
    old = replace(STANDARD, max_age_seconds=60)
    schema = replace(STANDARD, schema={"type": "object", "required": ["total"]})
    given = letter() | {"Attributes": {"SentTimestamp": "1700000000000"}}

    assert said(judge(given, queue=old)[0]) == ("quarantine", "TooOld")
    assert said(judge_one(queue=schema)) == ("quarantine", "InvalidBody")
    assert said(judge_one(queue=schema, total=1)) == ("redrive", "DeadLettered")
    (text,) = judge(letter() | {"Body": "text"}, queue=schema)
    assert said(text) == ("quarantine", "InvalidBody")


def test_order_is_kept_in_groups_of_a_fifo_queue_and_nowhere_on_a_standard_one():
    letters = [letter(n, f"sqs-{n}", "g") for n in range(3)]

    assert [v["wave"] for v in judge(*letters, queue=FIFO)] == [0, 1, 2]
    assert [v["wave"] for v in judge(*letters)] == [0, 0, 0]
    only = Filter(message_ids=["sqs:orders:o-1"])
    assert [said(v)[0] for v in judge(*letters, only=only)] == ["left", "redrive", "left"]
    kept = [said(v) for v in judge(*letters, queue=FIFO, only=only)]
    assert kept == [("left", "filter"), ("left", "group"), ("left", "group")]


def test_second_copy_in_a_batch_waits_for_the_first():
    first, second = judge(letter(), letter(sqs_id="sqs-2"))

    assert (said(first)[0], said(second)) == ("redrive", ("left", "copy"))


def test_run_that_looks_leaves_everything_and_notes_it():
    (verdict,) = judge(letter(), looks=True)
    statement = statements.of(verdict, letter(), Turn(RUN, STANDARD, "arn:leg", "mark"))

    assert (said(verdict), verdict["unnoted"]) == (("left", "look"), True)
    assert statement is not None
    assert "DEAD" in json.dumps(statement)
    assert "orders/DEAD#" in json.dumps(statement)


def test_letters_of_a_group_are_listed_in_their_order_though_noted_in_one_moment(monkeypatch):
    """In which a bulk action of a person takes them."""
    monkeypatch.setattr(clock, "now", lambda: "2026-11-30T12:00:00.000Z")
    numbers = [9, 3, 7, 1, 5]
    letters = [letter(number, sqs_id=f"sqs-{number}", group="g") for number in numbers]
    turn = Turn(RUN, FIFO, "arn:leg", "mark")

    found = [
        statements.of(verdict, one, turn)
        for verdict, one in zip(judge(*letters, queue=FIFO, looks=True), letters, strict=True)
    ]
    partiql.ask([one for one in found if one], [one["Body"] for one in letters])

    listed = [row["message_id"] for row in trouble.every("DEAD", Filter(), "orders")]
    assert listed == [f"sqs:orders:o-{number}" for number in numbers]


@pytest.mark.parametrize(
    ("queue", "group", "names"),
    [
        (STANDARD, "", {"Id"}),
        (STANDARD, "tenant", {"Id", "MessageGroupId"}),
        (FIFO, "g", {"Id", "MessageGroupId", "MessageDeduplicationId"}),
    ],
)
def test_entry_has_what_a_queue_of_its_kind_takes(queue, group, names):
    given = letter(group=group)
    turn = Turn(RUN, queue, "arn:leg", f"{RUN}#0.1")
    found = batch.guarded(turn, Lane(), [given], judge(given, queue=queue))

    entry = found["verdicts"][0]["entry"]
    assert entry.keys() == names
    assert entry.get("MessageDeduplicationId", f"{ID}.r1") == f"{ID}.r1"


def test_message_whose_body_the_ledger_lacks_is_planned_by_what_its_row_says():
    """It was let go of, as SQS had refused it."""
    schema = replace(FIFO, schema={"type": "object", "required": ["total"]})
    for number, kind, status in ((1, "refund", "DEAD"), (2, "order", "REDRIVEN")):
        given_row(
            status, message_id=f"sqs:orders:o-{number}", trouble="DEAD", type=kind,
            group_id=f"customer-{number}", message_group=f"g-{number}",
            reason={"type": "Theirs", "message": "It said so."},
        )  # fmt: skip
    rows = lookup.get_many([f"sqs:orders:o-{number}" for number in (1, 2)], whole=True)
    letters = [reading.letter_of(rows[f"sqs:orders:o-{number}"]) for number in (1, 2)]

    found = Judge("", Filter(type="order"), schema).judge(letters)

    assert [verdict["verdict"] for verdict in found] == ["left", "redrive"]
    assert [(v["type"], v["group_id"], v["group"]) for v in found] == [
        ("refund", "customer-1", "g-1"),
        ("order", "customer-2", "g-2"),
    ]


def test_oldest_dead_letter_is_the_one_that_died_first_and_not_the_first_noted():
    for number, died in ((1, "2026-11-24T12:00:00.000Z"), (2, "2026-11-20T12:00:00.000Z")):
        given_row(
            "DEAD", message_id=f"sqs:orders:o-{number}", trouble="DEAD", dead_at=died,
            listed=listing.key("DEAD", f"sqs:orders:o-{number}"),
            updated_at=f"2026-11-30T12:00:0{number}.000Z",
        )  # fmt: skip

    assert trouble.oldest("DEAD", "orders") == "2026-11-20T12:00:00.000Z"
    assert trouble.oldest("DEAD", "others") is None

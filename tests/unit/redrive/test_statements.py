"""The statements of a run's guard: what each verdict writes, and under which condition.

That DynamoDB does what they say is for the tests of the machine, which run them.
"""

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from tests.support.pairs import BUILT_IN
from workflows.ledger.status import Status
from workflows.queues.queue import default
from workflows.redrive import statements
from workflows.redrive.columns import Turn
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Guarded, Lane
from workflows.runtime import shards

TURN = Turn("run-1", BUILT_IN, "arn:run-1", "run-1#0.7")
NOW = "2026-11-30T12:00:00.000Z"
LATER = NOW.replace(".000Z", ".003Z")  # by its place in the batch
CARRIED = {"team": "String\nblue", "/": "Root=1-2"}
REASON = {"type": "AccountFrozen", "message": "The account is frozen."}
LETTER: Any = {
    "MessageId": "sqs-1",
    "Body": "the body",
    "ReceiptHandle": "handle-3",
    "Attributes": {"MessageGroupId": "g-1", "AWSTraceHeader": "Root=1-2"},
    "MessageAttributes": {
        "team": {"DataType": "String", "StringValue": "blue"},
        "ReasonType": {"DataType": "String", "StringValue": "AccountFrozen"},
    },
}


def verdict(kind, **parts):
    judged = {
        "verdict": kind, "left_because": "", "index": 3, "group": "g-1", "wave": 1,
        "group_id": "g-1",
        "ledger_id": "m-1", "known": True, "unnoted": False, "status": "DEAD", "redrives": 2,
        "redrive_limit": 5, "attempts_total": 9, "reason": REASON, "type": "transaction",
        "first_sent_at": "2026-11-29T00:00:00.000Z", "dead_at": "2026-11-30T00:00:00.000Z",
        "payload_hash": "hash", "trace_id": "trace-1",
    }  # fmt: skip
    return judged | parts


@pytest.fixture(autouse=True)
def moment(environment, monkeypatch):
    monkeypatch.setattr("workflows.runtime.clock.now", lambda: NOW)
    monkeypatch.setattr("workflows.runtime.clock.epoch", lambda: 1_000)


def plain(parameter):
    """Return a parameter's value; a mark as it is."""
    if parameter.keys() & {"body", "seconds"}:
        return parameter
    return TypeDeserializer().deserialize(parameter)


def made(judged):
    """Return the statement on a verdict, which there must be."""
    statement = statements.of(judged, LETTER, TURN)
    assert statement is not None
    return statement


def read(statement):
    """Return a statement with its values put in: (what it does, its condition)."""
    values = [plain(parameter) for parameter in statement["Parameters"]]
    text = statement["Statement"].removeprefix("UPDATE ").replace('"', "")
    assert text.count("?") == len(values)
    for value in values:
        text = text.replace("?", f"‹{value}›", 1)
    done, _, condition = text.partition(" WHERE ")
    return done, condition


SHARD = shards.key("", "m-1")[1:]
JUDGED = "message_id=‹m-1› AND redrives=‹2› AND attempts_total=‹9›"


def test_redrive_counts_once_below_the_limit_and_of_no_row_that_went_on():
    done, condition = read(made(verdict("redrive")))

    event = {"event": "redriven", "at": NOW, "run_id": "run-1", "number": Decimal(3)}
    assert done == (
        "Messages SET status=‹REDRIVEN› SET trouble=‹REDRIVING›"
        " SET redrive_mark=‹run-1#0.7›"
        f" SET redriven_by=‹run-1#{SHARD}› SET attempts=‹0›"
        f" SET updated_at=‹{NOW}› SET execution_arns=list_append(execution_arns, ‹['arn:run-1']›)"
        f" SET journey=list_append(journey, ‹[{event}]›) SET redrives=redrives+1"
        " REMOVE listed"
    )
    assert condition == (
        f"{JUDGED} AND redrives<‹5› AND payload_hash=‹hash› AND status<>‹DISCARDED›"
        " AND status<>‹PARKED› AND status<>‹PROCESSED› AND status<>‹QUARANTINED›"
        " AND status<>‹RETRYING›"
    )


def test_refused_redrive_says_what_the_row_is():
    statement = made(verdict("redrive"))

    assert statement["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


def test_redrive_of_what_nobody_noted_as_dead_tells_its_death_and_is_listed_nowhere():
    judged = verdict("redrive", unnoted=True, status="QUEUED")
    done, condition = read(made(judged))

    assert "trouble" not in done
    assert done.index("'event': 'dead'") < done.index("'event': 'redriven'")
    assert condition == read(made(verdict("redrive")))[1]


def test_quarantine_keeps_body_reason_and_what_was_carried_of_the_row_as_judged():
    done, condition = read(made(verdict("quarantine")))

    stored = {
        "event": "quarantined", "at": NOW, "run_id": "run-1", "reason_type": "AccountFrozen",
    }  # fmt: skip
    assert done == (
        "Messages SET status=‹QUARANTINED› SET trouble=‹QUARANTINED›"
        f" SET listed=‹QUARANTINED#{SHARD}›"
        f" SET body=‹{{'body': 3}}› SET carried=‹{CARRIED}› SET reason=‹{REASON}›"
        f" SET updated_at=‹{LATER}› SET journey=list_append(journey, ‹[{stored}]›)"
        " REMOVE expires_at"
    )
    assert condition == f"{JUDGED} AND payload_hash=‹hash› AND status=‹DEAD›"


def test_quarantine_of_an_edited_message_keeps_the_edited_body():
    done, _ = read(made(verdict("quarantine", body="edited")))

    assert "SET body=‹edited›" in done


@pytest.mark.parametrize(
    ("kind", "status", "events"),
    [("quarantine", "QUARANTINED", ["dead", "quarantined"]), ("left", "DEAD", ["dead"])],
)
def test_what_the_ledger_does_not_know_is_a_new_row(kind, status, events):
    judged = verdict(kind, known=False, unnoted=True, ledger_id="sqs:sqs-1", type="foreign")
    statement = made(judged)
    names = statement["Statement"].partition("VALUE ")[2].strip("{}").replace(":?", "")
    values = map(plain, statement["Parameters"])
    row = dict(zip(names.replace("'", "").split(","), values, strict=True))

    assert statement["Statement"].startswith('INSERT INTO "Messages" ')
    assert [event["event"] for event in row.pop("journey")] == events
    assert row == {
        "message_id": "sqs:sqs-1", "group_id": "g-1", "status": status, "trouble": status,
        "listed": shards.key(status, "sqs:sqs-1"),
        "body": {"body": 3}, "carried": CARRIED, "reason": REASON, "updated_at": LATER,
        "type": "foreign", "payload_hash": "hash", "trace_id": "trace-1",
        "first_sent_at": "2026-11-29T00:00:00.000Z", "dead_at": "2026-11-30T00:00:00.000Z",
        "attempts": 0, "attempts_total": 0, "redrives": 0, "execution_arns": ["arn:run-1"],
    }  # fmt: skip


def test_what_is_left_and_not_listed_is_noted_as_dead_if_it_is_as_judged():
    judged = verdict("left", unnoted=True, status="QUEUED")
    done, condition = read(made(judged))

    assert "SET status=‹DEAD› SET trouble=‹DEAD›" in done
    assert "SET dead_at=‹2026-11-30T00:00:00.000Z›" in done
    assert "'event': 'dead'" in done
    assert condition == f"{JUDGED} AND status=‹QUEUED›"


@pytest.mark.parametrize("kind", ["settled", "discarded", "left"])
def test_other_verdicts_write_nothing(kind):
    assert statements.of(verdict(kind), LETTER, TURN) is None


def test_what_was_not_sent_is_dead_again_and_keeps_its_count():
    done, condition = read(statements.let_go(Guarded(id="m-1", redrives=3), "run-1"))

    event = {"event": "let_go", "at": NOW, "run_id": "run-1"}
    assert done == (
        f"Messages SET status=‹DEAD› SET trouble=‹DEAD› SET listed=‹DEAD#{SHARD}›"
        f" SET journey=list_append(journey, ‹[{event}]›) REMOVE redriven_by REMOVE expires_at"
    )
    assert condition == (
        f"message_id=‹m-1› AND redrives=‹3› AND trouble=‹REDRIVING› AND redriven_by=‹run-1#{SHARD}›"
    )


def test_lease_is_prolonged_by_its_holder():
    assert read(statements.renew_lease("run-1", default())) == (
        "Runs SET lease_until=‹{'seconds': 900}›",  # from when it is executed
        "run_id=‹LOCK#dead-letter.fifo› AND holder=‹run-1›",
    )


def test_progress_is_written_while_the_run_is_wanted():
    counts = {name: number for number, name in enumerate(COUNTED)}
    counts |= {"already_processed": 0, "discarded": 0, "failed": 0}
    lanes = [Lane(number=2, counts=counts), Lane(number=3, settled=4)]
    done, condition = read(statements.note_progress("run-1", lanes))

    assert done == (
        "Runs SET lane_2=‹{'quarantined': Decimal('1'), 'left': Decimal('5')}› SET lane_3=‹{}›"
        " SET settled_2=‹{'turn': Decimal('0')}› SET settled_3=‹{'turn': Decimal('4')}›"
    )
    assert condition == "run_id=‹run-1› AND status=‹RUNNING›"


def test_statuses_that_no_run_redrives_are_those_that_the_table_lacks():
    assert set(statements._NEVER_REDRIVEN) == {
        Status.DISCARDED, Status.PARKED, Status.PROCESSED, Status.QUARANTINED, Status.RETRYING,
    }  # fmt: skip

"""One batch: what the machine is told of each message, and the statements that go with a wave.

The machine pairs answers with statements by their order, and sends what `entry` says.
"""

import json
from typing import Any

import pytest

from tests.unit.redrive.test_statements import LETTER, TURN, read, verdict
from workflows.messages.ids import deduplication_id
from workflows.queues.queue import default
from workflows.redrive import batch, statements
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Guarded, Lane

COUNTS = dict.fromkeys(COUNTED, 0) | {"redriven": 4}
pytestmark = pytest.mark.usefixtures("environment", "later")  # which stops the clock


def one(kind, **parts):
    return verdict(kind, **{"index": 0} | parts)


def letters(count=4) -> Any:
    return [LETTER | {"ReceiptHandle": f"handle-{n}"} for n in range(count)]


def guarded(*judged, messages=None, **fields):
    """Return what the machine goes on with, and the lane as it was told."""
    lane = Lane(mark=TURN.mark, counts=COUNTS, **fields)
    found = batch.guarded(TURN, lane, messages or letters(10), list(judged))
    assert found["lane"] == lane.model_dump()
    assert json.loads(json.dumps(found)) == found
    return found


def shown(judged):
    (found,) = guarded(judged)["verdicts"]
    return found


ENTRY = {
    "Id": "0",
    "MessageGroupId": "g-1",
    "MessageDeduplicationId": deduplication_id("m-1", 3),
    "MessageSystemAttributes": {
        "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2"}
    },
}
KNOWN = {"id": "0", "index": 0, "wave": 1, "hold": 0, "group": "g-1"}
LEFT = {"id": "0", "index": 0, "wave": 1, "hold": 32_400}


@pytest.mark.parametrize(
    ("judged", "expected", "statement"),
    [
        (one("redrive"), KNOWN | {"entry": ENTRY}, True),
        (one("redrive", body="edited"), KNOWN | {"entry": ENTRY | {"MessageBody": "edited"}},
         True),
        (one("quarantine", body="edited"), KNOWN, True),
        (one("settled"), KNOWN, False),
        (one("discarded"), KNOWN, False),
        (one("left"), LEFT, False),
        (one("left", unnoted=True), LEFT, True),
    ],
    ids=["redrive", "edited", "quarantine", "settled", "discarded", "left", "left unnoted"],
)  # fmt: skip
def test_message_is_shown_as_the_machine_acts_on_it(judged, expected, statement):
    found = shown(judged)

    assert found.pop("statement", None) == (
        statements.of(judged, letters(10)[0], TURN) if statement else None
    )
    assert found == expected


def test_copy_is_sent_under_the_deduplication_id_that_a_retry_by_hand_would_use():
    assert shown(one("redrive", redrives=7))["entry"]["MessageDeduplicationId"] == (
        deduplication_id("m-1", 8)
    )


@pytest.mark.parametrize("attributes", [{"MessageGroupId": "g-1"}, None], ids=["none", "no"])
def test_message_without_a_trace_is_sent_without_one(attributes):
    bare: Any = {k: v for k, v in LETTER.items() if k != "Attributes"}
    if attributes:
        bare["Attributes"] = attributes
    (found,) = guarded(verdict("redrive", index=0), messages=[bare])["verdicts"]

    assert found["entry"].keys() == {"Id", "MessageGroupId", "MessageDeduplicationId"}


def test_body_that_is_edited_goes_to_the_ledger_with_the_statement_alone():
    found = shown(one("quarantine", body="edited"))

    assert {"S": "edited"} in found["statement"]["Parameters"]
    assert "entry" not in found


def test_verdicts_with_a_statement_come_first_in_their_order():
    """The answers of a wave are paired with the messages by place."""
    judged = [
        verdict("settled", index=0), verdict("redrive", index=1), verdict("left", index=2),
        verdict("quarantine", index=3), verdict("left", unnoted=True, index=4),
    ]  # fmt: skip
    found = guarded(*judged)["verdicts"]

    assert [one["index"] for one in found] == [1, 3, 4, 0, 2]
    assert ["statement" in one for one in found] == [True, True, True, False, False]


def test_each_wave_prolongs_the_lease_and_writes_the_progress():
    """The machine reads their answers at the two places behind the turn's own."""
    found = guarded(verdict("redrive", index=0))

    assert found["common"] == [
        statements.renew_lease("run-1", default()),
        statements.note_progress("run-1", [Lane(counts=COUNTS)]),
    ]  # fmt: skip


def test_empty_poll_writes_both_too():
    found = guarded()

    assert (found["verdicts"], len(found["common"])) == ([], 2)


@pytest.mark.parametrize(
    ("judged", "is_noted"),
    [
        ([one("redrive")], True),
        ([], True),
        ([one("quarantine")], False),
        ([one("redrive"), one("left", unnoted=True, index=1)], False),
    ],
    ids=["redrive", "empty poll", "quarantine", "left"],
)
def test_beside_bodies_there_is_no_room_to_note_what_was_not_sent(judged, is_noted):
    lane = {"settled": 7, "unsent": [Guarded(id="m-9", redrives=1)]}
    (_, progress) = guarded(*judged, **lane)["common"]
    (_, brief) = guarded(*judged, settled=7)["common"]

    settled = "settled_0=‹{'turn': Decimal('7'), 'unsent': ['m-9']}›"
    assert (settled in read(progress)[0], "settled" in read(progress)[0]) == (is_noted, is_noted)
    assert "settled_0=‹{'turn': Decimal('7')}›" in read(brief)[0]


def test_no_batch_has_more_statements_than_dynamodb_takes_or_names_an_item_twice():
    """DynamoDB refuses such a batch whole."""
    judged = [verdict("redrive", index=n, ledger_id=f"m-{n}") for n in range(10)]
    found = guarded(*judged)

    made = [one["statement"] for one in found["verdicts"]] + found["common"]
    keys = [read(one)[1].partition(" AND ")[0] for one in made]
    assert len(made) == len({*keys}) == 12

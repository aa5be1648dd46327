"""Hostile dead letters: whatever is in one, it is data, and the others move."""

import json
import uuid

import pytest

from tests.machines.scenarios.bodies import GROUP, KEY_TWICE, NAN
from tests.support.redrive_runs import (
    counters,
    ledger,
    maximum_message_size,
    quarantine_of,
    received,
    redrive,
)
from tests.support.stack_fixtures import (
    dead_letter,
    events,
    put_on_dlq,
    queued,
    record,
    row,
    transaction,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]

HOSTILE = [
    "{",
    "null",
    "17",
    "NaN",
    '"text"',
    "[]",
    "[" * 10_000 + "]" * 10_000,
    KEY_TWICE,
    NAN,
    '{"amount": 1e999999}',
    '{"amount": ' + "9" * 5_000 + "}",
    " \t\r\n ",
    '"; $s := "x',
    "{% $states.context %}",
    "${MessagesTable}",
    "$parse('{}')",
    "' OR '1'='1",
    "?",
    "\\u0000 \\ud800 \\",
    '{"text": "\\u0000\\ud800"}',
    "\u2028\u2029\u00a0\u200b\ufeff",
    "😀 naïve 漢字 \U0010fffd",
    '"' * 12_000,
    "\\" * 12_000,
    "\t" * 12_000,
    "é" * 6_000,
    json.dumps({"message_id": "../../x", "group_id": "hostile"}),
]


def test_hostile_bodies_are_quarantined_byte_identical_and_others_move(stack):
    healthy = [transaction() for _ in range(3)]
    letters = {}
    with maximum_message_size(stack, "DeadLetter", 1_048_576):  # for the 10,000 levels
        for number, text in enumerate(HOSTILE):
            if number % 10 == 5:
                dead_letter(stack, healthy[number // 10])
            group = f"hostile-{number}"
            body = text.replace(GROUP, group)
            letters[put_on_dlq(stack, body, group)] = body

        run = redrive(stack, len(HOSTILE) + len(healthy))

    assert counters(stack, run) == {
        "received": len(HOSTILE) + len(healthy),
        "redriven": len(healthy),
        "quarantined": len(HOSTILE),
    }
    assert queued(stack, "DeadLetter") == []
    for letter, body in letters.items():
        assert quarantine_of(stack, f"sqs:{letter}") == ("InvalidEnvelope", body)
    assert [m["Body"] for m in queued(stack, "Work")] == [m.body() for m in healthy]


@pytest.mark.parametrize("body", ["", "\x00", "\x01\x1f"], ids=["empty", "NUL", "C0"])
def test_body_that_sqs_should_have_refused_is_quarantined_all_the_same(stack, body):
    letter = str(uuid.uuid4())

    run = redrive(stack, 1, mocks={"ReceiveDeadLetters": received((letter, body, "hostile"))})

    assert run.status == "SUCCEEDED"
    assert quarantine_of(stack, f"sqs:{letter}") == ("InvalidEnvelope", body)


@pytest.mark.parametrize("group", ["{%$x%}", '";$s:="x', "${X}", "'OR'1'='1", "?", "g" * 128])
def test_hostile_group_is_data(stack, group):
    foreign = put_on_dlq(stack, "hello", group)
    ours = transaction(group_id="plain")
    record(stack, ours, "DEAD")
    misplaced = put_on_dlq(stack, ours.body(), group)

    run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 2, "quarantined": 2}
    for letter in (foreign, misplaced):
        assert row(stack, "Messages", f"sqs:{letter}")["group_id"] == group
    assert ledger(stack, ours)["status"] == "DEAD"


def test_attributes_are_forwarded_untouched_but_for_the_reason(stack):
    kept = {
        "redrives": "abc",
        "attempts": "-1",
        "count": "1e9",
        "expression": '{% $states %}"; $s := "x',
        "substitution": "${MessagesTable}",
        "unicode": "\u2028😀",
        "MessageGroupId": "other",
        "Priority": "9",
    }
    plain, decorated = transaction(), transaction()
    dead_letter(stack, plain)
    record(stack, decorated, "DEAD", redrives=1)
    reason = {"ReasonType": "AccountFrozen", "ReasonMessage": "It is frozen."}
    put_on_dlq(stack, decorated.body(), decorated.group_id, **kept, **reason)
    only_reason = transaction()
    record(stack, only_reason, "DEAD")
    put_on_dlq(stack, only_reason.body(), only_reason.group_id, **reason)

    run = redrive(stack, 3)

    assert counters(stack, run) == {"received": 3, "redriven": 3}
    attributes = [
        {name: value["StringValue"] for name, value in m["MessageAttributes"].items()}
        for m in queued(stack, "Work")
    ]
    assert attributes == [{}, kept, {}]
    assert ledger(stack, decorated)["redrives"] == 2


def test_largest_batch_fits_the_state_of_an_execution(stack):
    for number in range(10):
        put_on_dlq(stack, '"' * 12_000, f"large-{number}")

    run = redrive(stack, 10)

    assert counters(stack, run) == {"received": 10, "quarantined": 10}
    largest = max(
        len(json.dumps(json.loads(details.get("output") or "{}"), ensure_ascii=False).encode())
        for event in events(stack, run.arn)
        for details in event.values()
        if isinstance(details, dict)
    )
    assert 200_000 < largest <= 262_144


def test_body_of_250_kib_is_quarantined_byte_identical(stack):
    body = "é" * 128_000
    with maximum_message_size(stack, "DeadLetter", 1_048_576):
        letter = put_on_dlq(stack, body, "large")
        healthy = transaction()
        dead_letter(stack, healthy)
        run = redrive(stack, 2)

    assert counters(stack, run) == {"received": 2, "redriven": 1, "quarantined": 1}
    assert quarantine_of(stack, f"sqs:{letter}") == ("InvalidEnvelope", body)

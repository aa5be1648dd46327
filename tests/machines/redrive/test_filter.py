"""A run with a filter: what it leaves out stays, unmoved, and hides nothing of the rest."""

import uuid

import pytest

from tests.support.redrive_runs import (
    DONE,
    FINISH,
    HELD,
    JUDGED,
    NO_MORE,
    NOTHING_GOES,
    START,
    WAVE,
    all_visible,
    counters,
    held_records,
    ledger,
)
from tests.support.stack_fixtures import (
    FROZEN,
    dead_letter,
    put_on_dlq,
    queued,
    run_machine,
    transaction,
)
from workflows.messages.reasons import fingerprint

pytestmark = [
    pytest.mark.xdist_group("redrive options"),
    pytest.mark.usefixtures("empty_queues"),
]


def redrive_only(stack, only, **options):
    return run_machine(stack, "redrive", {"request": {"filter": only} | options})


def bodies(stack, queue, group_id=None):
    return [m["Body"] for m in queued(stack, queue, group_id)]


def test_what_a_filter_leaves_out_hides_nothing_behind_it(stack):
    left = [transaction() for _ in range(25)]
    wanted = [transaction(currency="CHF") for _ in range(5)]
    for message in [*left, *wanted]:
        dead_letter(stack, message)

    run = redrive_only(stack, {"payload": {"currency": "CHF"}})

    assert counters(stack, run) == {"received": 5, "redriven": 5, "left": 25}
    assert bodies(stack, "Work") == [m.body() for m in wanted]
    assert bodies(stack, "DeadLetter") == [m.body() for m in left]
    assert all_visible(stack)
    assert {m["ReceiveCount"] for m in queued(stack, "DeadLetter")} == {1}
    assert held_records(stack, run.name) == 0


def test_run_ends_by_itself_when_only_left_out_messages_are_left(stack):
    messages = [transaction() for _ in range(3)]
    for message in messages:
        dead_letter(stack, message)
    before = [ledger(stack, message) for message in messages]

    run = redrive_only(stack, {"type": "nothing"})

    assert run.states == [
        *START, *JUDGED, *NOTHING_GOES, *HELD, *NO_MORE, "ReturnDeadLetters", *FINISH,
    ]  # fmt: skip
    assert counters(stack, run) == {"left": 3}
    assert [ledger(stack, message) for message in messages] == before


def test_group_of_a_left_out_message_stays_behind_it_in_its_order(stack):
    account = str(uuid.uuid4())
    chosen = [transaction(account_id=account) for _ in range(12)]
    left = transaction(account_id=account, currency="CHF")
    group = [*chosen[:2], left, *chosen[2:]]  # over two batches
    other = transaction()
    for message in [*group, other]:
        dead_letter(stack, message)

    run = redrive_only(stack, {"payload": {"currency": "EUR"}})

    assert counters(stack, run)["redriven"] == 3
    assert bodies(stack, "Work", account) == [m.body() for m in group[:2]]
    assert bodies(stack, "Work", other.group_id) == [other.body()]
    assert bodies(stack, "DeadLetter", account) == [m.body() for m in group[2:]]
    assert all_visible(stack)
    everything = run_machine(stack, "redrive", {"request": {"max_messages": 11}})
    assert counters(stack, everything) == {"received": 11, "redriven": 11}
    assert bodies(stack, "Work", account) == [m.body() for m in group]


def test_what_is_left_out_does_not_count_toward_max_messages(stack):
    left, wanted = transaction(), [transaction(currency="CHF") for _ in range(3)]
    for message in [left, *wanted]:
        dead_letter(stack, message)

    run = redrive_only(stack, {"payload": {"currency": "CHF"}}, max_messages=2)

    # The first poll took two, one of them to be left out.
    assert run.states == [
        *START, *JUDGED, *WAVE, *HELD, *JUDGED, *WAVE,
        "AnyDeadLetters", "ReturnDeadLetters", *DONE[1:],
    ]  # fmt: skip
    assert counters(stack, run) == {"received": 2, "redriven": 2, "left": 1}
    assert bodies(stack, "DeadLetter") == [left.body(), wanted[2].body()]


@pytest.mark.parametrize(
    ("only", "goes"),
    [
        ({"message_ids": ["wanted"]}, True),
        ({"message_ids": ["other"]}, False),
        ({"reason": "AccountFrozen", "fingerprint": fingerprint("transaction", FROZEN)}, True),
        ({"reason": "ConsumerCrashed"}, False),
        ({"older_than": "PT1H"}, False),
        ({"newer_than": "PT1H"}, True),
        ({"jmespath": "amount > `5`"}, True),
        ({"jmespath": "amount > `50`"}, False),
    ],
    ids=str,
)
def test_each_field_of_a_filter_chooses(stack, only, goes):
    message = transaction()
    if "message_ids" in only:
        only = {
            "message_ids": [i.replace("wanted", message.message_id) for i in only["message_ids"]]
        }
    dead_letter(stack, message)

    run = redrive_only(stack, only, max_messages=1)

    expected = {"received": 1, "redriven": 1} if goes else {"left": 1}
    assert counters(stack, run) == expected


def test_foreign_message_that_a_filter_leaves_out_is_noted_and_stays(stack):
    letter = put_on_dlq(stack, "hello", "nobody")

    run = redrive_only(stack, {"type": "transaction"})

    assert counters(stack, run) == {"left": 1}
    assert bodies(stack, "DeadLetter") == ["hello"]
    assert all_visible(stack)
    assert letter in queued(stack, "DeadLetter")[0]["MessageId"]

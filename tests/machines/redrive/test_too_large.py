"""Messages too large for a state: fewer at a time, then a loud failure after the others moved.

MiniStack, on which these run, limits no state's size, so the error is made up. moto does limit
it: `tests/proofs/faults/test_hostile.py` meets the limit itself, and `tests/proofs/sizes` reckons
sizes.
"""

import pytest

from tests.support.redrive_expressions import evaluate, states
from tests.support.redrive_runs import (
    GIVEN_BACK,
    JUDGED,
    LOCK,
    NO_MORE,
    START,
    WAVE,
    counters,
    ledger,
    maximum_message_size,
    process_all,
    received,
    redrive,
    sent,
    throw,
)
from tests.support.stack_fixtures import (
    balance,
    dead_letter,
    put_on_dlq,
    queued,
    record,
    row,
    run_machine,
    transaction,
)

pytestmark = [
    pytest.mark.xdist_group("redrive limits"),
    pytest.mark.usefixtures("empty_queues"),
]

TOO_LARGE = throw("States.DataLimitExceeded")
PAUSE = ["WaitForVisibility", "MoreToDo"]
UP_TO = {
    "ReceiveDeadLetters": ["ReceiveDeadLetters"],
    "ValidateMessages": JUDGED,
    "GuardLoop": [*JUDGED, "GuardLoop"],
    "RedriveMessages": [*JUDGED, "GuardLoop", "AnyToRedrive", "RedriveMessages"],
}


def test_poll_after_one_that_was_too_large_is_another_attempt():
    catcher = states()["ReceiveDeadLetters"]["Catch"][0]["Assign"]

    assert evaluate(catcher["polls"], polls=4) == 5  # under the same id SQS answers the same


@pytest.mark.parametrize("state", ["ReceiveDeadLetters", "ValidateMessages"])
def test_messages_too_large_together_go_one_at_a_time(stack, state):
    messages = [transaction(), transaction()]
    for message in messages:
        dead_letter(stack, message)
    mocks = {state: TOO_LARGE}
    if state == "ValidateMessages":  # so that SQS has them visible again at once
        letters = [("made-up", message.body(), message.group_id) for message in messages]
        mocks["ReceiveDeadLetters"] = received(*letters)

    run = redrive(stack, 2, mocks=mocks)

    assert run.states == [
        *START, *UP_TO[state], *PAUSE, *(JUDGED + WAVE) * 2, "AnyDeadLetters",
        "FinishRun",
    ]  # fmt: skip
    assert counters(stack, run) == {"received": 2, "redriven": 2}
    process_all(stack, *messages)
    assert [balance(stack, message) for message in messages] == [10, 10]


@pytest.mark.parametrize("state", ["GuardLoop", "RedriveMessages"])
def test_message_that_was_guarded_when_it_proved_too_large_is_let_go(stack, state):
    messages = [transaction(), transaction()]
    letters = [(dead_letter(stack, m), m.body(), m.group_id) for m in messages]

    run = redrive(
        stack, 2, mocks={state: TOO_LARGE, "ReceiveDeadLetters": received(*letters)}, seconds=90
    )

    assert run.states[: len(START) + len(UP_TO[state]) + 4] == [
        *START, *UP_TO[state], *PAUSE, "LetGoMessages", "MoreToDo",
    ]  # fmt: skip
    assert run.status == "SUCCEEDED"
    # Guarded by this run, they wait for another; a guard that was never asked counts nothing.
    guarded = state == "RedriveMessages"
    for message in messages:
        found = ledger(stack, message)
        assert found["redrives"] == 1
        assert found["status"] == ("DEAD" if guarded else "REDRIVEN")
        assert len(sent(stack, message)) == (0 if guarded else 1)


@pytest.mark.parametrize("state", ["ReceiveDeadLetters", "ValidateMessages"])
def test_message_too_large_alone_fails_the_run_after_the_others_have_moved(stack, state):
    large, other = transaction(), transaction()
    dead_letter(stack, other)
    mocks = {state: TOO_LARGE}
    if state == "ValidateMessages":
        mocks["ReceiveDeadLetters"] = received(("the-large-one", large.body(), large.group_id))

    with maximum_message_size(stack, "DeadLetter", 1_048_576):
        run = run_machine(stack, "redrive", mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "DataLimitExceeded")
    assert run.states == [
        *START, *UP_TO[state], *PAUSE, *JUDGED, *WAVE, *NO_MORE, *GIVEN_BACK,
    ]  # fmt: skip
    assert counters(stack, run) == {"received": 1, "redriven": 1}
    found = row(stack, "Runs", run.name)
    assert (found["status"], found["failure"]) == ("FAILED", "States.DataLimitExceeded")
    name = "Message the-large-one" if state == "ValidateMessages" else "A message"
    assert found["reason"].startswith(f"{name} of the dead-letter queue is too large for a state")
    assert row(stack, "Runs", LOCK) == {}
    assert len(sent(stack, other)) == 1


def test_run_looks_past_the_too_large_messages_and_moves_the_others(stack):
    put_on_dlq(stack, "behind nine of them", "nobody")

    with maximum_message_size(stack, "DeadLetter", 1_048_576):
        run = run_machine(stack, "redrive", mocks={"ReceiveDeadLetters": TOO_LARGE * 9})

    assert (run.status, run.error) == ("FAILED", "DataLimitExceeded")
    assert counters(stack, run) == {"received": 1, "quarantined": 1}
    assert queued(stack, "DeadLetter") == []


def test_run_among_a_hundred_too_large_messages_ends(stack):
    put_on_dlq(stack, "never received", "nobody")

    with maximum_message_size(stack, "DeadLetter", 1_048_576):
        run = run_machine(stack, "redrive", mocks={"ReceiveDeadLetters": TOO_LARGE * 120})

    assert (run.status, run.error) == ("FAILED", "DataLimitExceeded")
    assert run.states.count("ReceiveDeadLetters") == 100
    assert len(queued(stack, "DeadLetter")) == 1


def test_large_message_of_an_enlarged_queue_goes_alone_with_its_very_bytes(stack):
    message = transaction()
    body = message.body().ljust(250 * 1_024)
    with maximum_message_size(stack, "DeadLetter", 1_048_576):
        record(stack, message, "DEAD")
        put_on_dlq(stack, body, message.group_id)
        with maximum_message_size(stack, "Work", 1_048_576):
            run = redrive(stack, 1)

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert [m["Body"] for m in queued(stack, "Work")] == [body]

"""An input that is not understood: whatever it is, its run fails and has received nothing."""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.support.redrive_runs import BEGUN, LOCK, audited
from tests.support.stack_fixtures import dead_letters, row, run_machine

SCHEDULE = {"trigger": "schedule", "requested_by": "schedule"}


@pytest.fixture(scope="module")
def stack():
    with MotoStack() as moto:
        dead_letters(moto, 1)  # type: ignore[arg-type]
        yield moto


@pytest.mark.parametrize(
    "given",
    [
        [{}],
        "everything",
        5,
        {"request": None},
        {"Request": {"max_messages": 1}},
        SCHEDULE | {"a": 1},
    ],
    ids=str,
)
def test_input_that_is_not_understood_is_a_failed_run_that_received_nothing(stack, given):
    run = run_machine(stack, "redrive", given)

    assert (run.status, run.error) == ("FAILED", "InvalidInput")
    assert run.states == [*BEGUN, "FailRun", "RunFailed"]
    record = row(stack, "Runs", run.name)
    assert (record["status"], record["failure"]) == ("FAILED", "InvalidInput")
    assert record["reason"].startswith("The input is not understood. ")
    assert record["received"] == 0
    assert record["trigger"] == ("schedule" if "trigger" in str(given) else "console")
    assert [end["result"] for end in audited(stack, run.name)] == ["FAILED"]
    assert row(stack, "Runs", LOCK) == {}
    (letter,) = stack.emulator.messages(stack.outputs["DeadLetterQueueUrl"])
    assert (letter["ReceiveCount"], letter["IsVisible"]) == (0, True)

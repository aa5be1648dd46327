"""Runs that fail where no scenario can let them: before they begin, and at their very end."""

import json

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios import given
from tests.support.redrive_runs import LOCK, audited, counters
from tests.support.stack_fixtures import put, row
from tests.support.world import World


@pytest.fixture
def world():
    with MotoStack() as stack:
        yield World(stack)


def test_run_of_a_person_that_cannot_begin_is_recorded_as_failed(world):
    given.lock(world, world.next_run)
    given.run_row(world, world.next_run, status="RUNNING", trigger="api")

    run = world.run({"trigger": "api"}, mocks={"BeginRun": given.throws("Some.ServiceException")})

    assert run.states == ["BeginRun", "FailRun", "RunFailed"]
    recorded = world.run_row(run.name)
    assert (recorded["status"], recorded["failure"]) == ("FAILED", "Some.ServiceException")
    assert recorded["finished_at"]
    assert row(world.stack, "Runs", LOCK) == {}


def test_input_that_is_not_understood_and_fills_half_a_state_is_given_to_each_step_once(world):
    """Neither engine measures a task's arguments; Step Functions takes 256 KiB of them."""
    invoke, sizes = world.stack.invoke, []

    def measured(function, payload):
        sizes.append(len(json.dumps(payload)))
        return invoke(function, payload)

    world.stack.invoke = measured
    run = world.run({"request": {"no_option": "x" * 140_000}})

    assert (run.error, run.states[-2:]) == ("InvalidInput", ["FailRun", "RunFailed"])
    assert world.run_row(run.name)["failure"] == "InvalidInput"
    assert [140_000 < size < 256 * 1_024 for size in sizes] == [True, True]


def test_run_that_lost_its_lease_at_its_end_is_recorded_whole_and_leaves_the_lock(world):
    world.dead_letter(world.message())
    new_holder = {"run_id": LOCK, "holder": "another", "lease_until": given.FAR}

    run = world.run(
        {"request": {"max_messages": 1}},
        meanwhile=("FinishRun", lambda: put(world.stack, "Runs", new_holder)),
    )

    assert (run.status, run.error) == ("FAILED", "LeaseLost")
    assert run.states[-3:] == ["FinishRun", "FailRun", "RunFailed"]
    assert counters(world.stack, run) == {"received": 1, "redriven": 1}
    assert [entry["result"] for entry in audited(world.stack, run.name)] == ["FAILED"]
    assert row(world.stack, "Runs", LOCK) == new_holder


@pytest.mark.parametrize("state", ["FinishRun", "FailRun"])
def test_end_whose_answer_was_lost_is_recorded_once(world, state):
    world.dead_letter(world.message())
    mocks = {"ReceiveDeadLetters": given.throws("Sqs.First")} if state == "FailRun" else {}
    tries = []

    def task(arn, name, do):
        do()
        if name == state:
            tries.append(arn)
            return "Lambda.SdkClientException" if len(tries) == 1 else None
        return None

    world.stack.task = task
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)

    assert len(tries) == 2
    assert run.status == ("FAILED" if state == "FailRun" else "SUCCEEDED")
    assert len(audited(world.stack, run.name)) == 1
    assert row(world.stack, "Runs", LOCK) == {}

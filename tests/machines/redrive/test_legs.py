"""A run of many legs is one run: canary, rate and counters go on from each leg to the next."""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.support.redrive_runs import audited, batches_sent
from tests.support.stack_fixtures import all_events, leg_arn
from tests.support.world import World
from workflows.redrive import leg_executions


@pytest.fixture
def world():
    with MotoStack(substitutions={"WavesPerLeg": "1"}) as stack:
        yield World(stack)


def sent_at(world, run):
    """Return when each call of a run sent messages, in seconds."""
    found, state = [], ""
    for event in all_events(world.stack, run.arn):
        state = event.get("stateEnteredEventDetails", {}).get("name", state)
        if state == "RedriveMessages" and event["type"] == "TaskSucceeded":
            found.append(event["timestamp"].timestamp())
    return found


def test_each_leg_goes_on_with_what_the_one_before_knew(world):
    for currency in ("EUR", "euro", "CHF", *["EUR"] * 7):
        world.dead_letter(world.message(currency=currency))
    request = {
        "filter": {"payload": {"kind": "credit"}},
        "canary": {"messages": 1, "watch_seconds": 60},
        "max_per_second": 2,
    }

    run = world.run({"request": request}, consuming=True)

    assert run.output == run.output | {"status": "SUCCEEDED", "redriven": 9, "quarantined": 1}
    assert run.states.count("RunLanes") > 5  # a wave each
    batches, times = batches_sent(world.stack, run), sent_at(world, run)
    assert sum(batches) == 9
    for first in times:
        assert sum(n for n, at in zip(batches, times, strict=True) if first <= at < first + 1) <= 2
    # One is watched, then two more, then four more, then the rest.
    assert run.states.count("WaitForOutcomes") == 4


def test_run_has_one_id_one_record_and_one_word_at_its_end(world):
    for _ in range(3):
        world.dead_letter(world.message())
    run = world.run({"request": {"max_per_second": 1}})

    assert run.states.count("RunLanes") == 5  # three messages, and two polls of an empty queue
    assert run.output["redriven"] == 3
    assert {world.row(message)["redriven_by"] for message in world.messages} == {run.name}
    record, (end,) = world.run_row(run.name), audited(world.stack, run.name)
    assert record["execution_arn"] == end["execution_arn"] == run.arn
    assert leg_executions.of_row(record)[0].endswith(
        leg_arn(world.stack, run.arn, 5).partition(":")[2]
    )

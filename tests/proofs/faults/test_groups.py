"""Fenced groups: workers that die on one message, executions of old, late arrivals."""

import json

import pytest

from local.stack import ROOT
from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults.crashing_world import LATER, CrashingWorld
from tests.support.aws_calls import WorkerDied
from tests.support.invariants import broken
from workflows.messages import message_types

VISIBILITY_SECONDS = 181


@pytest.fixture
def group(world):
    """Give three messages of one group and one of another, sent."""
    name = world.name("g")
    messages = [world.message(type="entry", group_id=name, number=n) for n in (1, 2, 3)]
    messages.append(world.message())
    return messages


@pytest.mark.fault(20)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_group_waits_for_the_message_that_kills_its_workers(world, group, monkeypatch, number):
    deadly, process = group[number - 1], message_types.process

    def die_of_one(message, tried):
        if message == deadly:
            raise WorkerDied
        process(message, tried)

    for message in group:
        world.send(message)
    with monkeypatch.context() as patch:
        patch.setattr(message_types, "process", die_of_one)
        for _ in range(3):
            with pytest.raises(WorkerDied):
                world.stack.poll()
            world.stack.elapse(VISIBILITY_SECONDS)
        world.settle()

    # Perhaps with others of its batch, which were processed before it.
    assert deadly.body() in [m["Body"] for m in world.queued("DeadLetter")]
    assert world.effects(deadly.group_id) == list(range(1, number))
    assert broken(world) == []

    world.redrive()
    world.settle()
    assert world.effects(deadly.group_id) == [1, 2, 3]
    world.stack.elapse(LATER)
    world.redrive()
    world.settle()
    assert broken(world, moved=group) == []


@pytest.mark.fault(21)
@pytest.mark.parametrize("state", ["NextParked", "AnyParked", "ReleaseFence", "GroupReleased"])
def test_message_that_arrives_while_the_fence_is_released_comes_next(world, state):
    door, name = world.name("door"), world.name("g")
    first, second, third = (
        world.message(type="entry", group_id=name, number=n, frozen_by=door if n == 1 else None)
        for n in (1, 2, 3)
    )
    arrived: list[str] = []

    def before(arn, entered):
        if entered == "WaitBackoff":
            world.unfreeze(door)
        if entered == state and not arrived:
            arrived.append(state)
            world.send(third)
            world.stack.poll()
        return True

    world.freeze(door)
    world.send(first)
    world.send(second)
    world.stack.before_state = before
    world.settle()

    assert arrived
    assert world.effects(name) == [1, 2, 3]
    assert broken(world, moved=[first, second, third]) == []


@pytest.mark.fault(19)
def test_execution_of_an_older_definition_is_understood_by_the_functions():
    """It began before it was known what `Superseded` is, and that a row is told by its attempts."""
    text = (ROOT / "statemachines" / "retry.asl.json").read_text(encoding="utf-8")
    older = json.loads(text.replace(" AND attempts_total = :known", ""))
    states = older["States"]
    states["ProcessMessage"]["Catch"] = states["ProcessMessage"]["Catch"][1:]
    for name in ("GuardLoop", "MarkDead"):
        del states[name]["Arguments"]["ExpressionAttributeValues"][":known"]
        states[name]["Catch"][0]["Next"] = "InspectMessage"
    with MotoStack(definitions={"retry": json.dumps(older)}) as stack:
        world = CrashingWorld(stack)
        message = world.message(type="entry", group_id=world.name("g"), number=1, fails=2)
        world.send(message)
        world.settle()

        assert broken(world, moved=[message]) == []

"""Inputs: what a person writes into the console, understood or not."""

from tests.machines.scenarios.paths import FAILED, START
from tests.machines.scenarios.registry import scenario
from tests.support.world import World


@scenario()
def input_that_is_not_understood(world: World) -> None:
    """A run whose input has an unknown key fails, names it, and has received nothing."""
    world.dead_letter(world.message())
    run = world.run({"Request": {"max_messages": 1}})
    assert run.states == [*START, *FAILED]
    assert (run.status, run.error) == ("FAILED", "InvalidInput")
    (letter,) = world.queued("DeadLetter")
    assert letter["ReceiveCount"] == 0
    assert world.run({"request": {"max_messages": 1}}).output["redriven"] == 1

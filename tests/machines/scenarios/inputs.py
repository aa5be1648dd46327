"""Inputs: what a person writes into the console, understood or not."""

from typing import Any

from tests.machines.scenarios.paths import BEGUN
from tests.machines.scenarios.registry import scenario
from tests.support.redrive_runs import audited
from tests.support.world import World


@scenario()
def input_that_is_not_understood(world: World) -> None:
    """A run whose input has an unknown key fails, names it, and has received nothing."""
    world.dead_letter(world.message())
    run = world.run({"Request": {"max_messages": 1}})
    assert run.states == [*BEGUN, "FailRun", "RunFailed"]
    assert (run.status, run.error) == ("FAILED", "InvalidInput")
    (letter,) = world.queued("DeadLetter")
    assert letter["ReceiveCount"] == 0
    assert world.run({"request": {"max_messages": 1}}).output["redriven"] == 1


@scenario()
def nobody_says_who_asked(world: World) -> None:
    """A run of no record is the console's, whomever its input names, and of any trace."""
    nobodies: tuple[Any, ...] = ("", 5, None, [], "o" * 255)
    for wrong in nobodies:
        unknown = dict.fromkeys(("requested_by", "trigger", "trace_id"), wrong)
        run = world.run({"request": {}} | unknown)
        record, (end,) = world.run_row(run.name), audited(world.stack, run.name)
        assert (record["trigger"], record["requested_by"]) == ("console", "console")
        assert (end["actor"], end["trace_id"]) == ("console", run.name)

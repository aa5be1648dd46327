"""Options of a run: filter, rate and canary."""

import json
from typing import Any

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import (
    FINISH,
    JUDGED,
    LEG_OVER,
    NO_MORE,
    NOTHING_GOES,
    START,
    STAYS,
    WAVE,
)
from tests.machines.scenarios.registry import scenario
from tests.support.canonical import once
from tests.support.redrive_runs import LOCK, all_visible, batches_sent
from tests.support.stack_fixtures import FROZEN, Execution, row
from tests.support.world import World
from workflows.ledger import audit
from workflows.messages.reasons import fingerprint
from workflows.redrive import runs

WATCH = ["WaitForOutcomes", "DecideNext", "NextStep"]


@scenario()
def filter_that_leaves_some(world: World) -> None:
    """What a filter leaves out stays and is visible again; it hides nothing behind it."""
    left = [world.message() for _ in range(12)]  # more than a batch
    wanted = [world.message(currency="CHF") for _ in range(2)]
    for message in [*left, *wanted]:
        world.dead_letter(message)
    request = {"filter": {"payload": {"currency": "CHF"}}, "max_messages": 2}
    run = world.run({"request": request})
    assert (run.output["redriven"], run.output["left"]) == (2, 12)
    assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in left]
    assert [m["Body"] for m in world.queued("Work")] == [m.body() for m in wanted]
    assert all_visible(world.stack)
    assert {letter["ReceiveCount"] for letter in world.queued("DeadLetter")} == {1}


@scenario()
def filter_that_leaves_all(world: World) -> None:
    """A run of which nothing is left but what it leaves out ends by itself."""
    message = world.message()
    world.dead_letter(message)
    before = world.row(message)
    world.put_on_dlq("hello", world.name("nobody"))
    run = world.run({"request": {"filter": {"type": "nothing"}}})
    assert run.states == [
        *START, *JUDGED, *NOTHING_GOES, *STAYS, *NO_MORE, *FINISH,
    ]  # fmt: skip
    assert run.output["left"] == 2
    assert world.row(message) == before
    assert all_visible(world.stack)


@scenario()
def filter_inside_a_group(world: World) -> None:
    """What is behind a left-out message in its group stays behind it."""
    group = world.name("group")
    chosen, left = world.message(group_id=group), world.message(group_id=group, currency="CHF")
    behind, other = world.message(group_id=group), world.message()
    for message in (chosen, left, behind, other):
        world.dead_letter(message)
    run = world.run({"request": {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 2}})
    # The first poll took two; the third of the group is not even received.
    assert (run.output["redriven"], run.output["left"]) == (2, 1)
    assert [m["Body"] for m in world.queued("DeadLetter")] == [left.body(), behind.body()]
    assert all_visible(world.stack)
    world.run({"request": {"max_messages": 2}})
    of_group = [m["Body"] for m in world.queued("Work") if m["MessageGroupId"] == group]
    assert of_group == [chosen.body(), left.body(), behind.body()]


@scenario()
def filter_by_every_field(world: World) -> None:
    """All fields of a filter at once choose the message that they describe."""
    message = world.message()
    world.dead_letter(message)
    chosen = {
        "message_ids": [message.message_id],
        "group_id": message.group_id,
        "type": "transaction",
        "reason": "AccountFrozen",
        "fingerprint": fingerprint("transaction", FROZEN),
        "newer_than": "PT1H",
        "payload": {"kind": "credit"},
        "jmespath": "amount > `5`",
    }
    run = world.run({"request": {"filter": chosen, "max_messages": 1}})
    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]


@scenario()
def rate(world: World) -> None:
    """With a rate of two a second, three messages go in two batches with a pause between."""
    for _ in range(3):
        world.dead_letter(world.message())
    run = world.run({"request": {"max_messages": 3, "max_per_second": 2}})
    paused = [*START, *JUDGED, *WAVE, "WaitForRate", "MoreToDo", *JUDGED, *WAVE, *FINISH]
    assert once(run.states) == paused


@scenario()
def canary_that_lives(world: World) -> None:
    """A canary whose messages are processed doubles its step until all are redriven."""
    for _ in range(10):
        world.dead_letter(world.message())
    canary = {"messages": 1, "watch_seconds": 60}
    run = world.run({"request": {"max_messages": 10, "canary": canary}}, consuming=True)
    assert batches_sent(world.stack, run) == [1, 2, 4, 3]
    assert (run.output["redriven"], run.output.get("reason")) == (10, None)
    # The last step was watched though it was not a full one.
    assert [world.row(message)["status"] for message in world.messages] == ["PROCESSED"] * 10


@scenario()
def canary_that_dies(world: World) -> None:
    """A canary whose message dies again halts the run, and the rest stays."""
    first = world.message(kind="debit")
    world.dead_letter(first)
    rest = world.message()
    world.dead_letter(rest)
    canary = {"messages": 1, "watch_seconds": 60}
    run = world.run({"request": {"canary": canary}}, consuming=True)
    assert (run.output["status"], run.output["redriven"]) == ("HALTED", 1)
    assert run.output["reason"] == "1 of 1 redriven messages failed again; max_failures is 0."
    assert world.row(rest)["redrives"] == 0


@scenario()
def canary_that_nobody_consumes(world: World) -> None:
    """A canary that has not ended in time halts the run, unless so many may fail."""
    for _ in range(3):
        world.dead_letter(world.message())
    canary = {"messages": 1, "watch_seconds": 1}
    run = world.run({"request": {"canary": canary}})
    assert once(run.states) == [*START, *JUDGED, *WAVE, *LEG_OVER, *WATCH, "FinishRun"]
    assert (run.output["status"], run.output["reason"]) == (
        "HALTED",
        "1 of 1 redriven messages failed again or had not ended after 1 seconds;"
        " max_failures is 0.",
    )
    assert len(world.queued("DeadLetter")) == 2
    other = world.run({"request": {"canary": canary | {"max_failures": 1}, "max_messages": 1}})
    assert (other.output["status"], other.output.get("reason")) == ("SUCCEEDED", None)


def _watched(world: World, **request: Any) -> tuple[Execution, list[int]]:
    """Redrive with a canary and a consumer; the run, and how many went in each batch."""
    canary = {"watch_seconds": 60} | request.pop("canary")
    run = world.run({"request": {"canary": canary} | request}, consuming=True)
    return run, batches_sent(world.stack, run)


@scenario()
def canary_of_more_than_a_batch(world: World) -> None:
    """A step larger than a batch is watched when it is full."""
    for _ in range(14):
        world.dead_letter(world.message())
    run, batches = _watched(world, canary={"messages": 12}, max_messages=14)
    assert (run.output["redriven"], batches) == (14, [10, 2, 2])
    assert run.states.count("RunLanes") == 2


@scenario()
def canary_beside_what_is_quarantined(world: World) -> None:
    """What is quarantined fills no step; the last, partial one is watched without a limit too."""
    world.dead_letter(world.message(currency="euro"))
    for _ in range(2):
        world.dead_letter(world.message())
    run, batches = _watched(world, canary={"messages": 1})
    assert (run.output["redriven"], run.output["quarantined"], batches) == (2, 1, [1, 1])
    assert [world.row(message)["status"] for message in world.messages[1:]] == ["PROCESSED"] * 2


@scenario()
def canary_that_dies_too_often(world: World) -> None:
    """A canary may die as often as allowed, and no more."""
    for kind in ("credit", "debit", "debit", "credit"):
        world.dead_letter(world.message(kind=kind))
    run, batches = _watched(world, canary={"messages": 2, "max_failures": 1}, max_messages=3)
    assert (run.output["status"], batches) == ("HALTED", [2, 1])
    assert run.output["reason"] == "2 of 3 redriven messages failed again; max_failures is 1."
    assert world.row(world.messages[3])["redrives"] == 0


@scenario()
def lease_that_was_lost_while_watched(world: World) -> None:
    """A run that finds another in its place while it watches its canary sends nothing more."""
    for _ in range(2):
        world.dead_letter(world.message())
    request = {"canary": {"messages": 1, "watch_seconds": 60}}
    run = world.run(
        {"request": request},
        meanwhile=("WaitForOutcomes", lambda: given.lock(world, "another", execution_arn="")),
    )
    assert once(run.states) == [
        *START, *JUDGED, *WAVE, *LEG_OVER, *WATCH, "FailRun", "RunFailed",
    ]  # fmt: skip
    assert run.error == "LeaseLost"
    assert row(world.stack, "Runs", LOCK)["holder"] == "another"
    assert len(world.queued("DeadLetter")) == 1
    # Where EventBridge tells of the end, the sweep did the same already.
    world.recover()


@scenario()
def cancelled_while_watched(world: World) -> None:
    """A run that a person cancels while it watches its canary sends nothing more."""
    for _ in range(2):
        world.dead_letter(world.message())
    run_id = world.next_run
    person = audit.Actor(
        email="o@example.com", role="operator", source_ip="192.0.2.1", trace_id=world.name("trace")
    )

    def cancel() -> None:
        with world.application():
            runs.cancel(run_id, person)

    request = {"canary": {"messages": 1, "watch_seconds": 60}}
    run = world.run({"request": request}, meanwhile=("WaitForOutcomes", cancel))
    assert once(run.states) == [*START, *JUDGED, *WAVE, *LEG_OVER, *WATCH, "FinishRun"]
    assert (run.output["status"], run.output["redriven"]) == ("CANCELLED", 1)
    assert len(world.queued("DeadLetter")) == 1
    assert json.loads(world.run_row(run_id)["request"]) == request

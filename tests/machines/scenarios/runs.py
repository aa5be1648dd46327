"""Runs: empty, full, ordered and long; the lock, the schedule, and what ends one from outside."""

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import (
    BEGUN,
    FAILED,
    FINISH,
    GIVEN_BACK,
    JUDGED,
    LEG,
    LEG_OVER,
    MEASURED,
    NO_MORE,
    NOTHING_GOES,
    SKIPPED,
    START,
    STAYS,
    STORED,
    WAVE,
)
from tests.machines.scenarios.registry import scenario
from tests.support import engines
from tests.support.redrive_runs import COUNTERS, LOCK, all_visible, audited
from tests.support.stack_fixtures import leg_arn, row, start_machine
from tests.support.world import World

WAITED = ["WaitForQueue", "DecideNext", "NextStep"]


def bodies(world: World, queue: str, group: str | None = None) -> list[str]:
    """Return the bodies on a queue, oldest first."""
    return [m["Body"] for m in world.queued(queue) if group in (None, m["MessageGroupId"])]


@scenario()
def empty_queue_from_the_console(world: World) -> None:
    """A run without any input asks the empty queue twice."""
    run = world.run()
    assert run.states == [*START, *NO_MORE, *FINISH]
    assert run.output == {"run_id": run.name, "status": "SUCCEEDED"} | dict.fromkeys(COUNTERS, 0)
    record = world.run_row(run.name)
    assert (record["trigger"], record["requested_by"]) == ("console", "console")
    assert (record["dead_letter_queue"], record["execution_arn"]) == (
        given.dead_letter_queue(world), run.arn,
    )  # fmt: skip


@scenario()
def empty_queue_on_schedule(world: World) -> None:
    """A scheduled run that finds nothing on the queue ends after three states, accounted for."""
    run = world.run({"trigger": "schedule", "requested_by": "schedule"})
    assert run.states == SKIPPED
    reason = "The dead-letter queue is empty."
    assert run.output == {"run_id": run.name, "status": "SKIPPED", "reason": reason}
    (record,) = audited(world.stack, run.name)
    assert (record["actor"], record["role"], record["execution_arn"]) == (
        "schedule", "schedule", run.arn,
    )  # fmt: skip
    assert record["input"] == {"request": "{}", "reason": reason}
    assert record["entry"].startswith(record["at"])
    assert record["day"] == record["at"][:10]
    assert world.run_row(run.name) == row(world.stack, "Runs", LOCK) == {}


@scenario()
def schedule_with_something_to_do(world: World) -> None:
    """A scheduled run redrives what there is, with the options that the schedule has."""
    for _ in range(2):
        world.dead_letter(world.message())
    run = world.run(
        {"trigger": "schedule", "requested_by": "schedule", "request": {"max_messages": 1}}
    )
    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]
    record, (end,) = world.run_row(run.name), audited(world.stack, run.name)
    assert record["request"] == end["input"]["request"] == '{"max_messages": 1}'
    assert record["trigger"] == end["role"] == end["actor"] == "schedule"
    assert world.messages[0].message_id not in str(end)  # nothing of a message


@scenario()
def two_batches(world: World) -> None:
    """Twelve messages of as many groups go in two batches."""
    for _ in range(12):
        world.dead_letter(world.message())
    run = world.run({"request": {"max_messages": 12}})
    assert run.states == [*START, *JUDGED, *WAVE, *JUDGED, *WAVE, *FINISH]
    assert run.output["redriven"] == 12
    assert world.queued("DeadLetter") == []
    assert [copy["MessageDeduplicationId"] for copy in world.queued("Work")] == [
        f"{message.message_id}.r1" for message in world.messages
    ]
    rows = [world.row(message) for message in world.messages]
    for found in rows:
        assert (found["status"], found["redrives"], found["attempts"]) == ("REDRIVEN", 1, 0)
        assert found["execution_arns"] == [leg_arn(world.stack, run.arn)]
        assert (found["trouble"], "listed" in found) == ("REDRIVING", False)
    assert {"turn": 2} in world.run_row(run.name).values()  # so the run knows that all were sent


@scenario()
def group_in_waves(world: World) -> None:
    """Messages of one group are sent one after the other, others with the first of them."""
    group = world.name("group")
    first, second = world.message(group_id=group), world.message(group_id=group)
    alone, third = world.message(), world.message(group_id=group)
    for message in (first, second, alone, third):
        world.dead_letter(message)
    run = world.run({"request": {"max_messages": 4}})
    assert run.states == [*START, *JUDGED, *WAVE, *WAVE, *WAVE, *FINISH]
    assert bodies(world, "Work", group) == [m.body() for m in (first, second, third)]
    assert bodies(world, "Work")[-2] == second.body()  # `alone` went with the first wave


@scenario()
def group_larger_than_a_batch(world: World) -> None:
    """A group of more messages than a batch keeps its order."""
    group = world.name("group")
    for _ in range(12):
        world.dead_letter(world.message(group_id=group))
    run = world.run({"request": {"max_messages": 12}})
    assert run.output["redriven"] == 12
    assert bodies(world, "Work") == [message.body() for message in world.messages]


@scenario()
def group_behind_a_quarantined_message(world: World) -> None:
    """What is behind a quarantined message in its group goes on."""
    group = world.name("group")
    exhausted, later = world.message(group_id=group), world.message(group_id=group)
    world.dead_letter(exhausted, redrives=3)
    world.dead_letter(later)
    run = world.run({"request": {"max_messages": 2}})
    assert run.states == [*START, *JUDGED, *STORED, *WAVE, *FINISH]
    assert bodies(world, "Work") == [later.body()]


@scenario()
def no_more_than_asked_for(world: World) -> None:
    """`max_messages` leaves the rest on the queue, not even received."""
    for _ in range(3):
        world.dead_letter(world.message())
    world.run({"request": {"max_messages": 2}})
    (left,) = world.queued("DeadLetter")
    assert (left["Body"], left["ReceiveCount"]) == (world.messages[2].body(), 0)


@scenario()
def second_run(world: World) -> None:
    """While another run holds the queue, a run skips itself and says so."""
    given.lock(world, "another")
    lock = row(world.stack, "Runs", LOCK)
    world.dead_letter(world.message())
    run = world.run({"request": {"max_messages": 1}})
    assert run.states == SKIPPED
    reason = "Another run is active on this dead-letter queue."
    assert run.output == {"run_id": run.name, "status": "SKIPPED", "reason": reason}
    assert len(world.queued("DeadLetter")) == 1
    assert world.run_row(run.name) == {}
    assert row(world.stack, "Runs", LOCK) == lock


@scenario()
def lease_that_ended(world: World) -> None:
    """The lock of a run that says nothing any more goes to the next when its lease ends."""
    given.lock(world, "stopped", lease_until=1)
    world.dead_letter(world.message())
    assert world.run({"request": {"max_messages": 1}}).output["redriven"] == 1


@scenario(mocked=True)
def lease_that_was_lost(world: World) -> None:
    """A run that finds another in its place sends nothing more and fails loudly."""
    given.lock(world, "another", execution_arn="")  # about to start
    given.run_row(world, world.next_run, status="RUNNING")
    lock = row(world.stack, "Runs", LOCK)
    world.dead_letter(world.message())
    run = world.run(mocks=given.begins(given.begun(world)))
    assert row(world.stack, "Runs", LOCK) == lock
    assert world.queued("Work") == []
    assert len(world.queued("DeadLetter")) == 1
    assert run.states == [*START, *JUDGED, "GuardLoop", "AnyToRedrive", *GIVEN_BACK]
    assert run.error == "LeaseLost"
    # Where EventBridge tells of the end, the sweep did the same already.
    world.recover()


@scenario()
def run_that_was_closed(world: World) -> None:
    """A run whose record says that it ended does nothing."""
    world.dead_letter(world.message())
    for status in ("CANCELLED", "FAILED", "ABORTED"):
        given.run_row(world, run_id := world.next_run, status=status, trigger="api")
        before = world.run_row(run_id)
        assert world.run({"request": {"max_messages": 1}}).states == SKIPPED
        assert world.run_row(run_id) == before
    assert row(world.stack, "Runs", LOCK) == {}
    assert len(world.queued("DeadLetter")) == 1


@scenario()
def cancelled_before_it_began(world: World) -> None:
    """A run that was cancelled at once sends one batch at most."""
    run_id = world.next_run
    given.run_row(world, run_id, status="CANCELLING", trigger="api", requested_by="o@example.com")
    given.lock(world, run_id)
    for _ in range(12):
        world.dead_letter(world.message())
    run = world.run({"request": {}, "trigger": "api"})
    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]
    assert (run.output["status"], run.output["redriven"]) == ("CANCELLED", 10)
    assert len(world.queued("Work")) == 10
    assert len(world.queued("DeadLetter")) == 2
    assert all_visible(world.stack)


@scenario()
def many_legs(world: World) -> None:
    """A run that is longer than a leg goes on in others, under one id, with all that it knows."""
    first, left, second = world.message(), world.message(currency="CHF"), world.message()
    request = {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 2}
    short = world.variant("redrive", "$number('300')", "$number('1')", "short")
    with given.one_a_turn(world) as size:
        for message in (first, left, second):
            world.dead_letter(message, size)
        run = world.run({"request": request, "trace_id": "incident-7"}, machine=short)
    sends, leaves = [*LEG, *MEASURED, *WAVE], [*LEG, *MEASURED, *NOTHING_GOES, *STAYS]
    assert run.states == [*BEGUN, *sends, *LEG_OVER, *leaves, *LEG_OVER, *sends, *FINISH]
    assert (run.output["redriven"], run.output["left"]) == (2, 1)
    for message, leg in ((first, 1), (second, 3)):
        found = world.row(message)
        assert (found["redrive_mark"], found["redriven_by"]) == (f"{run.name}#0.{leg}", run.name)
        assert found["execution_arns"] == [leg_arn(world.stack, run.arn, leg)]
    record = world.run_row(run.name)
    assert (record["trace_id"], record["execution_arn"]) == ("incident-7", run.arn)
    assert (record["round"], record["working"]) == (3, [0])
    assert row(world.stack, "Runs", LOCK) == {}
    assert all_visible(world.stack)


@scenario(mocked=True)
def leg_whose_answer_was_lost(world: World) -> None:
    """A leg that an earlier try started is not run again: it is counted as it ended."""
    given.lock(world, world.next_run)
    given.run_row(world, world.next_run, status="RUNNING", trigger="api")
    for _ in range(2):
        world.dead_letter(world.message())
    leg = given.begun(world, max_messages=1)
    told = leg.model_dump(include={"run_id", "trace_id", "request", "queue"})
    (lane,) = leg.lanes
    told |= {"lane": lane.model_dump()}
    start_machine(world.stack, world.machines["redrive_lane"], told, name=lane.name)
    world.follow(lane.name, machine="redrive_lane")
    exists = given.throws("StepFunctions.ExecutionAlreadyExistsException")
    run = world.run({"request": {"max_messages": 1}}, mocks={"RunLane": exists})
    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]
    assert run.output["redriven"] == len(world.queued("Work")) == 1
    assert world.run_row(run.name)["settled_0"] == {"turn": 1}


@scenario()
def run_that_was_stopped(world: World) -> None:
    """The lane of a run that a person stopped notices it and ends; the next run has the rest."""
    for _ in range(2):
        world.dead_letter(world.message())

    def stop() -> None:
        machine = world.machines["redrive"].replace(":stateMachine:", ":execution:")
        world.stack.client("stepfunctions").stop_execution(executionArn=f"{machine}:{run_id}")
        world.recover()

    run_id = world.next_run
    # The pause is long enough to stop it meanwhile.
    run = world.run({"request": {"max_per_second": 0.2}}, meanwhile=("WaitForRate", stop))
    leg = world.follow(leg_arn(world.stack, run.arn).rpartition(":")[2], machine="redrive_lane")
    world.executions.remove(run)
    run = world.follow(run_id)  # its path is whole only now
    assert run.status == world.run_row(run_id)["status"] == "ABORTED"
    assert leg.states[-4:] == ["GuardLoop", "AnyToRedrive", "GiveBackDeadLetters", "SettleLeg"]
    assert (leg.status, leg.output["lane"]["failure"]) == ("SUCCEEDED", "LeaseLost")
    assert bodies(world, "Work") == [world.messages[0].body()]
    assert all_visible(world.stack)
    world.recover()
    assert world.run({"request": {"max_messages": 1}}).output["redriven"] == 1
    assert bodies(world, "Work") == [message.body() for message in world.messages]
    assert world.queued("DeadLetter") == []


@scenario(mocked=True)
def lane_that_was_stopped(world: World) -> None:
    """A lane that a person stopped is an answer to its run, which gives back what that one had."""
    world.dead_letter(world.message(currency="CHF"))
    world.dead_letter(world.message())
    run_id = world.next_run

    def stop() -> None:
        machine = world.machines["redrive"].replace(":stateMachine:", ":execution:")
        leg = leg_arn(world.stack, f"{machine}:{run_id}")
        world.stack.client("stepfunctions").stop_execution(executionArn=leg)

    with engines.waits_real(world.stack):  # so that the state is still busy with its retries
        run = world.run(
            {"request": {"filter": {"payload": {"currency": "EUR"}}}},
            mocks={"RedriveMessages": given.throws("Some.ServiceException")},
            meanwhile=("RedriveMessages", stop),
        )
    assert run.states == [*START, *JUDGED, *WAVE[:3], *FAILED[1:]]
    assert run.error == "LaneStopped"
    assert row(world.stack, "Runs", LOCK) == {}
    assert [letter["ReceiveCount"] for letter in world.queued("DeadLetter")] == [1, 1]
    assert all_visible(world.stack)
    world.recover()
    assert world.run({"request": {"max_messages": 2}}).output["redriven"] == 2
    assert world.queued("DeadLetter") == []


@scenario()
def another_reader(world: World) -> None:
    """What somebody else has in flight is no empty queue: the run looks again, and says so."""
    group = world.name("group")
    for _ in range(2):  # the second is hidden behind the first
        world.dead_letter(world.message(group_id=group))
    given.receive(world, "DeadLetter")
    run = world.run()
    assert run.states == [*START, *NO_MORE, *[*LEG_OVER, *WAITED, *LEG, *NO_MORE] * 3, *FINISH]
    assert (run.output["status"], run.output["in_flight"]) == ("HALTED", 1)
    assert world.run_row(run.name)["in_flight"] == 1


@scenario()
def fewer_than_the_plan_held(world: World) -> None:
    """A run that is held to a plan and meets less is no success, though the queue is empty."""
    world.dead_letter(world.message())
    run = world.run({"planned": 3})
    assert run.states == [*START, *JUDGED, *WAVE, *NO_MORE, *FINISH]
    assert (run.output["status"], run.output["missing"]) == ("HALTED", 2)
    assert world.run_row(run.name)["missing"] == 2

"""What a run promises holds for all its lanes together, however they take turns.

Each with one lane and with several. A queue has messages of many groups in turn, so that every lane
meets several groups, and a lane that is done early sees what others still have in flight.
"""

import json
import random
from collections import Counter, defaultdict
from contextlib import contextmanager

import pytest

from local.machines import EXPRESS_LANES
from tests.engines.moto_engine.stack import MotoStack, end_alone
from tests.proofs.faults.crashing_world import LATER, CrashingWorld
from tests.support.invariants import broken
from tests.support.messages import an_operator
from tests.support.stack_fixtures import leg_arn, row
from workflows.redrive import counters, runs
from workflows.redrive.ownership import RunActive
from workflows.redrive.requests import RedriveRequest, start
from workflows.runtime import clock

SMALL = (24, 2)
LARGE = (40, 10)
SIZES = [
    pytest.param((3, SMALL), id="3"),
    pytest.param((1, LARGE), id="1 long", marks=pytest.mark.soak),
    pytest.param((8, LARGE), id="8 long", marks=pytest.mark.soak),
]


@pytest.fixture(
    params=[
        pytest.param({}, id="standard"),
        pytest.param(EXPRESS_LANES, id="express", marks=pytest.mark.soak),
    ]
)
def world(request):
    """Give an empty world, whose lanes are executions of one kind or the other."""
    with MotoStack(substitutions=request.param) as stack:
        yield CrashingWorld(stack)


@pytest.fixture(params=SIZES)
def queue(world, request):
    """Give the number of lanes, and the messages on the queue, in their order."""
    lanes, (groups, each) = request.param
    world.healthy = [
        world.message(type="entry", group_id=world.name(f"g{group}"), number=number)
        for number in range(each)
        for group in range(groups)
    ]
    for message in world.healthy:
        world.dead_letter(message)
    return lanes, world.healthy


@pytest.fixture(autouse=True)
def turns(world):
    """Let one lane or another go on by a state, by chance, the same each time."""
    chance = random.Random(7)  # noqa: S311 - an order of events, no secret
    world.stack.next_item = lambda still_open, before: chance.choice(still_open)


def sent(world):
    """Return the ids of what was sent to the work queue, in order."""
    return [copy["MessageDeduplicationId"].rpartition(".r")[0] for copy in world.queued("Work")]


def is_in_order(world, messages):
    """Tell whether of each group the first messages were sent, each once and in their order."""
    of_group, found = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for message in messages:
        of_group[message.group_id].append(message.message_id)
    group_of = {message.message_id: message.group_id for message in messages}
    for one in sent(world):
        found[group_of[one]].append(one)
    return all(of_group[group][: len(them)] == them for group, them in found.items())


def left_on_queue(world):
    return world.queued("DeadLetter")


def on_queue(world):
    return {json.loads(letter["Body"])["message_id"] for letter in left_on_queue(world)}


@contextmanager
def watching(world, look):
    """Call `look` with the execution and the state, before each state of a run and its lanes."""

    def before_state(arn, state):
        look(arn, state)
        return True

    world.stack.before_state = before_state
    yield
    world.stack.before_state = lambda arn, state: True


def test_each_message_is_sent_once_in_order_and_counters_are_true_at_every_moment(world, queue):
    lanes, messages = queue
    run_id, seen = world.next_run, []

    def look(arn, state):
        if state in ("GuardLoop", "DecideNext", "FinishRun"):
            seen.append((runs.get(run_id)["redriven"], len(world.queued("Work"))))

    with watching(world, look):
        run = world.redrive(lanes=lanes)

    assert (run.output["status"], run.output["redriven"]) == ("SUCCEEDED", len(messages))
    assert is_in_order(world, messages)
    assert Counter(sent(world)) == Counter(message.message_id for message in messages)
    assert left_on_queue(world) == []
    for counted, really in seen:
        # What a lane has sent since its last guard is counted with its next one.
        assert really - 10 * lanes <= counted <= really
    by_lane = counters.of_lanes(runs.get(run_id))
    assert sorted(by_lane) == list(range(lanes))
    assert sum(counts["redriven"] for counts in by_lane.values()) == len(messages)
    assert sum(counts["redriven"] > 0 for counts in by_lane.values()) > min(1, lanes - 1)
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.parametrize("most", [1, 25])
def test_max_messages_is_exact(world, queue, most):
    lanes, messages = queue

    run = world.redrive(lanes=lanes, max_messages=most)

    assert (run.output["status"], run.output["received"]) == ("SUCCEEDED", most)
    assert len(sent(world)) == most == len(messages) - len(left_on_queue(world))
    assert is_in_order(world, messages)
    assert all(letter["IsVisible"] for letter in left_on_queue(world))
    world.redrive(lanes=lanes)
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.parametrize("rate", [7.5, 33])
def test_max_per_second_holds_in_any_second_over_all_lanes(world, queue, rate):
    lanes, messages = queue
    at, before = [], [0]

    def look(arn, state):
        count = len(world.queued("Work"))
        at.extend([clock.milliseconds()] * (count - before[0]))
        before[0] = count

    with watching(world, look):
        world.redrive(lanes=lanes, max_per_second=rate)

    assert len(at) == len(messages)
    # Seen at the state that follows, so a second less the time that one state may take here.
    for first, moment in enumerate(at):
        assert sum(moment <= later < moment + 700 for later in at[first:]) <= rate
    assert is_in_order(world, messages)


def test_canary_has_exact_steps_and_is_watched_before_the_next(world, queue):
    lanes, messages = queue
    steps, done = [], [0]

    def look(arn, state):
        if state == "WaitForOutcomes":
            steps.append(len(world.queued("Work")) + done[0])
            done[0] += len(world.queued("Work"))
            world.consume()

    canary = {"messages": 3, "watch_seconds": 60}
    with watching(world, look):
        run = world.redrive(lanes=lanes, canary=canary)

    assert run.output["status"] == "SUCCEEDED"
    expected = [3, 9, 21, 45, 93, 189, 381]
    assert steps == [step for step in expected if step < len(messages)] + [len(messages)]
    world.settle()
    assert broken(world, moved=messages) == []


def test_what_the_filter_leaves_out_keeps_its_group_behind_it_and_is_visible_after(world, queue):
    lanes, messages = queue
    group = messages[5].group_id

    run = world.redrive(lanes=lanes, filter={"group_id": group})

    wanted = [message.message_id for message in messages if message.group_id == group]
    assert (run.output["redriven"], sent(world)) == (len(wanted), wanted)
    # What is left hides what is behind it in its group.
    assert 23 <= run.output["left"] <= len(left_on_queue(world)) == len(messages) - len(wanted)
    assert all(letter["IsVisible"] for letter in left_on_queue(world))
    world.redrive(lanes=lanes)
    assert is_in_order(world, messages)


def test_cancelled_run_stops_within_one_batch_of_each_lane(world, queue):
    lanes, messages = queue
    run_id, polls = world.next_run, Counter[str]()

    def look(arn, state):
        if state == "ReceiveDeadLetters":
            polls[arn] += "cancelled" in polls
        if state == "MoreToDo" and "cancelled" not in polls:
            polls["cancelled"] = 0
            runs.cancel(run_id, an_operator())

    with watching(world, look):
        run = world.redrive(lanes=lanes)

    assert run.output["status"] == "CANCELLED"
    assert max(polls.values()) == 1
    assert run.output["redriven"] == len(sent(world)) == len(messages) - len(left_on_queue(world))
    assert is_in_order(world, messages)
    assert all(letter["IsVisible"] for letter in left_on_queue(world))
    world.redrive(lanes=lanes)
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.parametrize("state", ["GuardLoop", "RedriveMessages", "DeleteDeadLetters"])
def test_lane_that_fails_fails_its_run_and_the_others_are_counted(world, queue, state):
    lanes, messages = queue
    run_id, tries = world.next_run, Counter[str]()
    broken_lane = leg_arn(world.stack, f":{run_id}", lane=min(1, lanes - 1))

    def task(arn, name, do):
        if (arn, name) == (broken_lane, state):
            tries[arn] += 1
            return "Sqs.InternalFailureException"
        do()
        return None

    world.stack.task = task
    run = world.redrive(lanes=lanes)
    world.stack.task = lambda arn, name, do: do()

    assert tries.total() > 1  # it was tried again
    assert (run.status, run.error) == ("FAILED", "Sqs.InternalFailureException")
    assert runs.get(run_id)["redriven"] == len(sent(world))
    assert is_in_order(world, messages)
    both = set(sent(world)) & on_queue(world)
    assert len(sent(world)) + len(left_on_queue(world)) == len(messages) + len(both)
    assert bool(both) == (state == "DeleteDeadLetters")  # sent, and not deleted
    world.redrive(lanes=lanes)
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.parametrize("state", ["ValidateMessages", "RedriveMessages", "SettleLeg"])
def test_lane_that_is_stopped_fails_its_run_and_nothing_is_lost(world, queue, state):
    lanes, messages = queue
    lane = min(1, lanes - 1)
    stopped = leg_arn(world.stack, f":{world.next_run}", lane=lane)

    def before_state(arn, name):
        return (arn, name) != (stopped, state)

    world.stack.before_state = before_state
    run = world.redrive(lanes=lanes)
    world.stack.before_state = lambda arn, name: True

    assert (run.status, run.error) == ("FAILED", "LaneStopped")
    assert f"Lane {lane} " in runs.get(run.name)["reason"]
    assert is_in_order(world, messages)
    world.settle()
    world.redrive(lanes=lanes)
    world.settle()
    assert broken(world, moved=messages) == []


@pytest.mark.parametrize("at_once", [True, False], ids=["all at once", "the run alone"])
def test_run_that_is_stopped_is_recovered_with_all_its_lanes(world, queue, at_once):
    """Where Step Functions cannot stop the lanes, each of them notices at its next guard."""
    lanes, messages = queue
    run_id, entered = world.next_run, Counter[str]()

    def before_state(arn, state):
        name = arn.rpartition(":")[2]
        if entered["stopped"]:
            return not at_once
        if name == run_id:
            return True
        entered[state] += 1
        if state == "RedriveMessages" and entered[state] == lanes:
            entered["stopped"] = 1
            end_alone(arn.replace(name, run_id).replace("redrive_lane", "redrive"))
            runs.get(run_id)  # somebody looks
            return not at_once
        return True

    world.stack.before_state = before_state
    world.redrive(lanes=lanes)
    world.stack.before_state = lambda arn, state: True

    assert entered["stopped"]
    assert is_in_order(world, messages)
    world.settle()
    assert runs.get(run_id)["status"] == "ABORTED"
    assert all(letter["IsVisible"] for letter in left_on_queue(world))
    world.stack.elapse(LATER)
    world.redrive(lanes=lanes)
    world.settle()
    assert broken(world, moved=messages) == []


def test_second_run_is_refused_while_lanes_work(world, queue):
    lanes, messages = queue
    refused = []

    def another():
        with pytest.raises(RunActive) as error:
            start(RedriveRequest(lanes=lanes), an_operator())
        refused.append(error.value.run_id)

    world.run({"request": {"lanes": lanes}}, meanwhile=("ValidateMessages", another))

    assert refused == [world.executions[0].name]
    assert row(world.stack, "Runs", "LOCK#local-dead-letters.fifo") == {}
    world.settle()
    assert broken(world, moved=messages) == []

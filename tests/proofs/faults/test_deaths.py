"""Functions that die at any of their calls to AWS, and retries that are stopped.

A function that dies is called again by its machine, or its messages come again. Whatever the call
had done by then, nothing may be lost or done twice. Ten messages are met at once, and a function
dies in any of its invocations. What takes long is shared out, so that it can run in parallel.
"""

from functools import partial
from typing import Any

import pytest

from tests.engines.moto_engine.as_aws import TIMED_OUT
from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults import acts, ten
from tests.proofs.faults.acts import TWO_ATTEMPTS, VISIBILITY_SECONDS, given
from tests.proofs.faults.crashing_world import LATER, CrashingWorld
from tests.proofs.faults.registered_world import Registered
from tests.proofs.faults.shares import part, shared
from tests.support.aws_calls import Calls, WorkerDied
from tests.support.invariants import broken

pytestmark = pytest.mark.timeout(300)


def boundaries(ends):
    """Return the indices of ends to die at: what is after one call is before the next."""
    return [*range(0, len(ends), 2), len(ends) - 1]


# The consumer

BATCHES = {"redriven": acts.redriven_batch, "sent": acts.sent_batch}


@pytest.mark.fault(9, 20)
@pytest.mark.parametrize(("share", "batch"), shared({"redriven": 16, "sent": 16}, ["redriven"]))
def test_consumer_that_dies_at_any_call_of_a_batch_of_ten(batch, share):
    made, found = given(BATCHES[batch]), {}
    with MotoStack() as stack:
        calls = Calls()
        world = made.on(stack)
        assert len(world.queued("Work")) == 10
        stack.poll()
        assert all(letter["ReceiveCount"] == 1 for letter in world.queued("Work"))
        ends = list(calls.ends)
        for at in part(boundaries(ends), share):
            world = made.on(stack)
            calls.ends.clear()
            calls.error_at = at
            with pytest.raises(WorkerDied):
                stack.poll()
            stack.elapse(VISIBILITY_SECONDS)
            world.settle()
            if sentences := broken(world, moved=world.healthy):
                found[at, ends[at]] = sentences

    assert len(ends) > 60
    assert found == {}


# The functions of the machines


class Dying:
    """Lets a function of a machine die in its invocation `number`, at the end `at` of a call.

    `ends` are those of each invocation since `next`, the one that dies having no more.
    """

    def __init__(self, stack, function):
        self.point: tuple[int, int] | None = None
        self.ends: list[list[str]] = []
        calls, invoke = Calls(), stack.invoke

        def invoked(name, payload):
            if name != function:
                return invoke(name, payload)
            number, begin = len(self.ends), len(calls.ends)
            dies_in, at = self.point or (None, 0)
            calls.error_at = begin + at if dies_in == number else None
            try:
                return invoke(name, payload)
            except WorkerDied as died:
                raise RuntimeError("Runtime.ExitError") from died
            finally:
                calls.error_at = None
                self.ends.append(calls.ends[begin:])

        stack.invoke = invoked

    def next(self, point):
        """Let it die in that invocation from now on, at that end of a call."""
        self.point = point
        self.ends.clear()

    @property
    def points(self):
        """Return where it can die: of every invocation, each boundary."""
        return [(number, at) for number, ends in enumerate(self.ends) for at in boundaries(ends)]


# The function, the messages, what is done, and how often the function is then invoked.
FUNCTIONS: dict[str, tuple[str, Any, Any, int]] = {
    # One for what there is, and two for polls that are empty.
    "ValidateMessages": ("ValidateMessages", ten.mixed, acts.redrive, 3),
    "ValidateMessages, four turns": (
        "ValidateMessages",
        ten.mixed,
        partial(acts.redrive, max_per_second=4),
        6,
    ),
    "ValidateMessages, what is left": (
        "ValidateMessages",
        ten.mixed,
        partial(acts.redrive, filter={"type": "entry"}),
        4,
    ),
    # Begin, settle, decide, finish.
    "ConductRun": ("ConductRun", ten.mixed, acts.redrive, 4),
    "ConductRun, what is left": (
        "ConductRun",
        ten.mixed,
        partial(acts.redrive, filter={"type": "entry"}),
        4,
    ),
    "ConductRun, three steps": (
        "ConductRun",
        ten.healthy,
        partial(acts.redrive, canary={"messages": 3, "watch_seconds": 100}),
        11,
    ),
    "ConductRun, the lane is stopped": ("ConductRun", ten.mixed, acts.stop_a_lane, 3),
    "ConductRun, nothing to do": ("ConductRun", acts.nothing, acts.by_a_schedule, 1),
    # One for the second of two that hold the same, too.
    "ValidateMessages, registered": (
        "ValidateMessages",
        Registered(ten.of_a_team, fifo=False),
        acts.redrive,
        4,
    ),
    "ConductRun, registered": ("ConductRun", Registered(ten.of_a_team, fifo=True), acts.redrive, 4),
    "ProcessMessage, out of attempts": ("ProcessMessage", acts.parked, acts.drain, 1),
    "ProcessMessage": ("ProcessMessage", acts.nine_waiting, acts.drain, 10),
}
SHARES = {
    "ValidateMessages": 1,
    "ValidateMessages, four turns": 4,
    "ValidateMessages, what is left": 2,
    "ConductRun": 3,
    "ConductRun, what is left": 3,
    "ConductRun, three steps": 6,
    "ConductRun, the lane is stopped": 3,
    "ConductRun, nothing to do": 1,
    "ValidateMessages, registered": 2,
    "ConductRun, registered": 6,
    "ProcessMessage, out of attempts": 3,
    "ProcessMessage": 10,
}
QUICK = (
    "ValidateMessages",
    "ConductRun",
    "ConductRun, what is left",
    "ConductRun, the lane is stopped",
    "ValidateMessages, registered",
    "ProcessMessage",
)


@pytest.mark.fault(5, 19)
@pytest.mark.parametrize(("share", "case"), shared(SHARES, QUICK))
def test_function_of_a_machine_that_dies_at_any_call_of_any_invocation(case, share):
    function, make, act, invocations = FUNCTIONS[case]
    made, found = given(make), {}
    with MotoStack(substitutions=TWO_ATTEMPTS) as stack:
        dying = Dying(stack, function)
        act(made.on(stack))
        undisturbed, points = list(dying.ends), dying.points
        assert len(undisturbed) == invocations
        for number, at in part(points, share):
            world = made.on(stack)
            dying.next((number, at))
            act(world)
            died = undisturbed[number][: at + 1]
            assert dying.ends[: number + 1] == [*undisturbed[:number], died]
            dying.next(None)
            if sentences := acts.broken_later(world):
                found[number, at, died[-1]] = sentences

    assert found == {}


def test_every_function_of_the_machines_is_among_those_that_die():
    functions = {
        task["Arguments"]["FunctionName"]
        for machine in acts.MACHINES
        for task in acts.tasks(machine).values()
        if task["Resource"].endswith(":lambda:invoke")
    }

    here = {f"${{{function}FunctionArn}}" for function, *_ in FUNCTIONS.values()}
    assert functions == here | {"${ReceiveLargeDeadLettersFunctionArn}"}  # test_moved.py


# Retries that are stopped


def statuses(stack):
    """Return how the executions of the retry machine have ended."""
    executions = stack.client("stepfunctions").list_executions(
        stateMachineArn=stack.outputs["RetryStateMachineArn"]
    )["executions"]
    return {execution["status"] for execution in executions}


def stopped_retries(make, act, ended=False):
    """Stop the retry machine before each of its states; return what is broken in the end."""
    made, found = given(make), {}
    with MotoStack(substitutions=TWO_ATTEMPTS) as stack:
        world = made.on(stack)
        states = world.stop_before("retry", 10_000)
        act(world)
        for number in range(len(states)):
            world = made.on(stack)
            entered = world.stop_before("retry", number, ended=ended)
            act(world)
            world.go_on()
            assert not ended or "TIMED_OUT" in statuses(stack)
            assert entered == states[: number + 1]
            stack.elapse(VISIBILITY_SECONDS)
            world.settle()
            # The try that was counted and not made may have been the last: a person redrives it.
            stack.elapse(LATER)
            world.begin()
            world.settle()
            if sentences := broken(world, moved=world.healthy):
                found[number, states[number]] = sentences
    return list(states), found


@pytest.mark.fault(19)
def test_retry_out_of_attempts_that_is_stopped_before_any_state():
    states, found = stopped_retries(acts.parked, acts.drain)

    assert states[-1] == "GroupHeld"
    assert found == {}


@pytest.mark.fault(19)
def test_drain_of_a_redriven_group_that_is_stopped_before_any_state():
    states, found = stopped_retries(acts.redriven, CrashingWorld.consume)

    assert states[-1] == "GroupReleased"
    assert "PromoteParked" in states
    assert found == {}


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("make", "act"),
    [
        (acts.parked, acts.drain),
        pytest.param(acts.redriven, CrashingWorld.consume, marks=pytest.mark.soak),
        pytest.param(acts.nine_waiting, acts.drain, marks=pytest.mark.soak),
    ],
    ids=["out of attempts", "redriven", "drain of ten"],
)
def test_retry_that_times_out_before_any_state(make, act):
    states, found = stopped_retries(make, act, TIMED_OUT)

    assert len(states) > 5
    assert found == {}

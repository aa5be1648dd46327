"""Functions that die at any of their calls to AWS, answers that are lost, retries that are stopped.

A function that dies is called again by its machine, or its messages come again; a machine that got
no answer tries again. Whatever the call had done by then, nothing may be lost or done twice.
"""

from functools import cache, partial
from typing import Any

import pytest

from tests.conftest import Calls, WorkerDied
from tests.faults import ten
from tests.faults.calls import failing
from tests.faults.crashing_world import LATER, CrashingWorld, Given
from tests.invariants import broken
from tests.moto_engine.stack import MotoStack

pytestmark = pytest.mark.timeout(300)
VISIBILITY_SECONDS = 181
TWO_ATTEMPTS = {"MaxAttempts": "2"}


def redriven(world):
    """Redrive a holder and a message that will be refused for good; none is consumed yet."""
    ten.held(world)
    world.dead_letter(world.message(kind="debit"))  # more than the balance
    world.begin()


def parked(world):
    """Let a message fail for ever, with two parked behind it; its machine has not begun."""
    name = world.name("g")
    for number, fails in ((1, 99), (2, 0), (3, 0)):
        world.send(world.message(type="entry", group_id=name, number=number, fails=fails))
    world.stack.poll()


@cache
def given(make):
    return Given.by(make)


def some(names, quick):
    """Return parameters of which only the quick ones are tried at every run of the tests."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.soak) for name in names]


def boundaries(ends):
    """Return the indices of ends to die at: what is after one call is before the next."""
    return [*range(0, len(ends), 2), len(ends) - 1]


# The consumer


@pytest.mark.soak
@pytest.mark.fault(9, 20)
def test_consumer_that_dies_at_any_call_of_a_redriven_batch():
    made, found = given(redriven), {}
    with MotoStack() as stack:
        calls = Calls()
        made.on(stack).stack.poll()
        ends = list(calls.ends)
        for at in boundaries(ends):
            world = made.on(stack)
            calls.ends.clear()
            calls.error_at = at
            with pytest.raises(WorkerDied):
                stack.poll()
            stack.elapse(VISIBILITY_SECONDS)
            world.settle()
            if sentences := broken(world, moved=world.healthy):
                found[at, ends[at]] = sentences

    assert len(ends) > 20
    assert found == {}


# The functions of the machines


class Dying:
    """Lets a function of a machine die at the end `at` of a call, the first time it is called."""

    def __init__(self, stack, function):
        self.at: int | None = None
        self.ends: list[str] = []
        self.called = False
        calls, invoke = Calls(), stack.invoke

        def invoked(name, payload):
            if name != function or self.called:
                return invoke(name, payload)
            self.called, begin = True, len(calls.ends)
            calls.error_at = None if self.at is None else begin + self.at
            try:
                return invoke(name, payload)
            except WorkerDied as died:
                raise RuntimeError("Runtime.ExitError") from died
            finally:
                calls.error_at, self.ends = None, calls.ends[begin:]

        stack.invoke = invoked

    def next(self, at):
        """Let it die the next time."""
        self.at, self.called = at, False


def redrive(world, **request):
    """Let a run go to its end, the consumer working while it waits for outcomes."""
    stack = world.stack
    stack.before_state = lambda arn, state: state != "WaitForOutcomes" or poll(stack)
    world.begin(request=request)
    world.go_on()


def poll(stack):
    while stack.poll() is not None:
        pass
    return True


def drain(world):
    """Let the sweep give a fence its execution, and that one run to its end."""
    world.stack.elapse(61)
    world.recover()
    world.stack.run_executions()


FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "ValidateMessages": (ten.few, redrive),
    "CountOutcomes": (ten.few, partial(redrive, canary={"messages": 1, "watch_seconds": 100})),
    "ReturnDeadLetters": (ten.few, partial(redrive, filter={"type": "entry"})),
    "ProcessMessage": (parked, drain),
}
QUICK = ("ProcessMessage",)


@pytest.mark.fault(5, 19)
@pytest.mark.parametrize("function", some(FUNCTIONS, QUICK))
def test_function_of_a_machine_that_dies_at_any_call(function):
    make, act = FUNCTIONS[function]
    made, found = given(make), {}
    with MotoStack(substitutions=TWO_ATTEMPTS) as stack:
        dying = Dying(stack, function)
        act(made.on(stack))
        ends = dying.ends
        for at in boundaries(ends):
            world = made.on(stack)
            dying.next(at)
            act(world)
            assert len(dying.ends) == at + 1
            world.settle()
            stack.elapse(LATER)
            world.begin()
            world.settle()
            if sentences := broken(world, moved=world.healthy):
                found[at, ends[at]] = sentences

    assert ends
    assert found == {}


# Lost answers

REDRIVE_CALLS = (
    "sqs.GetQueueAttributes",
    "dynamodb.TransactWriteItems",
    "sqs.ReceiveMessage",
    "dynamodb.BatchExecuteStatement",
    "sqs.SendMessageBatch",
    "sqs.DeleteMessageBatch",
)
QUICK_REDRIVE_CALLS = REDRIVE_CALLS[4:]
RETRY_CALLS = ("dynamodb.GetItem", "dynamodb.UpdateItem", "sqs.SendMessage")
DRAIN_CALLS = ("dynamodb.Query", "dynamodb.TransactWriteItems", "dynamodb.DeleteItem")


def lost_answers(make, act, operation, *, most):
    """Lose the answer of each call of an operation, one at a time; return what is then broken."""
    made = given(make)
    found: dict[tuple[str, int], list[str]] = {}
    with MotoStack(substitutions=TWO_ATTEMPTS) as stack:
        for number in range(most):
            world = made.on(stack)
            with failing(operation, skip=number, lost=True) as failed:
                act(world)
            if not failed:
                assert number > 0, operation
                return found
            world.settle()
            stack.elapse(LATER)
            world.begin()
            world.settle()
            if sentences := broken(world, moved=world.healthy):
                found[operation, number] = sentences
    return found


@pytest.mark.fault(2, 12)
@pytest.mark.parametrize("operation", some(REDRIVE_CALLS, QUICK_REDRIVE_CALLS))
def test_run_that_got_no_answer_of_a_call(operation):
    assert lost_answers(ten.few, redrive, operation, most=4) == {}


@pytest.mark.fault(12, 19)
@pytest.mark.parametrize("operation", some(RETRY_CALLS, ["sqs.SendMessage"]))
def test_retry_that_got_no_answer_of_a_call(operation):
    assert lost_answers(parked, drain, operation, most=4) == {}


@pytest.mark.fault(12, 19)
@pytest.mark.parametrize("operation", some(DRAIN_CALLS, ["dynamodb.TransactWriteItems"]))
def test_drain_that_got_no_answer_of_a_call(operation):
    assert lost_answers(redriven, CrashingWorld.consume, operation, most=4) == {}


# Retries that are stopped


def stopped_retries(make, act):
    """Stop the retry machine before each of its states; return what is broken in the end."""
    made, found = given(make), {}
    with MotoStack(substitutions=TWO_ATTEMPTS) as stack:
        world = made.on(stack)
        states = world.stop_before("retry", 10_000)
        act(world)
        for number in range(len(states)):
            world = made.on(stack)
            entered = world.stop_before("retry", number)
            act(world)
            world.go_on()
            assert entered == states[: number + 1]
            stack.elapse(VISIBILITY_SECONDS)
            world.settle()
            if sentences := broken(world, moved=world.healthy):
                found[number, states[number]] = sentences
    return list(states), found


@pytest.mark.fault(19)
def test_retry_out_of_attempts_that_is_stopped_before_any_state():
    states, found = stopped_retries(parked, drain)

    assert states[-1] == "GroupHeld"
    assert found == {}


@pytest.mark.fault(19)
def test_drain_of_a_redriven_group_that_is_stopped_before_any_state():
    states, found = stopped_retries(redriven, CrashingWorld.consume)

    assert states[-1] == "GroupReleased"
    assert "PromoteParked" in states
    assert found == {}

"""A dead letter that fits no state, and a function that dies, or is refused, at any of its calls.

What it did before that nobody can tell; the machine asks it once more, and the run ends. Then time
passes, the sweep runs, another run starts and the consumer works.
"""

from collections.abc import Callable
from functools import partial

import pytest
from botocore.exceptions import ClientError

from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios import given
from tests.proofs.faults.crashing_world import LATER, CrashingWorld
from tests.proofs.faults.registered_world import RegisteredWorld
from tests.support.aws_calls import Calls, WorkerDied
from tests.support.invariants import broken
from workflows.ledger import large
from workflows.redrive import state_bytes

pytestmark = pytest.mark.timeout(300)
THE_FUNCTION = "ReceiveLargeDeadLetters"
# After a call that only reads a death changes nothing.
WRITES = {
    "ChangeMessageVisibilityBatch", "UpdateItem", "PutItem", "BatchExecuteStatement", "SendMessage",
    "DeleteMessage",
}  # fmt: skip
KINDS: dict[str, Callable[[MotoStack], CrashingWorld]] = {
    "built-in": CrashingWorld,
    "fifo": partial(RegisteredWorld.registered, fifo=True),
    "standard": partial(RegisteredWorld.registered, fifo=False),
}
REFUSED = ClientError({"Error": {"Code": "InternalError", "Message": "made up"}}, "Any")


class Functions:
    """The function's invocations, each with the calls that it makes; one of all ends in an error.

    Args:
        world: where.
        error: what happens at the end of number `at`, in the order of all invocations.
    """

    def __init__(self, world, error=None, at=None):
        self.ends: list[str] = []
        self._world, stack = world, world.stack
        self._calls, self._error, self._at = Calls(), error, at
        self._invoke, stack.invoke = stack.invoke, self._watched

    def _watched(self, function, payload):
        if function != THE_FUNCTION:
            return self._invoke(function, payload)
        self._calls.ends.clear()
        if self._at is not None and len(self.ends) <= self._at:
            self._calls.error, self._calls.error_at = self._error, self._at - len(self.ends)
        try:
            return self._invoke(function, payload)
        except WorkerDied as death:
            if not self._world.is_built_in:
                self._world.excuse()  # who hears of a death knows not what was sent before
            raise TimeoutError from death
        finally:
            self._calls.error_at = None
            self.ends += self._calls.ends


@pytest.fixture(autouse=True)
def little_room(monkeypatch):
    """Let so little fit a state and a row that the messages can be small, and the test quick."""
    monkeypatch.setattr(state_bytes, "_STATE_BYTES", 8_000)
    monkeypatch.setattr(large, "_MOST_BYTES", 8_000)
    monkeypatch.setattr(large, "_PART_LETTERS", 3_000)


def play(kind, error=None, at=None):
    """Redrive while something happens, let everything recover; return (ends of calls, findings)."""
    with MotoStack() as stack:
        world = KINDS[kind](stack)
        with given.one_a_turn(world):
            first = world.message(type="entry", number=1)
            behind = world.message(type="entry", number=2, group_id=first.group_id)
            world.dead_letter(first, 9_000)
            world.dead_letter(behind)
            if world.is_built_in:
                world.put_on_dlq("é" * 5_000, world.name("stranger"))
            else:
                world.dead_letter(world.message(kind="gift"), 7_500)  # not as its schema wants it
            functions = Functions(world, error, at)
            world.begin()
            ends = [*functions.ends]
            stack.elapse(LATER)
            world.recover()
            world.begin()
            world.settle()
            return ends, broken(world, moved=[first, behind])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_broken_when_nothing_happens(kind):
    ends, found = play(kind)

    assert found == []
    # Two that fit no state were dealt with: one sent, one stored, ours in parts.
    calls = [end.removeprefix("after ") for end in ends if end.startswith("after ")]
    assert calls.count("BatchExecuteStatement") == calls.count("DeleteMessage") == 2
    assert calls.count("SendMessage") == 1
    assert (calls.count("PutItem") > 1) is (kind == "built-in")


@pytest.mark.fault(1, 2, 16)
@pytest.mark.parametrize(
    ("error", "when"), [(WorkerDied(), "after "), (REFUSED, "before ")], ids=["dies", "is refused"]
)
@pytest.mark.parametrize(
    "kind", ["built-in", "fifo", pytest.param("standard", marks=pytest.mark.soak)]
)
def test_what_is_moved_is_neither_lost_nor_doubled_whatever_call_fails(kind, error, when):
    ends, _ = play(kind)
    writes = [n for n, end in enumerate(ends) if end in {f"{when}{name}" for name in WRITES}]
    assert len(writes) >= 8

    found = {}
    for number in writes:
        end, (_, sentences) = ends[number], play(kind, error, number)
        if sentences:
            found[(number, end)] = sentences

    assert found == {}

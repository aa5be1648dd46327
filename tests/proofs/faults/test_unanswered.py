"""Tasks of the machines whose answer is lost, or that time out: every task, at every entry.

A lost answer: the call had its effect, and the machine sees an error and tries again. A timeout:
it saw `States.Timeout`, and either nothing happened or all of it, each time the task was tried.
Then everything recovers by itself, or another run does it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults import acts, ten
from tests.proofs.faults.acts import TWO_ATTEMPTS, given
from tests.proofs.faults.calls import refusing
from tests.proofs.faults.crashing_world import CrashingWorld
from tests.proofs.faults.registered_world import Registered
from tests.proofs.faults.shares import part, shared
from tests.support.findings import Findings
from tests.support.invariants import broken
from tests.support.redrive_runs import COUNTERS, audited
from tests.support.stack_fixtures import put, row
from workflows.ledger import transitions
from workflows.messages import message_types
from workflows.runtime import clock

pytestmark = pytest.mark.timeout(300)
Make = Callable[[CrashingWorld], None]
Entry = tuple[str, str]  # a machine, and a task of it


class Tasks:
    """The tasks that executions do, in order; the one of index `at` gets no answer.

    Args:
        stack: where.
        error: the name of what the machine sees instead.
        done: the call has its effect all the same.
        for_ever: every later try and entry of that task gets none either.
    """

    def __init__(self, stack: MotoStack, error: str, *, done: bool, for_ever: bool) -> None:
        self.entries: list[Entry] = []
        self.world: CrashingWorld | None = None
        self.at: int | None = None
        self.error, self.done, self.for_ever = error, done, for_ever
        stack.task = self._do

    def next(self, at: int | None) -> None:
        """Let that one get no answer from now on."""
        self.at = at
        self.entries.clear()

    def _do(self, arn: str, state: str, task: Callable[[], None]) -> str | None:
        index, entry = len(self.entries), (arn.split(":")[-2], state)
        self.entries.append(entry)
        if self.at is None or index < self.at:
            unanswered = False
        else:
            unanswered = index == self.at or (self.for_ever and entry == self.entries[self.at])
        if self.done or not unanswered:
            task()
            if unanswered and self.world is not None:
                self.world.unheard(is_given_up=self.for_ever)
        return self.error if unanswered else None


LOCK = "LOCK#local-dead-letters.fifo"
TROUBLES: dict[str, dict[str, Any]] = {
    "lost": {"error": "Sqs.SdkClientException", "done": True, "for_ever": False},
    "timed out": {"error": "States.Timeout", "done": False, "for_ever": True},
    "timed out, but done": {"error": "States.Timeout", "done": True, "for_ever": True},
}


# What leads to every task


def refused(world: CrashingWorld) -> None:
    """Redrive while SQS does not take one of the messages."""
    body = world.healthy[2].body()  # of the first wave, and not the only one
    with refusing("sqs.SendMessageBatch", lambda entry: entry["MessageBody"] == body):
        acts.redrive(world)


def overtaken(world: CrashingWorld, *, closed: bool = False) -> None:
    """Redrive while another run takes the lock, so that this one fails with a batch in flight.

    And while somebody takes it for dead, if `closed`, and closes its record.
    """

    def before(arn: str, state: str) -> bool:
        lock = row(world.stack, "Runs", LOCK)
        if state == "GuardLoop" and lock:
            put(world.stack, "Runs", lock | {"holder": "another", "lease_until": 1})
        if state == "FailRun" and closed:
            record = row(world.stack, "Runs", arn.rpartition(":")[2])
            put(world.stack, "Runs", record | {"status": "ABORTED", "finished_at": clock.now()})
        return True

    world.stack.before_state = before
    world.begin()
    world.go_on()


def outrun(world: CrashingWorld) -> None:
    """Drain a group of which a slow worker, taken for dead, processes one just before its turn."""

    def before(arn: str, state: str) -> bool:
        message = world.messages[1]
        if state == "PromoteParked" and world.row(message)["status"] == "PARKED":
            message_types.process(message)
            transitions.processed(message.message_id)
        return True

    world.stack.before_state = before
    acts.drain(world)
    world.go_on()


def joined(world: CrashingWorld) -> None:
    """Drain a group which another message joins just before its fence is released."""

    def before(arn: str, state: str) -> bool:
        if state == "ReleaseFence" and len(world.messages) == number:
            last = world.message(type="entry", group_id=world.messages[0].group_id, number=99)
            world.healthy.append(last)
            world.send(last)
            world.stack.poll()
        return True

    number = len(world.messages)
    world.stack.before_state = before
    acts.drain(world)
    world.go_on()


def measured(world: CrashingWorld) -> None:
    """Redrive from a queue of which a state would not hold ten of the largest."""
    world.stack.client("sqs").set_queue_attributes(
        QueueUrl=world.url("DeadLetter"), Attributes={"MaximumMessageSize": "1048576"}
    )
    acts.redrive(world)


@dataclass(frozen=True)
class Case:
    """Messages, what is done with them, and how the machines differ from the shipped ones.

    `turns` is how many waves of a lane, or steps of a retry, make another execution go on.
    """

    make: Make
    act: Make
    shares: int = 1
    turns: int | None = None

    def stack(self) -> MotoStack:
        """Return a stack with such machines."""
        if self.turns is None:
            return MotoStack(substitutions=TWO_ATTEMPTS)
        short = acts.text("retry").replace("$steps >= 400", f"$steps >= {self.turns}")
        return MotoStack(
            definitions={"retry": short},
            substitutions=TWO_ATTEMPTS | {"WavesPerLeg": str(self.turns)},
        )


CASES = {
    "run of ten": Case(ten.mixed, acts.redrive, 7),
    "run of few": Case(ten.few, acts.redrive, 3),
    "run in steps": Case(
        ten.mixed, partial(acts.redrive, canary={"messages": 3, "watch_seconds": 100}), 6
    ),
    "run with a filter": Case(ten.mixed, partial(acts.redrive, filter={"type": "entry"}), 5),
    "run by a schedule": Case(acts.nothing, acts.by_a_schedule),
    "run that is not sent": Case(ten.few, refused, 3),
    "run in parts": Case(ten.healthy, partial(acts.redrive, max_per_second=4), 6, turns=1),
    "run that measures": Case(ten.few, measured, 3),
    "run that fails": Case(ten.few, overtaken, 5),
    "run whose lane is stopped": Case(ten.few, acts.stop_a_lane, 3),
    "run that somebody closed": Case(ten.few, partial(overtaken, closed=True), 5),
    "retry out of attempts": Case(acts.parked, acts.drain, 2),
    "drain of ten": Case(acts.nine_waiting, acts.drain, 8),
    "drain of what was redriven": Case(acts.redriven, CrashingWorld.consume, 3),
    "drain that a worker outruns": Case(acts.waiting, outrun, 3),
    "drain that another joins": Case(acts.waiting, joined, 3),
    "drain in parts": Case(acts.waiting, acts.drain, 3, turns=1),
}
# Of a registered queue: what is its own are the tasks of the lane.
REGISTERED = {
    kind: Case(Registered(ten.of_a_team, fifo), acts.redrive)
    for kind, fifo in (("standard", False), ("fifo", True))
}
UNHEARD = {
    "lost": ("GuardLoop", "RedriveMessages", "DeleteDeadLetters"),
    "timed out": ("GuardLoop", "DeleteDeadLetters", "SettleLeg"),
    "timed out, but done": ("GuardLoop", "RedriveMessages"),
}
SHARES = {name: case.shares for name, case in CASES.items()}
QUICK = {
    "lost": (
        "run of ten",
        "run by a schedule",
        "drain of what was redriven",
        "retry out of attempts",
    ),
    "timed out": ("run with a filter", "drain that a worker outruns"),
    "timed out, but done": ("run that fails", "drain that another joins"),
}


POLLS = ("ReceiveDeadLetters", "ReceiveLargeDeadLetters")
# A message that the guard stored, and whose answer was lost, is failed, and then settled.
OF_WHAT_IS_STORED = ("received", "quarantined", "already_processed", "failed")


def accounts(world: CrashingWorld, but: tuple[str, ...] = ()) -> list[Any]:
    """Return what runs say that they did, each time the same; `but` are counters left out."""
    found = []
    for run in Findings.of(world).runs:
        audit = [
            (entry["action"], entry["result"]) for entry in audited(world.stack, run["run_id"])
        ]
        counts = [run[name] for name in COUNTERS if name not in but]
        found.append((run["status"], counts, audit))
    return found


def unanswered(case: Case, trouble: str, choose: Callable[[list[Entry]], list[int]]):
    """Let each task that is chosen get no answer, one at a time; return what is then broken.

    Where an answer was only lost, the runs must say what they say when none is; but of a poll moto
    knows no ReceiveRequestAttemptId, so that what it brought is in flight for the run to tell of.
    """
    made, found = given(case.make), {}
    with case.stack() as stack:
        tasks = Tasks(stack, **TROUBLES[trouble])
        world = made.on(stack)
        case.act(world)
        entries = list(tasks.entries)
        said = {but: accounts(world, but) for but in ((), OF_WHAT_IS_STORED)}
        for at in choose(entries):
            tasks.world = world = made.on(stack)
            tasks.next(at)
            case.act(world)
            assert tasks.entries[: at + 1] == entries[: at + 1]
            tasks.next(None)
            but = OF_WHAT_IS_STORED if entries[at][1] == "GuardLoop" else ()
            says = accounts(world, but)
            sentences = acts.broken_later(world)
            is_poll = entries[at][1] in POLLS or (
                # Of what it had not met before, a registered queue's guard knows no first try.
                not world.is_built_in and entries[at][1] == "GuardLoop"
            )
            if trouble == "lost" and says != said[but] and not is_poll:
                sentences.append(f"Account: {says}, and not {said[but]}.")
            if sentences:
                found[at, entries[at]] = sentences
    return found


def shared_out(share: tuple[int, int]) -> Callable[[list[Entry]], list[int]]:
    """Choose the tasks of a share."""
    return lambda entries: part(range(len(entries)), share)


@pytest.mark.fault(2, 12)
@pytest.mark.parametrize("task", acts.tasks("redrive"))
def test_task_of_a_run_whose_answer_is_lost_is_done_and_accounted_for_once(task):
    """A leg of the lane, too: its second try finds that it is there, and what it said."""
    case = CASES["run that fails" if task == "FailRun" else "run of few"]

    assert unanswered(case, "lost", lambda entries: [entries.index(("redrive", task))]) == {}


@pytest.mark.fault(2, 12, 19)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_poll_by_the_function_without_an_answer(trouble):
    found = unanswered(
        CASES["run that measures"],
        trouble,
        lambda entries: [entries.index(("redrive_lane", "ReceiveLargeDeadLetters"))],
    )

    assert found == {}


@pytest.mark.fault(2, 12)
@pytest.mark.parametrize(("share", "case"), shared(SHARES, QUICK["lost"]))
def test_task_whose_answer_is_lost(case, share):
    assert unanswered(CASES[case], "lost", shared_out(share)) == {}


@pytest.mark.fault(12, 19)
@pytest.mark.parametrize(("share", "case"), shared(SHARES, QUICK["timed out"]))
def test_task_that_goes_on_timing_out(case, share):
    assert unanswered(CASES[case], "timed out", shared_out(share)) == {}


@pytest.mark.fault(12, 19)
@pytest.mark.parametrize(("share", "case"), shared(SHARES, QUICK["timed out, but done"]))
def test_task_that_is_done_each_time_and_goes_on_timing_out(case, share):
    assert unanswered(CASES[case], "timed out, but done", shared_out(share)) == {}


@pytest.mark.fault(2, 4, 12, 19)
@pytest.mark.parametrize(
    ("trouble", "queue"),
    [
        ("lost", "standard"),
        ("lost", "fifo"),
        ("timed out", "fifo"),
        ("timed out, but done", "standard"),
        pytest.param("timed out", "standard", marks=pytest.mark.soak),
        pytest.param("timed out, but done", "fifo", marks=pytest.mark.soak),
    ],
)
def test_task_of_a_registered_queue_without_an_answer(queue, trouble):
    """On a standard queue a second try of a send is a second copy; nothing else comes twice."""

    def choose(entries):
        return [entries.index(("redrive_lane", task)) for task in UNHEARD[trouble]]

    assert unanswered(REGISTERED[queue], trouble, choose) == {}


@pytest.mark.soak
@pytest.mark.fault(2, 4, 12, 19)
@pytest.mark.parametrize("queue", REGISTERED)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_any_task_of_a_registered_queue_without_an_answer(queue, trouble):
    assert unanswered(REGISTERED[queue], trouble, shared_out((0, 1))) == {}


@pytest.mark.fault(12, 19)
def test_message_whose_function_only_ever_timed_out_is_redriven_with_the_others():
    made = given(acts.waiting)
    with MotoStack(substitutions=TWO_ATTEMPTS) as stack:
        tasks = Tasks(stack, **TROUBLES["timed out"])
        acts.drain(made.on(stack))
        # The second one: of the first its consumer knows how it failed.
        at = [index for index, (_, task) in enumerate(tasks.entries) if task == "ProcessMessage"][1]
        world = made.on(stack)
        tasks.next(at)
        acts.drain(world)
        tasks.next(None)
        assert world.row(world.messages[1])["reason"]["type"] == "States.Timeout"

        world.settle()
        other = world.message()
        world.dead_letter(other)
        run = world.redrive()

        assert (run.status, run.output["redriven"]) == ("SUCCEEDED", 2)
        world.settle()
        assert broken(world, moved=[*world.healthy, other]) == []


def test_every_task_of_the_machines_is_among_those_without_an_answer():
    met = set()
    for case in CASES.values():
        made = given(case.make)
        with case.stack() as stack:
            tasks = Tasks(stack, **TROUBLES["lost"])
            case.act(made.on(stack))
            met |= set(tasks.entries)

    assert met == {(machine, task) for machine in acts.MACHINES for task in acts.tasks(machine)}

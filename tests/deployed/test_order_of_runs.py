"""Order through redrives: whatever a run may do, and however it ends, each group keeps its order.

As `test_fence_order.py`, but the dead come back by several runs, one after the other, each of which
may take only some: what it leaves must not be overtaken. Of the held groups one entry died and the
rest waits behind it; of the moved ones SQS itself has dead-lettered every entry, unnoted.
"""

import random
import uuid
from contextlib import contextmanager

import pytest

from local.deadline import wait_until
from tests.deployed.flows import finished
from tests.support.redrive_runs import all_visible
from tests.support.scratch_project import deployed, mutate, scratch_project
from tests.support.stack_fixtures import ended, history, queued, row, waits_scaled

pytestmark = [pytest.mark.xdist_group("order of runs"), pytest.mark.timeout(240)]

SEED = 20261124
NUMBERS = range(1, 7)
BEFORE = 4  # so many of a held group are sent before its first run, the rest while runs work
GROUPS = 3  # of each kind
SOME = {"jmespath": "number != `2` && number != `5`"}


class Scenario:
    """Groups of one test: what is sent, which runs came, and what it led to."""

    def __init__(self, entries, name):
        self.entries, self.name, self.runs = entries, name, []
        self.account = f"frozen-{name}"
        self.held = [f"{name}-held-{number}" for number in range(GROUPS)]
        self.moved = [f"{name}-moved-{number}" for number in range(GROUPS)]
        choose = random.Random(f"{SEED}-{name}")  # noqa: S311 - a plan, no secret
        self.payloads: dict[tuple[str, int], dict[str, object]] = {
            (group, number): {"fails": choose.randint(1, 2)} if choose.random() < 0.2 else {}
            for group in (*self.held, *self.moved)
            for number in NUMBERS
        }
        for group in self.held:
            self.payloads[group, choose.randint(1, BEFORE)] = {"frozen_by": self.account}
        self.copies = set(choose.sample(sorted(self.payloads), len(self.payloads) // 6))
        self.late = self._mixed(choose, self.held, NUMBERS[BEFORE:])
        self.early = self._mixed(choose, self.held, NUMBERS[:BEFORE])
        self.sent_before = self._mixed(choose, self.moved, NUMBERS)

    @staticmethod
    def _mixed(choose, groups, numbers):
        """Return the entries of groups, mixed, each group's in order."""
        turns = [group for group in groups for _ in numbers]
        choose.shuffle(turns)
        following = {group: iter(numbers) for group in groups}
        return [(group, next(following[group])) for group in turns]

    def send(self, arrival):
        for group, number in arrival:
            self.entries.send(group, number, **self.payloads[group, number]).expect(202)
            if (group, number) in self.copies and group in self.held:
                self.entries.deliver_again(group, number)

    def die(self):
        """Let the moved groups be dead-lettered by SQS, and an entry of each held one die."""
        self.entries.freeze(self.account)
        self.entries.consume(False)
        self.send(self.sent_before)
        while queued(self.entries.stack, "Work"):
            self._move()
        self.entries.consume(True)
        self.send(self.early)
        self.entries.comes_to_rest()

    def _move(self):
        sqs = self.entries.stack.client("sqs")
        work, dead_letters = (
            self.entries.stack.outputs[f"{queue}QueueUrl"] for queue in ("Work", "DeadLetter")
        )
        answer = sqs.receive_message(
            QueueUrl=work, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=1
        )
        for message in answer.get("Messages", []):
            sqs.send_message(
                QueueUrl=dead_letters,
                MessageBody=message["Body"],
                MessageGroupId=message["Attributes"]["MessageGroupId"],
                MessageDeduplicationId=str(uuid.uuid4()),
            )
            sqs.delete_message(QueueUrl=work, ReceiptHandle=message["ReceiptHandle"])

    def start(self, **request):
        self.runs.append(self.entries.api.reprocess(**request).expect(202)["run_id"])
        return self.runs[-1]

    def run(self, **request):
        return finished(self.entries.api, self.start(**request))

    @contextmanager
    def interrupted(self, **request):
        """Start a slow run that leaves some out; give it once it has sent one.

        Its rate is kept in real time: scaled, the run would be over before it is interrupted.
        """
        stack = self.entries.stack
        with waits_scaled(stack, 1):
            run_id = self.start(max_per_second=0.25, **request)
            arn = self.entries.api.run(run_id).expect(200)["execution_arn"]
            wait_until(lambda: "WaitForRate" in history(stack, arn), 30, f"{arn} has sent some")
            yield run_id, arn

    def goes_on(self):
        """Redrive what is left, and let everything come to rest."""
        self.entries.unfreeze(self.account)
        for _ in range(4):
            self.entries.comes_to_rest()
            rest = len(queued(self.entries.stack, "DeadLetter"))
            if not rest:
                return
            assert all_visible(self.entries.stack)
            self.run(max_messages=rest)

    def assert_in_order(self):
        groups = (*self.held, *self.moved)
        effects = {group: self.entries.effects(group) for group in groups}
        assert effects == {group: list(NUMBERS) for group in groups}, f"{SEED}-{self.name}"
        assert queued(self.entries.stack, "DeadLetter") == []
        rows = [self.entries.row(*entry) for entry in self.payloads]
        assert {found["status"] for found in rows} == {"PROCESSED"}
        ended_runs = [self.entries.api.run(run_id).expect(200) for run_id in self.runs]
        for run in ended_runs:
            assert run["received"] == sum(
                run[name]
                for name in ("redriven", "quarantined", "already_processed", "discarded", "failed")
            )
            assert (run["quarantined"], run["failed"]) == (0, 0)
        redrives = sum(int(found["redrives"]) for found in rows)
        counted = sum(run["redriven"] for run in ended_runs)
        # The record of a stopped run is a batch behind.
        stopped = sum(run["status"] == "ABORTED" for run in ended_runs)
        assert redrives - 2 * stopped <= counted <= redrives


def under_a_filter(scenario):
    run = scenario.run(filter=SOME)
    assert run["left"] > 0


def at_a_rate(scenario):
    scenario.run(max_per_second=9, max_messages=18)


def with_a_canary(scenario):
    canary = {"messages": 2, "watch_seconds": 60, "max_failures": 0}
    halted = scenario.run(canary=canary)
    assert halted["status"] == "HALTED"  # the account is frozen
    scenario.entries.unfreeze(scenario.account)
    scenario.run(canary=canary, max_messages=8)


def a_few_at_a_time(scenario):
    for limit in (1, 3, 7):
        assert scenario.run(max_messages=limit)["received"] == limit


def one_after_the_other(scenario):
    for way in (a_few_at_a_time, at_a_rate, under_a_filter):
        way(scenario)


def cancelled(scenario):
    for _ in range(2):
        with scenario.interrupted(filter=SOME) as (run_id, _):
            scenario.entries.api.cancel(run_id).expect(202)
        assert finished(scenario.entries.api, run_id)["status"] == "CANCELLED"


def stopped_in_the_console(scenario):
    with scenario.interrupted(filter=SOME) as (run_id, arn):
        scenario.entries.stop(arn)
    stack = scenario.entries.stack
    assert ended(stack, arn).status == "ABORTED"
    assert finished(scenario.entries.api, run_id)["status"] == "ABORTED"
    scenario.entries.invoke("RecoverExecutions", {})
    wait_until(lambda: all_visible(stack), 30, "what was left out is visible")
    assert not row(stack, "Runs", f"HELD#{run_id}#0")


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    with deployed(scratch_project(tmp_path_factory.mktemp("order") / "project")) as entries:
        yield entries


def redriven_in(entries, way):
    scenario = Scenario(entries, way.__name__.replace("_", "-"))
    scenario.die()
    way(scenario)
    scenario.send(scenario.late)
    scenario.goes_on()
    return scenario


@pytest.mark.parametrize(
    "way",
    [
        one_after_the_other,
        with_a_canary,
        pytest.param(under_a_filter, marks=pytest.mark.soak),
        pytest.param(at_a_rate, marks=pytest.mark.soak),
        pytest.param(a_few_at_a_time, marks=pytest.mark.soak),
        cancelled,
        stopped_in_the_console,
    ],
    ids=lambda way: way.__name__,
)
def test_groups_keep_their_order_through_runs(entries, way):
    redriven_in(entries, way).assert_in_order()


@pytest.mark.soak
def test_without_the_rule_of_groups_the_order_is_lost(tmp_path):
    """The scenarios can fail: what is left out is overtaken if its group does not wait for it."""
    project = scratch_project(tmp_path / "project")
    mutate(
        project,
        "workflows/redrive/judge.py",
        'elif verdict["group"] in self._waiting',
        "elif False",
    )
    # The machine holds up a group, too.
    machine = "statemachines/redrive.asl.json"
    behind = r"[outcome in [\"refused\", \"left\"]].group"
    mutate(project, machine, behind, r"[outcome = \"refused\"].group")
    with deployed(project) as entries:
        scenario = redriven_in(entries, under_a_filter)
        effects = [entries.effects(group) for group in scenario.moved]

        assert any(found != sorted(found) for found in effects), effects

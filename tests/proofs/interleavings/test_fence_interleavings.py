"""Every order in which a worker's and the machine's calls can meet at a fence; see docs/fence.md.

In process, with the shipped state machine executed state by state, so that nothing is left to
chance: an order that fails is printed and fails again. Where the orders are too many, some are
drawn, always the same.
"""

import json

import pytest

from tests.support import retry_in_process
from tests.support.fenced_group import GROUP, change, fence_of, watched_group
from tests.support.interleaving import every_order, random_orders
from tests.support.messages import an_operator
from workflows import recovery
from workflows.groups import fence
from workflows.operator import discard
from workflows.operator.discard import DiscardRequest
from workflows.runtime import aws

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=[range(4), pytest.param(range(4, 40), marks=pytest.mark.soak)], ids=str)
def seeds(request):
    return request.param


@pytest.fixture
def group(tables, queues, machines, later, monkeypatch):
    return watched_group(later, monkeypatch)


@pytest.fixture
def mutated(monkeypatch):
    """Give a function that replaces a piece of one state of the machine."""

    def mutate(state, old, new):
        definition = json.loads(json.dumps(retry_in_process.definition()))
        text = json.dumps(definition["States"][state])
        assert old in text
        definition["States"][state] = json.loads(text.replace(old, new))
        monkeypatch.setattr(retry_in_process, "definition", lambda: definition)

    return mutate


def arrival(group):
    """Let a message arrive while its group's holder is processed and the fence released."""
    group.forget()
    group.fail(1)
    execution = group.execution()
    execution.run(until="ProcessMessage")
    return {"machine": execution.run, "worker": lambda: group.deliver(2)}


def take_over(group):
    """Let an execution that was taken over go on."""
    group.forget()
    group.fail(1, 2, 3)
    old = group.execution()
    fence.resume(fence_of(), 0)
    return {
        "old": old.run,
        "new": group.execution().run,
        "worker": lambda: group.deliver(4),
    }


def test_message_that_arrives_while_the_fence_is_released(group):
    orders = 0
    for order in every_order(lambda: arrival(group)):
        group.assert_settled((1, 2), order)
        orders += 1
    assert orders > 20


def test_execution_that_was_taken_over_but_goes_on(group, seeds):
    for order in random_orders(lambda: take_over(group), seeds):
        group.assert_settled((1, 2, 3, 4), order)


def test_messages_that_arrive_while_the_group_is_drained(group, seeds):
    def scene():
        group.forget()
        group.fail(1, 2, 3)
        execution = group.execution()
        execution.run(until="NextParked")
        return {"machine": execution.run, "worker": lambda: group.deliver(4, 5)}

    for order in random_orders(scene, seeds):
        group.assert_settled((1, 2, 3, 4, 5), order)


def test_execution_that_is_taken_over_while_it_drains(group, seeds):
    def scene():
        group.forget()
        group.fail(1, 2, 3)
        old = group.execution()
        aws.stepfunctions().stop_execution(executionArn=fence_of().execution_arn)
        return {"old": old.run, "sweep": recovery.recover, "worker": lambda: group.deliver(4)}

    for order in random_orders(scene, seeds):
        group.assert_settled((1, 2, 3, 4), order)


def test_copies_of_the_holder_that_come_while_the_group_is_drained(group, seeds):
    def scene():
        group.forget()
        group.fail(1, 2, 3)
        execution = group.execution()
        return {"machine": execution.run, "worker": lambda: group.deliver(1, 2, 1, 4)}

    for order in random_orders(scene, seeds):
        group.assert_settled((1, 2, 3, 4), order)


def test_redriven_holder_that_comes_while_its_old_execution_goes_on(group, seeds):
    def scene():
        group.forget()
        group.fail(1, 2, 3)
        old = group.execution()
        change(1, status="REDRIVEN", redrives=1)
        return {
            "old": old.run,
            "worker": lambda: group.deliver(4, 1, 5),
            "sweep": recovery.recover,
        }

    for order in random_orders(scene, seeds):
        group.assert_settled((1, 2, 3, 4, 5), order)


def test_dead_holder_that_is_discarded_while_messages_arrive(group, seeds):
    why = DiscardRequest(reason="the customer left")

    def scene():
        group.forget()
        group.fail(1, 2)
        group.kill(1)
        return {
            "operator": lambda: discard.discard(f"{GROUP}-1", why, an_operator()),
            "twice": lambda: discard.discard(f"{GROUP}-1", why, an_operator()),
            "worker": lambda: group.deliver(3, 4),
            "sweep": recovery.recover,
        }

    for order in random_orders(scene, seeds):
        group.assert_settled((2, 3, 4), order)


@pytest.mark.parametrize(
    ("state", "needed", "weaker", "orders", "numbers"),
    [
        (
            "ReleaseFence",
            "parked = drained",
            "parked >= drained",
            lambda group: every_order(lambda: arrival(group)),
            (1, 2),
        ),
        (
            "PromoteParked",
            "holder = :holder AND generation = :generation",
            "holder = :holder OR generation <= :generation OR generation >= :generation",
            # Seed 61 is the first that finds it; another draw may need more of them.
            lambda group: random_orders(lambda: take_over(group), range(60, 160)),
            (1, 2, 3, 4),
        ),
    ],
    ids=["release", "promote"],
)
def test_weaker_condition_is_found_out(group, mutated, state, needed, weaker, orders, numbers):
    mutated(state, needed, weaker)

    def all_settled():
        for order in orders(group):
            group.assert_settled(numbers, order)

    with pytest.raises(AssertionError, match="worker"):
        all_settled()

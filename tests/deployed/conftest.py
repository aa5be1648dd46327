"""What the flows over HTTP share: the operator's address, and queues of their own."""

import uuid

import pytest

from tests.deployed.flows import forget_dead_letters
from tests.deployed.pair import Pair, register
from tests.support.redrive_runs import consume, quiet


@pytest.fixture(scope="module")
def email(stack):
    """Give the operator's address."""
    return stack.users["operator"]["email"]


@pytest.fixture
def no_dead_letters(stack):
    """Begin and end with an empty dead-letter queue that no run holds."""
    forget_dead_letters(stack)
    yield
    forget_dead_letters(stack)


@pytest.fixture
def consumer_off(stack):
    """Let what was sent lie on the work queue, to be seen."""
    quiet(stack)
    yield
    quiet(stack)
    consume(stack, True)


@pytest.fixture(params=[False, True], ids=["standard", "fifo"])
def pair(request, stack, operator):
    """Give a registered pair of queues; its messages are known by their ids."""
    found = Pair(stack, f"orders-{uuid.uuid4().hex[:12]}", request.param)
    register(found, operator, identity="body.id", max_redrives=2)
    return found

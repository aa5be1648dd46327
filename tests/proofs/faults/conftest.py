"""What the tests of faults share: a world on moto, and a message type that shows its order."""

import logging
from collections.abc import Generator, Iterator

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.faults import checked
from tests.proofs.faults.crashing_world import CrashingWorld
from tests.support import entry
from workflows.messages import message_types


@pytest.fixture(autouse=True, scope="module")
def entries() -> Iterator[None]:
    """Let `tests/support/entry.py` be a type of message; and let logs be quiet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(message_types.TYPES, "entry", entry)
        logging.disable(logging.CRITICAL)
        yield
        logging.disable(logging.NOTSET)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let no test of a fault pass that never asked what is broken."""
    with checked.asking() as worlds:
        result = yield
    checked.demand(item.iter_markers(), worlds)
    return result


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[CrashingWorld]:
    """Give an empty world: of the built-in pair, or of a registered queue (`queues.py`)."""
    kind = getattr(request, "param", CrashingWorld)
    with MotoStack() as stack:
        yield kind(stack)

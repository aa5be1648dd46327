"""Of which queue a test of faults is: it asks for a `world` of each."""

import pytest

from tests.proofs.faults.crashing_world import CrashingWorld
from tests.proofs.faults.registered_world import RegisteredWorld

_REGISTERED = [
    pytest.param(lambda stack: RegisteredWorld.registered(stack, fifo=False), id="standard"),
    pytest.param(lambda stack: RegisteredWorld.registered(stack, fifo=True), id="fifo"),
]
of_registered_queues = pytest.mark.parametrize("world", _REGISTERED, indirect=True)
in_soak_of_each_queue = pytest.mark.parametrize(
    "world",
    [
        pytest.param(CrashingWorld, id="built-in"),
        *(pytest.param(*one.values, id=one.id, marks=pytest.mark.soak) for one in _REGISTERED),
    ],
    indirect=True,
)
of_each_queue = pytest.mark.parametrize(
    "world", [pytest.param(CrashingWorld, id="built-in"), *_REGISTERED], indirect=True
)

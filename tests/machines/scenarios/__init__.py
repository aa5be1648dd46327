"""The scenarios: every path that services can produce, every kind of bad message, every decision.

Each is a function of a `tests.support.world.World` and uses nothing else, so that it runs on
moto, on the local stack and on AWS. `SCENARIOS` has all of them, by name.
"""

from tests.machines.scenarios import (
    bodies,
    carrying,
    consuming,
    failures,
    fences,
    guards,
    inputs,
    limits,
    options,
    retries,
    runs,
)
from tests.machines.scenarios.registry import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "bodies",
    "carrying",
    "consuming",
    "failures",
    "fences",
    "guards",
    "inputs",
    "limits",
    "options",
    "retries",
    "runs",
]

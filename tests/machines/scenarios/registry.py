"""The list of scenarios, which fills itself as the modules are imported."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.world import World

Play = Callable[[World], None]


@dataclass(frozen=True)
class Scenario:
    """A story that is played on a world and asserts what is telling about its end.

    `mocked`: a service answers what only a test case can make it answer, so it cannot run on AWS.
    """

    name: str
    says: str
    play: Play
    mocked: bool


SCENARIOS: dict[str, Scenario] = {}


def scenario(*, mocked: bool = False) -> Callable[[Play], Play]:
    """Register a function by its name; its docstring says in one sentence what happens."""

    def register(play: Play) -> Play:
        add(play.__name__, play.__doc__ or "", play, mocked=mocked)
        return play

    return register


def add(name: str, says: str, play: Play, *, mocked: bool = False) -> None:
    """Register a scenario, for instance one of a table of alike ones."""
    if name in SCENARIOS:
        raise ValueError(f"two scenarios are called {name}")
    SCENARIOS[name] = Scenario(name, says, play, mocked)

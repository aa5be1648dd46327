"""Telling a story to a redriver, and what was broken at its end."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests import entry
from tests.invariants import broken
from tests.moto_engine.stack import MotoStack
from tests.redrivers.stories import Told
from tests.world import Redriver, World
from workflows import message_types


def tell(
    told: Told, redriver: Redriver | None = None, definitions: dict[str, str] | None = None
) -> list[str]:
    """Tell a story in a new world; return in one sentence each what is broken at its end.

    Args:
        told: the story.
        redriver: in place of the shipped machine.
        definitions: of the machines `retry` and `redrive`, in place of the shipped ones.
    """
    with MotoStack(definitions=definitions) as stack, _entries() as effects:
        world = World(stack, redriver=redriver)
        try:
            found = [*told.tell(world), *broken(world)]
        except Exception as error:  # noqa: BLE001 - a broken redriver may do anything
            found = [f"Raised: {type(error).__name__}: {error}".partition("\n")[0]]
        again = [message_id for message_id, times in effects.items() if times > 1]
    return found + [f"Effect: {message_id} was processed again." for message_id in again]


@contextmanager
def _entries() -> Iterator[Counter[str]]:
    """Let there be messages of the type `entry`; give how often each was processed to the end."""
    done: Counter[str] = Counter()
    process = entry.process

    def count(message_id: str, payload: Any) -> None:
        process(message_id, payload)
        done[message_id] += 1

    with (
        mock.patch.dict(message_types.TYPES, {"entry": entry}),
        mock.patch.object(entry, "process", count),
    ):
        yield done

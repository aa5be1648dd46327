"""Telling a story to a redriver, and what was broken at its end."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.redrivers.redriven import Redriven, Redriver
from tests.proofs.redrivers.stories import Told
from tests.support import entry
from tests.support.invariants import broken
from workflows.messages import message_types

_RAISED = "Raised"


def tell(
    told: Told, redriver: Redriver | None = None, definitions: dict[str, str] | None = None
) -> list[str]:
    """Tell a story in a new world; return in one sentence each what is broken at its end.

    What a story raises breaks nothing yet: the world comes to rest and is looked at all the same.

    Args:
        told: the story.
        redriver: in place of the shipped machine.
        definitions: of the machines `retry` and `redrive`, in place of the shipped ones.
    """
    with MotoStack(definitions=definitions) as stack, _entries() as effects:
        world = told.world(stack) if told.world else Redriven(stack, redriver)
        found = list(_until_raised(told.tell(world)))
        if found != breaches(found):
            found += _until_raised(_settled(world))
        found += _until_raised(_looked_at(world))
        again = [message_id for message_id, times in effects.items() if times > 1]
    return found + [f"Effect: {message_id} was processed again." for message_id in again]


def breaches(sentences: list[str]) -> list[str]:
    """Return what was broken, without what was merely raised."""
    return [sentence for sentence in sentences if not sentence.startswith(_RAISED)]


def _until_raised(sentences: Iterator[str]) -> Iterator[str]:
    try:
        yield from sentences
    except Exception as error:  # noqa: BLE001 - a broken redriver may do anything
        yield f"{_RAISED}: {type(error).__name__}: {error}".partition("\n")[0]


def _settled(world: Redriven) -> Iterator[str]:
    world.settle()
    yield from ()


def _looked_at(world: Redriven) -> Iterator[str]:
    yield from broken(world)


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

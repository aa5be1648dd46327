"""Settled: of which turns of its lanes a run's record says that SQS has what they guarded.

A guard and a send share no transaction, so the last turn of a lane that ended without a word is in
the dark: some of it may be sent. What is in the ledger with the mark of a later turn than the
record has was guarded and perhaps not sent. Nothing has to be noted before the guard: a note that
was not written says less than is so, never more.

A lane writes its own column with each wave, `settled_0` and so on: its last `turn` that is settled,
and the ids of what it had guarded by then and is `unsent`, if there is any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# When the sweep had let go of all that a run left, so that it need not look again.
LET_GO_AT = "let_go_at"
_PREFIX = "settled_"


class _Guarded(Protocol):
    id: str


class Settling(Protocol):
    """A lane, of which this needs no more."""

    number: int
    settled: int

    @property
    def unsent(self) -> Sequence[_Guarded]:
        """What SQS did not take."""

    @property
    def unsure(self) -> Sequence[str]:
        """The ids of what SQS perhaps did not take."""


@dataclass(frozen=True)
class Settled:
    """What a record says of each lane: its last settled turn, and what of that was not sent."""

    turns: dict[int, int]
    unsent: dict[int, list[str]]

    @property
    def all_unsent(self) -> set[str]:
        """The ids of what no lane has sent."""
        return {one for ids in self.unsent.values() for one in ids}

    def is_open(self, mark: str, message_id: str) -> bool:
        """Tell whether a message of the run that has this `redrive_mark` is perhaps not sent."""
        lane, _, turn = mark.rpartition("#")[2].partition(".")
        if not (lane.isdigit() and turn.isdigit()):
            return True
        number = int(lane)
        return int(turn) > self.turns.get(number, 0) or message_id in self.unsent.get(number, ())


def columns(lanes: Iterable[Settling]) -> dict[str, Any]:
    """Return the columns of lanes."""
    found: dict[str, Any] = {}
    for lane in lanes:
        ids = [one.id for one in lane.unsent] + [*lane.unsure]
        found[f"{_PREFIX}{lane.number}"] = {"turn": lane.settled} | ({"unsent": ids} if ids else {})
    return found


def of(row: dict[str, Any]) -> Settled:
    """Return what a run's row says; of a row from before there were such columns, nothing."""
    columns = {
        int(name.removeprefix(_PREFIX)): column
        for name, column in row.items()
        if name.startswith(_PREFIX)
    }
    return Settled(
        {lane: int(column["turn"]) for lane, column in columns.items()},
        {lane: [*map(str, column.get("unsent", ()))] for lane, column in columns.items()},
    )

"""Bulk actions: the same to each message in trouble that a filter selects, one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from workflows.ledger import trouble
from workflows.ledger.status import Trouble
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE, QueueName
from workflows.queues import registry
from workflows.runtime import clock
from workflows.runtime.asked import Asked

# The API gives up after 29 s; what was not looked at by then is for the next call.
_SECONDS = 18


class Selection(Asked):
    """Which messages; the empty filter `{}` selects every one of the queue in that status."""

    filter: Filter = Field(examples=[{"reason": "AccountFrozen", "older_than": "PT2H"}])
    status: Literal[Trouble.DEAD, Trouble.QUARANTINED] = Trouble.DEAD
    queue: QueueName = DEFAULT_QUEUE
    limit: int = Field(default=100, ge=1, le=100, description="Messages a call.")
    cursor: str | None = Field(
        default=None,
        description="From the answer before, if any. All calls of one sweep act only on what was in"
        " trouble when the first was made, on each once.",
    )


@dataclass(frozen=True)
class Result:
    """What became of one message: its status, or the error that refused it."""

    message_id: str
    status: str | None = None
    error: Exception | None = None


def each(
    selection: Selection, act: Callable[[str], dict[str, Any] | None]
) -> tuple[list[Result], str | None]:
    """Act on every message selected, longest in trouble first; an error concerns its message only.

    What is in trouble again after it was acted on, or only since the first call, has no turn.

    Args:
        selection: which messages.
        act: takes a message id, returns the row; None for a message that it passes over.

    Returns:
        what became of each, and the cursor with which another call goes on; None if none is left.

    Raises:
        workflows.queues.registry.UnknownQueue: nobody registered the queue.
        workflows.runtime.paging.InvalidCursor: the cursor is not of this list.
    """
    until = clock.epoch() + _SECONDS
    results: list[Result] = []
    last: str | None = None
    listed = trouble.chunks(
        selection.status, selection.filter, selection.cursor, registry.get(selection.queue).name
    )
    for rows, looked_at in listed:
        for row, after in rows:
            if len(results) == selection.limit or (last and clock.epoch() >= until):
                return results, last
            results += _result(row["message_id"], act)
            last = after
        last = looked_at or last
        if clock.epoch() >= until:
            return results, looked_at
    return results, None


def _result(message_id: str, act: Callable[[str], dict[str, Any] | None]) -> list[Result]:
    try:
        row = act(message_id)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are acted on
        return [Result(message_id, error=error)]
    return [] if row is None else [Result(message_id, row["status"])]

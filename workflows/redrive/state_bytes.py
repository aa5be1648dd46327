"""How many messages go through the lane at once: as many as fit a state's 256 KiB in any case."""

from collections.abc import Iterable
from typing import Any

# What fits even if each byte must be escaped, with so much around each message; more under a
# filter, which may leave out all ten, and room for the filter itself.
_STATE_BYTES, _AROUND_BYTES = 260_000, 2_000
_FILTERED_STATE_BYTES, _FILTERED_AROUND_BYTES = 257_000, 3_000
# What a registered queue needs more: names and URLs of its own, and columns of its own in each row.
_REGISTERED_BYTES = 3_000
# What a lane carries beside the next batch: so many bytes fit, and more for each message of that.
_CARRIED_BYTES, _CARRIED_BYTES_EACH = 550, 125
_AROUND_ASKED, _AROUND_SETTLED = 70, 30


def batch_size(maximum: int, request: dict[str, Any], *, is_default: bool = True) -> int:
    """Return how many messages of at most `maximum` bytes a run receives at once, one to ten.

    Args:
        maximum: what the dead-letter queue takes at most.
        request: of the run.
        is_default: whether it redrives the built-in queue.
    """
    if "filter" in request:
        room, around = _FILTERED_STATE_BYTES, _FILTERED_AROUND_BYTES
    else:
        room, around = _STATE_BYTES, _AROUND_BYTES
    room -= 0 if is_default else _REGISTERED_BYTES
    return max(1, min(10, room // (2 * maximum + around)))


def room_for(size: int, asked: Iterable[str], unsettled: Iterable[str]) -> int:
    """Return how many of `size` messages fit beside what a lane carries; it may be one less.

    Args:
        size: what fits a state that carries nothing.
        asked: the ids of the batch before.
        unsettled: those of what is to be settled in the ledger.
    """
    carried = sum(_AROUND_ASKED + len(one) for one in asked)
    carried += sum(_AROUND_SETTLED + len(one) for one in unsettled)
    is_laden = carried > _CARRIED_BYTES + _CARRIED_BYTES_EACH * size
    return max(1, size - is_laden)

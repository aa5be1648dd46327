"""How many messages go through the lane at once: as many as fit a state's 256 KiB."""

import json
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
    room, around = _room(request, is_default=is_default)
    return max(1, min(10, room // (2 * maximum + around)))


def fitting(
    messages: Iterable[Any],
    carried: Iterable[Iterable[str]],
    request: dict[str, Any],
    *,
    is_default: bool,
) -> int:
    """Return how many of the first messages fit a state together, by their own sizes.

    Args:
        messages: as a state has them.
        carried: what ids a lane carries besides, of its last batch and of what is to be settled.
        request: of the run.
        is_default: whether it redrives the built-in queue.
    """
    room, around = _room(request, is_default=is_default)
    room -= _carried_bytes(*carried)
    count = 0
    for message in messages:
        room -= around + len(json.dumps(message, ensure_ascii=False).encode(errors="surrogatepass"))
        if room < 0:
            break
        count += 1
    return count


def room_for(size: int, asked: Iterable[str], unsettled: Iterable[str]) -> int:
    """Return how many of `size` messages fit beside what a lane carries; it may be one less.

    Args:
        size: what fits a state that carries nothing.
        asked: the ids of the batch before.
        unsettled: those of what is to be settled in the ledger.
    """
    is_laden = _carried_bytes(asked, unsettled) > _CARRIED_BYTES + _CARRIED_BYTES_EACH * size
    return max(1, size - is_laden)


def _room(request: dict[str, Any], *, is_default: bool) -> tuple[int, int]:
    """Return how many bytes there are for a batch, and how many stand around each message."""
    if "filter" in request:
        room, around = _FILTERED_STATE_BYTES, _FILTERED_AROUND_BYTES
    else:
        room, around = _STATE_BYTES, _AROUND_BYTES
    return room - (0 if is_default else _REGISTERED_BYTES), around


def _carried_bytes(asked: Iterable[str], unsettled: Iterable[str]) -> int:
    carried = sum(_AROUND_ASKED + len(one) for one in asked)
    return carried + sum(_AROUND_SETTLED + len(one) for one in unsettled)

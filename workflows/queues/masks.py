"""Masks: what of a registered queue's messages nobody sees but operators.

A mask is a path into {body, attributes, group}: names, `[0]`, `[*]` and `.*`. Bodies are shown to
operators alone, so what a mask hides is what is told of them elsewhere: type, group and reason,
where the registration takes them from something that is masked. That is known by the registration,
and holds for what was met before it said so.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from workflows.messages import expressions
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.queues.expressions import SUBJECT
from workflows.queues.letters import ERROR_MESSAGES, ERROR_TYPES
from workflows.queues.queue import Queue
from workflows.runtime.refusals import NotAllowed

LENGTH = 512
MOST = 20
SHOWN = "***"
# Of an expression; one that reads more is taken to read everything.
_PATHS = 200
# An element of a list, whichever it is, or a value of any name.
_ANY = "*"
# Of these each child looks at what the one before it selects, or at each element of that.
_STRAIGHT = ("subexpression", "index_expression", "pipe")
_CHAINS = (*_STRAIGHT, "projection", "value_projection", "filter_projection")

Path = tuple[str, ...]


class Masked(NotAllowed):
    """The queue's mask hides that from everybody but operators."""

    code = "forbidden"


def check(mask: str) -> str:
    """Return a path that can be masked.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if not 1 <= len(mask) <= LENGTH:
        raise ValueError(f"must have 1 to {LENGTH} characters")
    root = expressions.parse(mask)
    expressions.check_node(root)
    if not _is_path(root):
        raise ValueError("must be a path such as body.customer.email or body.items[*].card")
    if not all(path[0] in SUBJECT for path in _reads(root, ())):
        raise ValueError("must begin at body, attributes or group, such as body.customer.email")
    return mask


def hides(mask: Iterable[str], expression: str) -> bool:
    """Tell whether an expression over {body, attributes, group} reads something that is masked."""
    read = _paths(expression)
    return any(_meet(one, other) for hidden in mask for one in _paths(hidden) for other in read)


def hidden(queue: Queue) -> set[str]:
    """Return which columns of the queue's rows tell what is masked; `reason` of its sentence."""
    told = {
        "type": (queue.type,),
        "group_id": (queue.group, "group"),
        "reason_type": (queue.error, *(f'attributes."{name}"' for name in ERROR_TYPES)),
        "reason": tuple(f'attributes."{name}"' for name in ERROR_MESSAGES),
    }
    return {
        column
        for column, sources in told.items()
        if any(source and hides(queue.mask, source) for source in sources)
    }


def check_filter(queue: Queue, **wanted: str | None) -> None:
    """Refuse a filter by what is masked, which would tell it by what is found.

    Args:
        queue: whose messages are sought.
        wanted: `type`, `group_id` and `reason`, the class of an error; and `fingerprint`, which is
            made of the type, of that and of its sentence.

    Raises:
        Masked: naming what may not be given.
    """
    names = hidden(queue)
    tells = {"reason": {"reason_type"}, "fingerprint": {"type", "reason_type", "reason"}}
    for name, value in wanted.items():
        if value is not None and tells.get(name, {name}) & names:
            raise Masked(f"{name}: the queue masks it; only operators may filter by it.")


def masked(row: dict[str, Any], queue: Queue | None) -> dict[str, Any]:
    """Return a row as those see it who are no operators.

    Args:
        row: of a message, or what an index has of it.
        queue: whose it is; None if nobody knows any more what was masked: then all is.
    """
    if queue is not None and queue.name == DEFAULT_QUEUE:
        return row
    names = {"type", "group_id", "reason_type", "reason"} if queue is None else hidden(queue)
    found = row | {name: SHOWN for name in names & {"type", "group_id"} if name in row}
    if "reason" in row:
        reason = dict(row["reason"])
        reason |= {"type": SHOWN} if "reason_type" in names else {}
        reason |= {"message": SHOWN} if "reason" in names else {}
        found["reason"] = reason
    if "reason_type" in names and "journey" in row:
        told = {"reason_type": SHOWN}
        found["journey"] = [one | told if "reason_type" in one else one for one in row["journey"]]
    return found


def _paths(expression: str) -> set[Path]:
    found = list(islice(_reads(expressions.parse(expression), ()), _PATHS + 1))
    return set(found) if len(found) <= _PATHS else {()}


def _reads(node: dict[str, Any], at: Path) -> Iterator[Path]:
    """Yield what an expression reads of what lies at a path."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield (*at, str(node["value"]))
    elif kind == "index":
        yield (*at, _ANY)
    elif kind in ("current", "identity"):
        yield at
    elif kind in _CHAINS:
        yield from _chain(node, at)
    elif kind not in ("literal", "slice"):  # the children of a slice are numbers
        for child in children:
            yield from _reads(child, at)


def _chain(node: dict[str, Any], at: Path) -> Iterator[Path]:
    """Yield what a chain reads: each part looks at what the one before it has selected."""
    first, *following = (child for child in node["children"] if child["type"] != "slice")
    if len(following) > 1 and node["type"] in _STRAIGHT:
        following = [node | {"children": following}]
    for path in _reads(first, at):
        within = path if node["type"] in _STRAIGHT else (*path, _ANY)
        if not following:
            yield within
        for child in following:
            yield from _reads(child, within)


def _is_path(node: dict[str, Any]) -> bool:
    kinds = ("field", "subexpression", "index_expression", "projection", "value_projection")
    leaves = ("index", "identity")
    return node["type"] in leaves or (
        node["type"] in kinds and all(_is_path(child) for child in node["children"])
    )


def _meet(one: Path, other: Path) -> bool:
    """Tell whether one path lies within the other."""
    return all(_ANY in (a, b) or a == b for a, b in zip(one, other, strict=False))

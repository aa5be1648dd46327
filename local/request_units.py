"""What DynamoDB bills for a write or a read: units, by the sizes of the items, as AWS reckons them.

- Sizes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
- Reads, writes, transactions: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
- Indexes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations

Items and values are in DynamoDB's own JSON, `{"S": …}`. The sizes are AWS's published estimate, not
what AWS told: nothing here has asked it.
"""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]

_WRITE_BYTES = 1_024
_READ_BYTES = 4_096
_NESTED_BYTES = 3  # of a list or a map, and one for each element


@dataclass(frozen=True)
class Index:
    """A global secondary index: its key, and what it carries beside keys; None is everything."""

    name: str
    key: tuple[str, ...]
    carries: frozenset[str] | None


@dataclass(frozen=True)
class Table:
    """A table's name, its key, and its indexes."""

    name: str
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()

    @classmethod
    def of(cls, description: dict[str, Any]) -> "Table":
        """Return a table as DescribeTable tells of it."""
        key = _names(description)
        found = []
        for index in description.get("GlobalSecondaryIndexes") or []:
            projection = index["Projection"]
            others = {*key, *_names(index), *projection.get("NonKeyAttributes", [])}
            carries = None if projection["ProjectionType"] == "ALL" else frozenset(others)
            found.append(Index(index["IndexName"], _names(index), carries))
        return cls(description["TableName"], key, tuple(found))


@dataclass(frozen=True)
class Units:
    """Units of one partition key's value, in a table or in an index (`table/index`)."""

    place: str
    key: str
    units: float


def of_write(
    table: Table,
    key: Item,
    before: Item | None,
    after: Item | None,
    *,
    transactional: bool = False,
) -> Iterator[Units]:
    """Yield what one write costs, in the table and in each index that it changes.

    A write whose condition failed has left the item as it was, and costs as much as if it had not.
    A transaction doubles what its table costs; AWS says nothing of doubling an index, nor is it
    doubled here.

    Args:
        table: where.
        key: of the item.
        before: the item before; None for none.
        after: the item after; None if it is gone.
        transactional: whether it was a part of a transaction.
    """
    units = _write_units(max(size(before), size(after)))
    yield Units(table.name, _text(key[table.key[0]]), units * (2 if transactional else 1))
    for index in table.indexes:
        old, new = projected(index, before), projected(index, after)
        if old == new:
            continue
        place = f"{table.name}/{index.name}"
        if old and new and all(old[name] == new[name] for name in index.key):
            yield Units(place, _text(new[index.key[0]]), _write_units(max(size(old), size(new))))
            continue
        for entry in (old, new):  # another key: the one is deleted, the other is put
            if entry:
                yield Units(place, _text(entry[index.key[0]]), _write_units(size(entry)))


def of_read(number_of_bytes: int, *, consistent: bool) -> float:
    """Return the units of a read of so many bytes: of one item, or of all that one query read."""
    return max(1, math.ceil(number_of_bytes / _READ_BYTES)) * (1 if consistent else 0.5)


def projected(index: Index, item: Item | None) -> Item | None:
    """Return what an index carries of an item; None if the item is not in it."""
    if not item or any(name not in item for name in index.key):
        return None
    return {n: v for n, v in item.items() if index.carries is None or n in index.carries}


def size(item: Item | None) -> int:
    """Return the bytes of an item: of the names of its attributes and of their values."""
    return sum(len(name.encode()) + _value(value) for name, value in (item or {}).items())


def _value(value: Any) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode("utf-8", "surrogatepass"))
        case "N":
            return _number(str(content))
        case "BOOL" | "NULL":
            return 1
        case "B":
            return len(content if isinstance(content, bytes) else base64.b64decode(content))
        case "L":
            return _NESTED_BYTES + sum(1 + _value(element) for element in content)
        case "M":
            return _NESTED_BYTES + len(content) + size(content)
        case "SS" | "NS" | "BS":
            return sum(_value({kind[0]: element}) for element in content)
    raise ValueError(f"DynamoDB has no type {kind}.")


def _number(text: str) -> int:
    digits = text.partition("E")[0].lstrip("-").replace(".", "").strip("0")
    return 1 + max(1, math.ceil(len(digits) / 2)) + text.startswith("-")


def _write_units(number_of_bytes: int) -> int:
    return max(1, math.ceil(number_of_bytes / _WRITE_BYTES))


def _names(description: dict[str, Any]) -> tuple[str, ...]:
    return tuple(part["AttributeName"] for part in description["KeySchema"])


def _text(value: Any) -> str:
    return str(next(iter(value.values())))

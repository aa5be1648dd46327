"""A meter of DynamoDB: the units of each request that an emulator answers, by table, index and key.

It knows no emulator. Whoever has one calls `measure` around each request, and tells what a table is
and what an item looks like at a moment; nothing may change between these three.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from local.request_units import Item, Table, Units, of_read, of_write, projected, size

# What refuses a write by its condition, which is billed; other errors are not.
_CONDITIONS = {
    "ConditionalCheckFailed",
    "ConditionalCheckFailedException",
    "DuplicateItem",
    "TransactionCanceledException",
}
_STATEMENT = re.compile(r'\s*(INSERT INTO|UPDATE|DELETE FROM)\s+"([^"]+)"(.*)', re.DOTALL)
_BEFORE_KEY = re.compile(r"""["']?%s["']?\s*[=:]\s*\?""")


@dataclass(frozen=True)
class Target:
    """An item that a request writes."""

    table: str
    key: Item
    transactional: bool = False


@dataclass
class Bill:
    """Units that were counted; `by` is who asked for them, as far as an emulator can tell."""

    written: Counter[tuple[Units, str]] = field(default_factory=Counter)
    read: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def write_units(self) -> float:
        """All write units."""
        return sum(one.units * count for (one, _), count in self.written.items())

    @property
    def read_units(self) -> float:
        """All read units."""
        return sum(units for units in self.read.values())

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(self.written + other.written, self.read + other.read)

    def __sub__(self, other: "Bill") -> "Bill":
        return Bill(
            Counter({one: n - other.written[one] for one, n in self.written.items()}),
            Counter({one: n - other.read[one] for one, n in self.read.items()}),
        )

    def by_place(self) -> dict[str, float]:
        """Return the write units of each table and index."""
        return _sums((one.place, one.units * count) for (one, _), count in self.written.items())

    def by_writer(self) -> dict[tuple[str, str], float]:
        """Return the write units of each writer at each table and index."""
        found = self.written.items()
        return _sums(((by, one.place), one.units * count) for (one, by), count in found)

    def by_key(self, place: str) -> dict[str, float]:
        """Return the write units of each partition key's value of a table or index."""
        found = self.written.items()
        return _sums((one.key, one.units * n) for (one, _), n in found if one.place == place)

    def hottest(self, place: str) -> tuple[str, float]:
        """Return the value of a place's partition key that took most, and its write units."""
        return max(self.by_key(place).items(), key=lambda one: one[1])


class Meter:
    """Counts units while an emulator answers.

    Args:
        describe: a table as DescribeTable tells of it, by its name.
        image: an item as it stands, by its table's name and its key; None for none.
        by: tells who asks.
    """

    def __init__(
        self,
        describe: Callable[[str], dict[str, Any]],
        image: Callable[[str, Item], Item | None],
        by: Callable[[], str] = lambda: "",
    ) -> None:
        self._table = cache(lambda name: Table.of(describe(name)))
        self._image = image
        self._by = by
        self._bill = Bill()

    def take(self) -> Bill:
        """Return what was counted since the last call."""
        taken, self._bill = self._bill, Bill()
        return taken

    def measure(
        self, operation: str, request: dict[str, Any], answer: Callable[[], dict[str, Any]]
    ) -> None:
        """Let a request be answered, and count it.

        Args:
            operation: such as UpdateItem.
            request: its parameters, as DynamoDB's JSON has them.
            answer: answers it, and returns the answer as JSON has it, an error's included.
        """
        targets = list(_targets(operation, request, self._table))
        before = [self._image(one.table, one.key) for one in targets]
        answered = answer()
        code = str(answered.get("__type", "")).rpartition("#")[2]
        if code and code not in _CONDITIONS:
            return
        by, billed = self._by(), _executed(operation, answered, len(targets))
        for target, old, is_billed in zip(targets, before, billed, strict=True):
            if is_billed:
                new = self._image(target.table, target.key)
                table = self._table(target.table)
                twice = target.transactional
                for one in of_write(table, target.key, old, new, transactional=twice):
                    self._bill.written[one, by] += 1
        for place, units in self._reads(operation, request, answered):
            self._bill.read[place, by] += units  # type: ignore[assignment]  # halves

    def _reads(
        self, operation: str, request: dict[str, Any], answered: dict[str, Any]
    ) -> Iterator[tuple[str, float]]:
        """Yield the read units of a request; what a filter hides of a query's is not seen."""
        if operation == "GetItem":
            yield from self._got(request["TableName"], [request["Key"]], request)
        elif operation == "BatchGetItem":
            for table, asked in request["RequestItems"].items():
                yield from self._got(table, asked["Keys"], asked)
        elif operation in ("Query", "Scan"):
            name, index = request["TableName"], request.get("IndexName")
            read = sum(self._read_bytes(name, index, item) for item in answered.get("Items", []))
            place = f"{name}/{index}" if index else name
            yield place, of_read(read, consistent=request.get("ConsistentRead", False))

    def _got(
        self, table: str, keys: list[Item], asked: dict[str, Any]
    ) -> Iterator[tuple[str, float]]:
        for key in keys:
            found = size(self._image(table, key))
            yield table, of_read(found, consistent=asked.get("ConsistentRead", False))

    def _read_bytes(self, name: str, index: str | None, item: Item) -> int:
        table = self._table(name)
        if any(key not in item for key in table.key):
            return size(item)  # no more of it can be known
        whole = self._image(name, {key: item[key] for key in table.key})
        of_index = [projected(one, whole) for one in table.indexes if one.name == index]
        return size(of_index[0] if of_index else whole)


def _targets(
    operation: str, request: dict[str, Any], table: Callable[[str], Table]
) -> Iterator[Target]:
    if operation in ("PutItem", "UpdateItem", "DeleteItem"):
        yield _target(request, table)
    elif operation == "TransactWriteItems":
        for one in request["TransactItems"]:
            yield _target(next(iter(one.values())), table, transactional=True)
    elif operation == "BatchWriteItem":
        for name, asked in request["RequestItems"].items():
            for one in asked:
                yield _target({"TableName": name} | next(iter(one.values())), table)
    elif operation == "BatchExecuteStatement":
        for one in request["Statements"]:
            yield _statement_target(one["Statement"], one.get("Parameters", []), table)


def _target(
    part: dict[str, Any], table: Callable[[str], Table], *, transactional: bool = False
) -> Target:
    item = part.get("Key") or part["Item"]
    key = {name: item[name] for name in table(part["TableName"]).key}
    return Target(part["TableName"], key, transactional)


def _statement_target(
    statement: str, parameters: list[Any], table: Callable[[str], Table]
) -> Target:
    """Return the item that a PartiQL write names; each of its values has to be a `?`."""
    found = _STATEMENT.match(statement)
    if not found:
        raise NotImplementedError(f"No write with a key: {statement}")
    _, name, rest = found.groups()
    where = rest.rfind(" WHERE ") + 1  # an INSERT has none
    key = {}
    for attribute in table(name).key:
        at = re.compile(_BEFORE_KEY.pattern % re.escape(attribute)).search(rest, where)
        if not at:
            raise NotImplementedError(f"No `?` for {attribute}: {statement}")
        key[attribute] = parameters[rest.count("?", 0, at.end() - 1)]
    return Target(name, key)


def _executed(operation: str, answered: dict[str, Any], count: int) -> list[bool]:
    if operation != "BatchExecuteStatement":
        return [True] * count
    codes = [one.get("Error", {}).get("Code") for one in answered["Responses"]]
    return [code is None or code in _CONDITIONS for code in codes]


def _sums(found: Any) -> dict[Any, float]:
    sums: dict[Any, float] = {}
    for name, units in found:
        sums[name] = sums.get(name, 0) + units
    return sums

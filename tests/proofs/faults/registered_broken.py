"""What must be true of a registered queue at rest, whatever befell a run.

As `tests/support/invariants.py` for the built-in pair, but for what nobody can promise there: a
copy that somebody sent who was stopped before it was known may come a second time (`excused`).
"""

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

from tests.support import invariants as names
from tests.support.team_letters import SERIAL, TRACE, Letter, ledger_id, number_of
from workflows.messages.carried import Carried
from workflows.messages.envelope import Message

if TYPE_CHECKING:
    from tests.proofs.faults.registered_world import RegisteredWorld

_TWICE = "Twice"


def of(world: "RegisteredWorld", moved: Iterable[Message]) -> list[str]:
    """Return what is broken.

    Args:
        world: at rest.
        moved: messages that were healthy, so that what was done must have moved them.
    """
    return [*_Found(world).broken(), *_stuck(world, moved)]


class _Found:
    """All that there is of a world's letters."""

    def __init__(self, world: "RegisteredWorld") -> None:
        self.world = world
        self.rows = {row["message_id"]: row for row in _scan(world, "Messages")}
        self.runs = [row for row in _scan(world, "Runs") if "trigger" in row]
        self.work, self.dead = world.queued("Work"), world.queued("DeadLetter")
        self.processed = [number_of(message) for message in world.processed]

    def broken(self) -> Iterator[str]:
        for letter in self.world.letters:
            yield from self._lost(letter)
            yield from self._twice(letter)
            yield from self._unlisted(letter)
        yield from self._bytes()
        yield from self._guards()
        yield from self._order()
        for copy in self.work:
            yield f"{names.REST}: letter {number_of(copy)} is still on the source queue."
        for move in self.world.stack.strange_moves():
            yield f"{names.TRANSITION}: {move}, which the ledger's table does not have."
        yield from names.of_runs(self.runs, self.rows.values())

    def _lost(self, letter: Letter) -> Iterator[str]:
        on_queue = [number_of(copy) for copy in self.work + self.dead]
        if letter.number not in {*self.processed, *on_queue} and not self._is_kept(letter):
            yield f"{names.LOST}: letter {letter.number} of {letter.identity} is nowhere."

    def _is_kept(self, letter: Letter) -> bool:
        for row in (self.rows.get(letter.identity, {}), self.rows.get(letter.own_id, {})):
            if row.get("status") == "DISCARDED" and row["letter_id"] == letter.sqs_id:
                return True
            serial = Carried.beside(row).attributes.get(SERIAL, {}).get("StringValue")
            if row.get("status") == "QUARANTINED" and serial == str(letter.number):
                return bool(row["body"] == letter.body and row["reason"]["message"])
        return False

    def _twice(self, letter: Letter) -> Iterator[str]:
        times = self.processed.count(letter.number)
        if times > 1 + self.world.excused[letter.number]:
            yield f"{_TWICE}: letter {letter.number} of {letter.identity} came {times} times."

    def _unlisted(self, letter: Letter) -> Iterator[str]:
        """Yield what was counted, never sent, and stands in no list where a person would see it."""
        row = self.rows.get(letter.identity, {})
        is_there = letter.number in [number_of(copy) for copy in self.dead]
        is_of_it = row.get("letter_id") == letter.sqs_id
        was_sent = letter.number in self.world.arrived
        if is_there and is_of_it and not was_sent and row.get("trouble") != "DEAD":
            yield f"{names.TWO_STATES}: letter {letter.number} was not sent, and is not listed."

    def _bytes(self) -> Iterator[str]:
        sent = {letter.number: letter for letter in self.world.letters}
        given = {letter.number: _given(letter) for letter in self.world.letters}
        copies = [*self.world.processed, *self.work, *self.dead]
        for copy in copies:
            letter = sent.get(number_of(copy))
            if letter is None or _parts(copy) != given[letter.number]:
                yield f"{names.BYTES}: letter {number_of(copy)} is not as it was: {_parts(copy)}"
        for row in self.rows.values():
            if "body" in row:
                carried = Carried.beside(row)
                kept = _plain(carried.attributes)
                number = int(kept.get(SERIAL, ("", "0"))[1])
                if (row["body"], kept, carried.trace_header) != _kept(sent.get(number)):
                    yield f"{names.BYTES}: {row['message_id']} keeps another message: {kept}"

    def _guards(self) -> Iterator[str]:
        arrived: dict[str, int] = defaultdict(int)
        for letter in self.world.letters:
            sends = self.world.arrived.count(letter.number)
            arrived[letter.identity] += sends - self.world.retried[letter.number]
        for identity, times in arrived.items():
            row = self.rows.get(identity, {})
            counted, limit = row.get("redrives", 0), row.get("redrive_limit", 0)
            if max(times, counted) > limit or times > counted:
                yield f"{names.GUARD}: {identity} came {times} times of {counted}, limit {limit}."
            reason = row.get("reason", {}).get("type")
            if reason == "RedriveLimitReached" and counted != limit:
                yield f"{names.GUARD}: {identity} is quarantined after {counted} of {limit}."

    def _order(self) -> Iterator[str]:
        if not self.world.fifo:
            return
        groups: dict[str, list[int]] = defaultdict(list)
        for letter in self.world.letters:
            if letter.number in self.world.arrived:
                groups[letter.group].append(letter.number)
        for group, numbers in groups.items():
            came = [number for number in dict.fromkeys(self.world.arrived) if number in numbers]
            if came != numbers:
                yield f"{names.ORDER}: of group {group} came {came}."


def _stuck(world: "RegisteredWorld", moved: Iterable[Message]) -> Iterator[str]:
    numbers = {number_of(message) for message in world.processed}
    done = {letter.identity for letter in world.letters if letter.number in numbers}
    for message in moved:
        if ledger_id(message) not in done:
            yield f"{names.MOVED}: {message.message_id} was healthy and is not processed."


Parts = tuple[str, dict[str, tuple[str, str]], str]


def _parts(copy: dict[str, Any]) -> tuple[Parts, str]:
    """Return body, attributes, trace header and group of a message on a queue, or received."""
    known = copy.get("Attributes", {})
    group = copy.get("MessageGroupId") or known.get("MessageGroupId") or ""
    header = known.get("AWSTraceHeader", "")
    return (copy["Body"], _plain(copy.get("MessageAttributes", {})), header), group


def _given(letter: Letter) -> tuple[Parts, str]:
    return (letter.body, _plain(letter.attributes), TRACE), letter.group


def _kept(letter: Letter | None) -> Parts | None:
    return None if letter is None else _given(letter)[0]


def _plain(attributes: Any) -> dict[str, tuple[str, str]]:
    """Return message attributes as any of boto3, moto and our tables has them."""
    return {name: (one["DataType"], _value(one)) for name, one in attributes.items()}


def _value(attribute: dict[str, Any]) -> str:
    value = attribute.get("BinaryValue", attribute.get("StringValue"))
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _scan(world: Any, table: str) -> list[dict[str, Any]]:
    read = TypeDeserializer().deserialize
    items = world.stack.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
    return [{name: read(value) for name, value in item.items()} for item in items]

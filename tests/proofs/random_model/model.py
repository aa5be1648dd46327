"""The oracle of `test_random_model.py`: what may have become of each message, in plain Python.

It knows what was asked of the service and what was answered, looks at what there is after each
step, and raises AssertionError for what may not be. It knows nothing of tables, queues and code.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_REDRIVES = 1
MAX_ATTEMPTS = 2
GROUPS = ("a", "b", "c")
# What fails while its group's account is frozen, at once or after retries; the first time; always.
_PAYLOADS: dict[str, Callable[[str], dict[str, Any]]] = {
    "good": lambda group: {},
    "frozen": lambda group: {"frozen_by": group},
    "rejected": lambda group: {"rejected_by": group},
    "once": lambda group: {"fails": 1},
    "poison": lambda group: {"fails": 99},
}
KINDS = tuple(_PAYLOADS)
MENDABLE = ("DEAD", "QUARANTINED")
SETTLED = ("PROCESSED", "DISCARDED")
# Also the ledger's word for a message of which a copy lies on the dead-letter queue, when a worker
# died of it, or a run that had counted it was stopped.
UNNOTED = ("ACCEPTED", "QUEUED", "PROCESSING", "REDRIVEN")
ABANDONED_SECONDS = 900

Moves = frozenset[tuple[str, str]]


def _moves(**to: str) -> Moves:
    return frozenset((before, after) for before, ends in to.items() for after in ends.split())


# Who may write which status over which, with one write.
SENDER = _moves(NEW="ACCEPTED", ACCEPTED="QUEUED")
CONSUMER = _moves(
    ACCEPTED="PROCESSING",
    QUEUED="PROCESSING",
    REDRIVEN="PROCESSING",
    PROCESSING="PROCESSED RETRYING DEAD PARKED QUARANTINED",
    DEAD="PROCESSING QUARANTINED",  # by SQS's own redrive
)
RETRY = _moves(PARKED="RETRYING", RETRYING="PROCESSED DEAD")
RUN = _moves(
    DEAD="REDRIVEN QUARANTINED",
    REDRIVEN="REDRIVEN QUARANTINED",
    **dict.fromkeys(("ACCEPTED", "QUEUED", "PROCESSING"), "REDRIVEN QUARANTINED DEAD"),
)
OPERATOR = _moves(**dict.fromkeys((*MENDABLE, "REDRIVEN"), "REDRIVEN DISCARDED"))
ABANDON = _moves(PROCESSING="DISCARDED")
NOBODY: Moves = frozenset()


@dataclass
class Entry:
    """One message. `number` is what its effect leaves, `limit` how often it may be redriven.

    `sent` is the payload that its producer sent, `payload` the one in force, which an edit changes.
    `bodies` are those it had, the last one is in force; `seen` is its row as it was last seen.
    """

    message_id: str
    group: str
    kind: str
    sent: dict[str, Any]
    payload: dict[str, Any]
    bodies: list[str] = field(default_factory=list)
    limit: int = MAX_REDRIVES
    abandoned: bool = False
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return str(self.seen.get("status", "NEW"))

    @property
    def redrives(self) -> int:
        return int(self.seen.get("redrives", 0))

    @property
    def number(self) -> int:
        return int(self.payload["number"])

    @property
    def mendable(self) -> bool:
        """Dead or in quarantine, or listed as dead after a run that may have sent it."""
        return self.status in MENDABLE or self._let_go

    @property
    def dead(self) -> bool:
        """Dead, or listed so."""
        return self.status == "DEAD" or self._let_go

    @property
    def _let_go(self) -> bool:
        return self.status == "REDRIVEN" and self.seen.get("trouble") == "DEAD"

    @property
    def outgoing(self) -> bool:
        """Guarded by a retry by hand, and perhaps not sent."""
        return self.status == "REDRIVEN" and self.seen.get("trouble") == "SENDING"

    def __repr__(self) -> str:
        return self.message_id


class Model:
    """All messages of a story; `order` has those of a group as the queue took them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.order: dict[str, list[Entry]] = defaultdict(list)
        self.harmed = False  # a worker died or an execution was stopped

    # What the API must answer

    def to_send(self, entry: Entry, payload: dict[str, Any]) -> int:
        if entry.status == "NEW":
            return 202
        return 200 if payload == entry.sent else 409

    def to_retry(self, entry: Entry, *, reset: bool) -> int:
        if entry.outgoing:
            return 202
        if not entry.mendable:
            return self._refusal(entry)
        in_budget = entry.dead and entry.redrives < entry.limit
        return 202 if reset or in_budget else 409

    def to_edit(self, entry: Entry) -> int:
        return 200 if entry.mendable else self._refusal(entry)

    def to_discard(self, entry: Entry, now: float) -> int:
        if entry.mendable or entry.status == "DISCARDED":
            return 200
        lease = float(entry.seen.get("lease_until", now))
        long_ago = entry.status == "PROCESSING" and lease + ABANDONED_SECONDS <= now
        return 200 if long_ago else self._refusal(entry)

    def _refusal(self, entry: Entry) -> int:
        return 404 if entry.status == "NEW" else 409

    # What was done

    def retried(self, entry: Entry, *, reset: bool) -> None:
        if reset and not entry.outgoing:
            entry.limit = entry.redrives + MAX_REDRIVES

    def edited(self, entry: Entry, kind: str, payload: dict[str, Any], body: str) -> None:
        entry.kind, entry.payload = kind, payload
        entry.bodies.append(body)
        entry.limit = entry.redrives + MAX_REDRIVES

    # What may be

    def see(self, rows: dict[str, dict[str, Any]], moves: Moves, only: Iterable[Entry]) -> None:
        """Take the ledger's rows after a step by those who make these moves.

        Args:
            rows: by message id.
            moves: what whoever acted may write over what.
            only: the messages that they could have moved.
        """
        assert set(rows) <= set(self.entries), f"rows of nobody: {set(rows) - set(self.entries)}"
        movable = {entry.message_id for entry in only}
        for entry in self.entries.values():
            before, entry.seen = entry.seen, rows.get(entry.message_id, {})
            was, old = str(before.get("status", "NEW")), int(before.get("redrives", 0))
            may = _reachable(was, moves) if entry.message_id in movable else {was}
            assert entry.status in may, f"{entry} went from {was} to {entry.status}"
            assert old <= entry.redrives, f"{entry} was redriven {entry.redrives} times after {old}"
            assert entry.redrives <= entry.limit, f"{entry} was redriven {entry.redrives} times"
            tries = int(entry.seen.get("attempts", 0))
            assert tries <= MAX_ATTEMPTS + self.harmed, f"{entry} was tried {tries} times"
            if "body" in entry.seen and entry.status in (*MENDABLE, "RETRYING"):
                assert entry.seen["body"] == entry.bodies[-1], f"{entry} has another body"

    def see_effects(self, effects: dict[str, list[int]]) -> None:
        """Take the effects of each group: in order, once each, and nothing left out but by us."""
        for group, order in self.order.items():
            found = effects.get(group, [])
            assert found == [e.number for e in order if e.number in found], (
                f"group {group} had the effects {found}, sent {[e.number for e in order]}"
            )
            waiting = None
            for entry in order:
                has_effect = entry.number in found
                if entry.status == "PROCESSED":
                    assert has_effect, f"{entry} is processed without an effect"
                if has_effect:
                    assert waiting is None, f"{entry} passed {waiting}"
                    assert entry.status != "DISCARDED" or entry.abandoned, f"{entry} was discarded"
                elif entry.status not in SETTLED:
                    waiting = entry

    def see_rest(self, dead: set[str]) -> None:
        """Take a system at rest: in each group one is in trouble, and all behind it wait.

        Args:
            dead: the messages of which a copy lies on the dead-letter queue.
        """
        for order in self.order.values():
            waiting = [entry for entry in order if entry.status not in SETTLED]
            for first, entry in zip([True] + [False] * len(waiting), waiting, strict=False):
                unnoted = entry.status in UNNOTED and entry.message_id in dead and self.harmed
                moved = entry.status == "DEAD" and self.harmed
                may = entry.status in MENDABLE if first else entry.status == "PARKED"
                assert may or unnoted or moved, f"{entry} rests as {entry.status}"
                # One that was edited rests as it died, until it is redriven.
                sound = entry.kind in ("good", "once") and len(entry.bodies) == 1
                healthy = sound and not self.harmed
                assert not (first and healthy), f"{entry} is healthy, and {entry.status}"

    def see_end(self, effects: dict[str, list[int]]) -> None:
        """Take a system in which everything was unfrozen, redriven or given up."""
        for entry in self.entries.values():
            assert entry.status in SETTLED, f"{entry} ends as {entry.status}"
        for group, order in self.order.items():
            due = [e.number for e in order if e.status == "PROCESSED" or e.number in effects[group]]
            assert effects.get(group, []) == due, f"group {group} ends with {effects.get(group)}"


def payload(group: str, number: int, kind: str) -> dict[str, Any]:
    """Return the payload of a message of a kind."""
    return {"account_id": group, "number": number} | _PAYLOADS[kind](group)


def _reachable(status: str, moves: Moves) -> set[str]:
    found, new = {status}, {status}
    while new:
        new = {after for before, after in moves if before in new} - found
        found |= new
    return found

"""What the demo sent, and what the API says became of it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from local.client import Client
from local.deadline import wait_until
from local.history import History

COUNTERS = ("received", "redriven", "quarantined", "already_processed", "discarded", "failed")


@dataclass
class Entry:
    """A transaction that was sent, and what the ledger said of it each time it was asked.

    `ends` is the status that it should end in. `tries` are the attempts in each life: a life ends
    on the dead-letter queue, and a redrive begins the next.
    """

    message_id: str
    account_id: str
    kind: str
    amount: Decimal
    ends: str = "PROCESSED"
    group_id: str | None = None
    tries: dict[int, int] = field(default_factory=dict)
    died_of: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def payload(self) -> dict[str, str]:
        """The payload as it is sent."""
        return {
            "account_id": self.account_id,
            "kind": self.kind,
            "amount": f"{self.amount:.2f}",
            "currency": "EUR",
        }

    def note(self, record: dict[str, Any]) -> str:
        """Take what the API says of the message now; return the status."""
        self.record = record
        self.tries[record["redrives"]] = record["attempts"]
        if record["status"] == "DEAD":
            self.died_of = record["reason"]["type"]
        return str(record["status"])

    def executions(self, machine: str) -> list[str]:
        """Return the ARNs of its executions of a machine, oldest first."""
        return [
            arn
            for arn in self.record["execution_arns"]
            if arn.rpartition(":")[0].endswith(f"-{machine}")
        ]


@dataclass(frozen=True)
class Run:
    """A redrive run: what it was for, its record from the API, its execution history."""

    number: int
    purpose: str
    record: dict[str, Any]
    history: History

    def counters(self) -> dict[str, int]:
        """Return the record's counters."""
        return {name: self.record[name] for name in COUNTERS}


def counters(**expected: int) -> dict[str, int]:
    """Return the counters that a run is expected to have; those not named are 0."""
    return dict.fromkeys(COUNTERS, 0) | expected


class Journal:
    """All messages and runs of the demo; `api` is signed in, and silent."""

    def __init__(self, api: Client) -> None:
        self.api = api
        self.entries: list[Entry] = []
        self.runs: list[Run] = []

    def look(self, entries: Iterable[Entry]) -> list[str]:
        """Ask the API for these messages and return their statuses."""
        return [entry.note(self.api.message(entry.message_id).expect(200)) for entry in entries]

    def wait_for(self, entries: list[Entry], status: str, redrives: int = 0) -> None:
        """Wait until these messages have a status, in the life after `redrives`.

        Raises:
            local.deadline.DeadlineMissed: they do not have it within two minutes.
        """
        missing = list(entries)

        def all_there() -> bool:
            # One question at a time: the answer about the first tells whether to ask on.
            while missing and self.look(missing[:1]) == [status]:
                if missing[0].record["redrives"] != redrives:
                    break
                missing.pop(0)
            return not missing

        names = ", ".join(entry.message_id for entry in entries[:4])
        wait_until(all_there, 120, f"{names} … are {status}", interval=0.1)

    def expected_balances(self) -> dict[str, Decimal]:
        """Return what each account must hold, from what was sent alone."""
        balances: dict[str, Decimal] = defaultdict(Decimal)
        for entry in self.entries:
            applied = entry.amount if entry.ends == "PROCESSED" else Decimal()
            balances[entry.account_id] += applied if entry.kind == "credit" else -applied
        return dict(balances)

    def rows(self) -> list[tuple[object, ...]]:
        """Return the journeys as rows of a table, messages with the same journey in one row."""
        alike: dict[tuple[object, ...], list[str]] = {}
        for entry in self.entries:
            family = entry.message_id.rstrip("0123456789")
            alike.setdefault((family, *self._journey(entry)), []).append(entry.message_id)
        return [
            (ids[0] if len(ids) == 1 else f"{ids[0]}…{ids[-1]} ({len(ids)})", *journey[1:])
            for journey, ids in alike.items()
        ]

    def _journey(self, entry: Entry) -> tuple[object, ...]:
        numbers = {run.record["run_id"]: str(run.number) for run in self.runs}
        steps = [s for s in entry.record["journey"] if s["event"] in ("redriven", "retried")]
        runs = [
            "by hand" if step["event"] == "retried" else numbers.get(step.get("run_id"), "?")
            for step in steps
        ]
        reason = entry.record["reason"]
        return (
            ", ".join(str(entry.tries.get(life, "?")) for life in range(max(entry.tries) + 1)),
            entry.died_of or "-",
            f"{entry.record['redrives']} ({', '.join(runs)})" if runs else "0",
            entry.record["status"],
            reason["type"] if reason else "-",
        )

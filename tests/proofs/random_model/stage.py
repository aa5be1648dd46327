"""Where a story plays: the service, the oracle that looks on, and how every story ends.

What is done here is asked of the service and told to the oracle, which says what the answer must
be. The end of a story lets everything come to rest, redrives until nothing is left, and wants every
message processed once and in its order, unless it was given up.
"""

import sys
import time
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from tests.proofs.random_model import model
from tests.proofs.random_model.model import Entry, Model
from tests.proofs.random_model.modelled_service import Service
from tests.support.invariants import broken
from workflows.messages.envelope import parse
from workflows.redrive import runs

MESSAGES = 12  # at most, in a story
_LEASE_SECONDS = 900
_EVERYBODY = model.SENDER | model.CONSUMER | model.RETRY | model.RUN | model.OPERATOR


class Stage(RuleBasedStateMachine):
    """All that a story's rules share."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        service.forget()
        self.model = Model()
        self.deaths = 0
        self.run: str | None = None
        self.began = 0.0
        self.runs: list[str] = []
        self.moves = model.NOBODY
        self.movable: list[Entry] = []

    def moving(self, moves: model.Moves, *entries: Entry) -> None:
        """Say who is about to act, on some messages or on all."""
        self.moves |= moves
        self.movable += entries or self.model.entries.values()

    def look(self) -> None:
        """Let the oracle look."""
        moves, movable = self.moves, self.movable
        self.moves, self.movable = model.NOBODY, []
        self.model.see(self.service.rows(), moves, movable)
        self.model.see_effects(self.service.effects())

    def _send_new(self, group: str, kind: str) -> Entry:
        entry = self._new(group, kind)
        assert self._send(entry, entry.sent) == 202
        return entry

    def _new(self, group: str, kind: str) -> Entry:
        number = 1 + sum(entry.group == group for entry in self.model.entries.values())
        payload = model.payload(group, number, kind)
        entry = Entry(f"{group}{number}", group, kind, payload, payload)
        self.model.entries[entry.message_id] = entry
        return entry

    def _send(self, entry: Entry, payload: dict[str, Any]) -> int:
        self.moving(model.SENDER, entry)
        status, _ = self.service.send(entry.message_id, entry.group, payload)
        self._note_sent(entry)
        return status

    def _note_sent(self, entry: Entry) -> None:
        for letter in self.service.queue("Work"):
            if letter["id"] == entry.message_id and not entry.bodies:
                entry.bodies.append(letter["Body"])
                self.model.order[entry.group].append(entry)
                self.service.messages.append(parse(letter["Body"], entry.group))

    def _work(self) -> None:
        self.moving(model.RETRY | model.RUN)
        self.service.work()
        self._run_is_over()

    def _run_is_over(self) -> None:
        self.run = None

    def _settle(self) -> None:
        self.moving(_EVERYBODY)
        self.service.settle()
        self._run_is_over()
        self.look()
        self.model.see_rest({letter["id"] for letter in self.service.queue("DeadLetter")})

    def _edit(self, message: Entry, kind: str) -> None:
        expected = self.model.to_edit(message)
        payload = model.payload(message.group, message.number + 100, kind)
        status, _ = self.service.edit(message.message_id, payload)
        assert status == expected
        if status == 200:
            known = self.service.messages
            place = [found.message_id for found in known].index(message.message_id)
            self.service.versions.append(known[place])
            known[place] = known[place].model_copy(update={"payload": payload})
            self.model.edited(message, kind, payload, known[place].body())

    def _discard(self, message: Entry) -> None:
        expected = self.model.to_discard(message, time.time())
        message.abandoned |= message.status == "PROCESSING"
        self.moving(model.OPERATOR | model.ABANDON, message)
        status, _ = self.service.discard(message.message_id)
        assert status == expected

    def _redrive(self, options: dict[str, Any]) -> None:
        status, run = self.service.redrive(options)
        age = time.time() - self.began
        if self.run is None or age > _LEASE_SECONDS + 1:  # the lock is a lease
            assert status == 202
        elif age < _LEASE_SECONDS - 1:
            assert status == 409
        if status == 202:
            self.run, self.began = run["run_id"], time.time()
            self.runs.append(self.run)

    # The end

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            return
        entries = self.model.entries.values()
        for group in {entry.group for entry in entries}:
            self.service.freeze(group, "ACTIVE")
        for entry in entries:
            if not entry.bodies:
                self._send(entry, entry.sent)  # its producer never had an answer
        for _ in range(4 * MESSAGES):
            self._settle()
            mended = [entry for entry in entries if self._mend(entry)]
            if not mended and not self.service.queue("DeadLetter"):
                break
            self._redrive({})
            self._work()
            self.look()
        self._end()

    def _mend(self, entry: Entry) -> bool:
        """Give up what is quarantined; of those that always fail, mend all but one."""
        if entry.status == "QUARANTINED":
            self._discard(entry)
            return True
        others = [e for e in self.model.entries.values() if e.kind == "poison" and e is not entry]
        if entry.status == "DEAD" and entry.kind == "poison" and others:
            self._edit(entry, "good")
            return True
        return False

    def _end(self) -> None:
        for run in self.runs:
            runs.get(run)  # one that was ended from outside is set right by whoever looks
        wrong = broken(self.service)
        assert not wrong, "\n".join(wrong)
        self.model.see_end(self.service.effects())
        assert not self.service.items("Groups"), "a fence or a parked message is left"
        locks = [
            row["run_id"]
            for row in self.service.items("Runs")
            if row["run_id"].startswith(("LOCK#", "HELD#"))
        ]
        assert not locks, f"{locks} are left"

"""The judge: gives each dead letter its verdict, and leaves out what a run is not to touch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workflows.ledger import lookup
from workflows.messages import filters
from workflows.messages.envelope import InvalidMessage, Message, parse
from workflows.messages.filters import Filter, Subject
from workflows.messages.reasons import fingerprint
from workflows.queues.letters import Letter
from workflows.queues.queue import Queue
from workflows.redrive import judgement, reading, registered, superseded
from workflows.redrive.verdict import DeadLetter, Edited, Verdict

_Payload = dict[str, Any] | None


class Judge:
    """Judges dead letters, in the order in which they came, for one run or one plan."""

    def __init__(self, run_id: str, only: Filter, queue: Queue, *, looks: bool = False) -> None:
        """Take the run's id, what it is to touch, its queue, and whether it `looks` and no more."""
        self._run_id = run_id
        self._only = only
        self._queue = queue
        self._looks = looks
        self._waiting: set[str] = set()
        self._met: set[str] = set()

    def judge(self, dead_letters: list[DeadLetter]) -> list[Verdict]:
        """Return a verdict for each dead letter of a batch of at most 50, in their order.

        Raises only when the ledger does not answer, or S3 where bodies point to it. The verdict is
        what the ledger said a moment ago: the machine's conditional writes have the last word.
        """
        return self.decide(dead_letters, self.look_up(dead_letters))

    def look_up(self, dead_letters: list[DeadLetter]) -> "Known":
        """Return what there is to know of at most 50 dead letters before they are judged."""
        if self._queue.is_default:
            return _look_up(dead_letters)
        return _look_up_registered(dead_letters, self._queue)

    def decide(self, dead_letters: list[DeadLetter], known: "Known") -> list[Verdict]:
        """Return the verdicts on a batch of which is known what the ledger has.

        What the filter leaves out stays, and so does what came behind it in its group. Never
        raises for what a message holds.
        """
        rows = known.rows
        waves: Counter[str] = Counter()
        verdicts = []
        for index, letter in enumerate(dead_letters):
            verdict, payload = self._of(index, letter, known)
            _exchange(verdict, known.edited.get(index))
            self._leave(verdict, payload, rows.get(verdict["ledger_id"], {}))
            verdict["index"] = index
            if verdict["verdict"] != "left":
                verdict["wave"] = waves[verdict["group"]]
                waves[verdict["group"]] += 1
            verdicts.append(verdict)
        return verdicts

    def _of(self, index: int, letter: DeadLetter, known: "Known") -> tuple[Verdict, _Payload]:
        """Return the verdict on a letter, were it alone, and its payload."""
        found, edited = known.read[index], known.edited.get(index)
        if isinstance(found, Letter):
            now = found
            if edited is not None:
                now = reading.letter(superseded.edited(letter, edited), self._queue)
            verdict = registered.of(
                letter, found, now, known.rows, known.sent, self._run_id, self._queue
            )
            return verdict, now.payload
        if edited is not None:
            found = _read(edited.body, judgement.group_of(letter))
        verdict = judgement.of(letter, found, known.rows, self._run_id)
        return verdict, found.payload if isinstance(found, Message) else None

    def _leave(self, verdict: Verdict, payload: _Payload, row: dict[str, Any]) -> None:
        if verdict["ledger_id"] in self._met:
            # A second copy of one message waits for what becomes of the first.
            verdict |= {"verdict": "left", "left_because": "copy", "unnoted": False}
        elif verdict["group"] in self._waiting:
            verdict |= {"verdict": "left", "left_because": "group"}
        elif self._looks:
            verdict |= {"verdict": "left", "left_because": "look"}
        elif not _chosen(verdict, payload, row, self._only):
            verdict |= {"verdict": "left", "left_because": "filter"}
        if verdict["verdict"] == "left":
            self._waiting.add(verdict["group"])
            if verdict["left_because"] in ("filter", "group", "look"):
                verdict["unnoted"] = verdict["unnoted"] or judgement.is_found_again(row)
        self._met.add(verdict["ledger_id"])


@dataclass(frozen=True)
class Known:
    """What dead letters hold, and what the ledger has of them: rows by id, edits by place.

    And which of a registered queue's are known to be `sent` already.

    Read apart from the judging, which goes one by one, so that many batches can be read at once.
    """

    read: Sequence[Message | InvalidMessage | Letter]
    rows: dict[str, dict[str, Any]]
    edited: dict[int, Edited]
    sent: frozenset[str] = frozenset()


def _look_up(dead_letters: list[DeadLetter]) -> Known:
    read = [_read(letter.get("Body", ""), judgement.group_of(letter)) for letter in dead_letters]
    ids = [m.message_id for m in read if isinstance(m, Message)]
    ids += [letter["MessageId"] for letter in dead_letters if "Body" not in letter]
    rows = lookup.get_many(ids + [judgement.foreign_id(letter) for letter in dead_letters])
    return Known(read, rows, _edited(read, rows))


def _look_up_registered(dead_letters: list[DeadLetter], queue: Queue) -> Known:
    read = reading.letters(dead_letters, queue)
    both = zip(dead_letters, read, strict=True)
    ids = [one for pair in both for one in reading.ids_of(*pair, queue)]
    rows = lookup.get_many(ids)
    old = {
        index: row["message_id"]
        for index, (letter, found) in enumerate(zip(dead_letters, read, strict=True))
        if (row := registered.superseded_by(letter, found, rows, queue)) is not None
    }
    rows |= lookup.get_many(old.values(), whole=True)
    edits = {index: superseded.edit_of(rows[message_id]) for index, message_id in old.items()}
    of_these = (
        row
        for index, letter in enumerate(dead_letters)
        for row in rows.values()
        if registered.speaks_of(row, letter) or old.get(index) == row["message_id"]
        if registered.was_sent(row)
    )
    return Known(
        read,
        rows,
        {index: edit for index, edit in edits.items() if edit is not None},
        frozenset(str(row["message_id"]) for row in of_these),
    )


def _read(body: str, group_id: str) -> Message | InvalidMessage:
    try:
        return parse(body, group_id)
    except InvalidMessage as error:
        return error


def _edited(
    read: list[Message | InvalidMessage], rows: dict[str, dict[str, Any]]
) -> dict[int, Edited]:
    """Return the ledger's bodies of those messages that were edited since, by their index.

    Their `rows` are read again with the bodies: both must be of one moment.
    """
    ids = {
        index: m.message_id
        for index, m in enumerate(read)
        if isinstance(m, Message) and _is_superseded(m, rows.get(m.message_id))
    }
    rows |= lookup.get_many(ids.values(), whole=True)
    return {
        index: Edited(found, rows[found]["body"])
        for index, found in ids.items()
        if "body" in rows[found]
    }


def _is_superseded(message: Message, row: dict[str, Any] | None) -> bool:
    return row is not None and lookup.is_copy(message, row) and not lookup.is_current(message, row)


def _exchange(verdict: Verdict, edited: Edited | None) -> None:
    """Let a verdict be on what a person made of its message; not on a copy kept by itself."""
    if edited is None or edited.message_id != verdict["ledger_id"]:
        return
    verdict["body"] = edited.body
    if edited.attributes is not None:
        verdict["attributes"] = edited.attributes


def _chosen(verdict: Verdict, payload: _Payload, row: dict[str, Any], only: Filter) -> bool:
    if only.empty:
        return True
    # Why it is dead by the record, as the lists say it, whatever is wrong with it now besides.
    reason = verdict["reason"] if verdict["unnoted"] else row.get("reason", verdict["reason"])
    return filters.matches(
        only,
        Subject(
            message_id=verdict["ledger_id"],
            group_id=verdict["group_id"],
            type=verdict["type"],
            reason_type=reason["type"],
            fingerprint=fingerprint(verdict["type"], reason),
            first_sent_at=verdict["first_sent_at"],
            payload=payload,
        ),
    )

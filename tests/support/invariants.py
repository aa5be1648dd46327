"""The invariants: what must be true of a system at rest, whatever befell it; one checker of all.

`broken(world)` knows every message that the world was given, reads queues, tables and effects, and
says in one sentence each what is not as it must be. A sentence begins with its invariant's name.
It says nothing of a system that still works: let `world.settle()` come first.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.support import engines
from tests.support.findings import Findings, Known, message_id_in
from workflows.messages.envelope import Message
from workflows.runtime.settings import settings

LOST = "Lost"
TWO_STATES = "Two states"
EFFECT = "Effect"
ORDER = "Order"
GUARD = "Guard"
BYTES = "Bytes"
REST = "Not at rest"
RUN = "Run"
MOVED = "Not moved"
TRANSITION = "Transition"

MAX_REDRIVES = 3  # the template's default
MAX_ATTEMPTS = 4  # samconfig.toml's `local`
# The template's maxReceiveCount. A worker counts a try before it makes it, whatever the limit: one
# that dies each time leaves as many tries as SQS delivers the message.
DELIVERIES = 3
_TROUBLE = ("RETRYING", "DEAD", "QUARANTINED")
_SETTLED = ("PROCESSED", "DISCARDED")


def broken(world: Known, *, moved: Iterable[Message] = ()) -> list[str]:
    """Return a sentence for each invariant that does not hold, the same each time; [] if all do.

    Args:
        world: at rest.
        moved: messages that were healthy, so that what was done must have moved them. A world of a
            registered queue has invariants of its own.
    """
    if own := getattr(world, "broken", None):
        return list(own(moved))
    found = Findings.of(world)
    sentences = [sentence for check in _CHECKS for sentence in check(found)]
    stuck = (m.message_id for m in moved if found.status(m) != "PROCESSED")
    return sentences + [
        f"{MOVED}: {message_id} was healthy and is not processed." for message_id in stuck
    ]


# Where a message is


def _lost(found: Findings) -> Iterator[str]:
    for message in found.messages.values():
        row, status = found.row(message), found.status(message)
        on_queue = found.copies(message, found.dead) or found.copies(message, found.work)
        is_there = {
            "PARKED": bool(found.waiting(message)) and message.group_id in found.fences,
            "RETRYING": "body" in row,
            "QUARANTINED": "body" in row and bool(row.get("reason", {}).get("message")),
            "PROCESSED": found.effects(message) != 0,
            "DISCARDED": True,
        }.get(status, bool(on_queue))
        if not is_there:
            yield f"{LOST}: {message.message_id} is {status or 'unknown'}, and nowhere."
    for (group, body), count in Counter(found.strangers).items():
        kept = {
            row["message_id"].removeprefix("sqs:")
            for row in found.rows.values()
            if row["message_id"].startswith("sqs:")
            and (row["group_id"], row.get("body")) == (group, body)
            and row["status"] in ("DEAD", "QUARANTINED", "DISCARDED")
        } | {
            copy["MessageId"]
            for copy in found.work + found.dead
            if (copy["MessageGroupId"], copy["Body"]) == (group, body)
        }
        if len(kept) < count:
            yield f"{LOST}: a stranger of group {group} is on no queue and in no quarantine."


def _two_states(found: Findings) -> Iterator[str]:
    for message in found.messages.values():
        row, status = found.row(message), found.status(message)
        waiting = len(found.waiting(message))
        if waiting > (status == "PARKED"):
            yield f"{TWO_STATES}: {message.message_id} is {status}, and parked {waiting} times."
        listed = {status if status in _TROUBLE else ""}
        if status in ("ACCEPTED", "QUEUED", "REDRIVEN", "PROCESSING"):
            listed.add("DEAD")  # lost by a queue, or guarded by a run that ended before it sent
        if row.get("trouble", "") not in listed:
            yield f"{TWO_STATES}: {message.message_id} is {status}, listed as {row.get('trouble')}."
        if status == "RETRYING" and _holder(found, message) != message.message_id:
            yield f"{TWO_STATES}: {message.message_id} is {status}; its group waits for another."


def _transitions(found: Findings) -> Iterator[str]:
    # MiniStack's tables tell nobody what they were before.
    moves = getattr(found.stack, "strange_moves", list)
    for move in moves():
        yield f"{TRANSITION}: {move}, which the ledger's table does not have."


def _not_at_rest(found: Findings) -> Iterator[str]:
    for copy in found.work:
        yield f"{REST}: {message_id_in(copy['Body'])} is still on the work queue."
    for group, fence in found.fences.items():
        holder = found.messages.get(fence["holder"])
        if holder and found.status(holder) in _SETTLED:
            yield f"{REST}: group {group} waits for {fence['holder']}, which is settled."
        if fence["parked"] - fence["drained"] != len(found.parked[group]):
            yield f"{REST}: the fence of group {group} counts other messages than are parked."
    for message in found.messages.values():
        if found.status(message) == "RETRYING" and not found.is_driven(message.group_id):
            yield f"{REST}: {message.message_id} is RETRYING, and nothing retries it."
    for group, items in found.parked.items():
        if items and group not in found.fences:
            yield f"{LOST}: {len(items)} messages are parked in group {group}, which has no fence."


def _holder(found: Findings, message: Message) -> str:
    return str(found.fences.get(message.group_id, {}).get("holder", ""))


# Effects


def _effects(found: Findings) -> Iterator[str]:
    for message in found.messages.values():
        if (found.effects(message) or 0) > 1:
            yield f"{EFFECT}: {message.message_id} had its effect more than once."
        if message.message_id in found.tried_again:
            yield f"{EFFECT}: {message.message_id} was tried again after it was processed."
    due: Counter[str] = Counter()
    for item in found.accounts.values():
        if "of_account" in item:
            due[item["of_account"]] += item["change"]
    for account, change in due.items():
        of_account = found.accounts[account]
        if of_account["balance"] != change + of_account.get("opened_with", 0):
            yield f"{EFFECT}: the balance of {account} is not the sum of what was applied to it."


def _order(found: Findings) -> Iterator[str]:
    for group, messages in found.groups().items():
        numbers = [m.payload["number"] for m in messages if m.type == "entry"]
        effects = [int(n) for n in found.accounts.get(group, {}).get("effects", [])]
        places = [numbers.index(n) for n in effects if n in numbers]
        times = [found.row(m).get("processed_at", "") for m in messages]
        times = [at for at in times if at]
        if places != sorted(places) or times != sorted(times):
            yield f"{ORDER}: the effects of group {group} came in another order than was sent."
        yield from _overtaken(found, messages)


def _overtaken(found: Findings, messages: list[Message]) -> Iterator[str]:
    """Yield what passed an earlier message of its group that the group had to wait for."""
    ahead = None
    for message in messages:
        if ahead and (found.status(message) == "PROCESSED" or found.effects(message)):
            yield f"{ORDER}: {message.message_id} passed {ahead}, which is not settled."
        if _waits_for(found, message):
            ahead = message.message_id


def _waits_for(found: Findings, message: Message) -> bool:
    status = found.status(message)
    return status not in _SETTLED and (
        status in ("PARKED", "RETRYING") or _holder(found, message) == message.message_id
    )


# Guards


def _guards(found: Findings) -> Iterator[str]:
    with engines.application(found.stack):
        most = settings().max_attempts  # of this stack: some tests run with fewer
    for message in found.messages.values():
        row = found.row(message)
        redrives, attempts = row.get("redrives", 0), row.get("attempts", 0)
        if redrives > row.get("redrive_limit", MAX_REDRIVES):
            yield f"{GUARD}: {message.message_id} was redriven {redrives} times."
        if attempts > max(most, DELIVERIES if _has_died(found, message) else 0):
            yield f"{GUARD}: {message.message_id} was tried {attempts} times in one life."
        lives = [_life(copy) for copy in found.copies(message, found.work + found.dead)]
        if max(lives, default=0) > redrives:
            yield f"{GUARD}: {message.message_id} was redriven oftener than the {redrives} counted."
        tries = found.accounts.get(f"TRIES#{message.message_id}", {}).get("failures", 0)
        if tries > row.get("attempts_total", tries):
            yield f"{GUARD}: {message.message_id} was tried {tries} times, and fewer were counted."


def _has_died(found: Findings, message: Message) -> bool:
    """Tell whether a try was counted that came to no end: its worker died, as far as can be seen.

    Of an entry that is told to fail every try is noted; of another message no failure is.
    """
    tries = found.accounts.get(f"TRIES#{message.message_id}", {}).get("failures", 0)
    ended = max(tries, found.effects(message) or 0)
    return bool(found.row(message).get("attempts_total", 0) > ended)


def _life(copy: dict[str, Any]) -> int:
    """Return the number of the redrive that sent a copy, or in which it died again."""
    _, _, number = str(copy["MessageDeduplicationId"]).rpartition(".r")
    return int(number) if number.isdigit() else 0


# Bytes


def _bytes(found: Findings) -> Iterator[str]:
    sent: dict[str, set[str]] = defaultdict(set)
    for message in found.messages.values():
        row = found.row(message)
        edited = {row["body"]} if {"superseded_hashes", "body"} <= row.keys() else set()
        sent[message.group_id] |= {message.body()} | edited
    for version in found.versions:
        sent[version.group_id].add(version.body())
    for group, body in found.strangers:
        sent[group].add(body)
    parked = [item for items in found.parked.values() for item in items]
    kept = [
        *((copy["MessageGroupId"], copy["Body"]) for copy in found.work + found.dead),
        *((item["group_id"], item["body"]) for item in parked),
        *((row["group_id"], row["body"]) for row in found.rows.values() if "body" in row),
    ]
    for group, body in kept:
        if body not in sent[group]:
            yield f"{BYTES}: a body in group {group} is none that was sent: {body[:200]!r}"


# Runs


def _runs(found: Findings) -> Iterator[str]:
    yield from of_runs(found.runs, found.rows.values())


def of_runs(runs: list[dict[str, Any]], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield what the records of runs at rest say that is not so, by the ledger's rows."""
    redriven = Counter(
        str(event.get("run_id"))
        for row in rows
        for event in row.get("journey", [])
        if event["event"] == "redriven"
    )
    for run in runs:
        name = run["run_id"]
        if run["status"] in ("RUNNING", "CANCELLING"):
            yield f"{RUN}: {name} is {run['status']}, and nothing runs."
        parts = ("redriven", "quarantined", "already_processed", "discarded", "failed")
        if run["received"] != sum(run[part] for part in parts):
            yield f"{RUN}: the counters of {name} do not add up."
        if run["redriven"] > redriven[name]:
            yield f"{RUN}: {name} counts {run['redriven']} redriven, and guarded {redriven[name]}."


_CHECKS: tuple[Callable[[Findings], Iterator[str]], ...] = (
    _lost,
    _two_states,
    _transitions,
    _not_at_rest,
    _effects,
    _order,
    _guards,
    _bytes,
    _runs,
)

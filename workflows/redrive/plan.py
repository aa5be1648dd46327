"""The plan of a redrive run: what it would do, by the ledger, through the very judgement of a run.

Nothing is received, so no message group is locked and no receive count raised. What SQS itself has
dead-lettered since the last run is not in the ledger yet, and so in no plan. What the ledger has
and no queue is known to have is told as `missing`: no run finds it. What a worker had when it was
missed is planned, because SQS may have moved it to the dead-letter queue.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from workflows.ledger import lost, selection, trouble
from workflows.ledger.status import Trouble
from workflows.messages import filters
from workflows.messages.filters import Filter
from workflows.queues.payloads import PayloadMissing
from workflows.queues.queue import Queue
from workflows.redrive import estimate, looked_at, shares
from workflows.redrive.estimate import Estimate
from workflows.redrive.judge import Judge
from workflows.redrive.progress import depth
from workflows.redrive.verdict import Verdict
from workflows.runtime import shards
from workflows.runtime.settings import settings

# A plan is read by people.
_SHOWN = 1_000
_MISSING = "missing"
# Of both machines: states of a run, of each of its lanes with its two empty polls, and of a full
# batch.
_STATES_A_RUN = 6
_STATES_A_LANE = 13
_STATES_A_BATCH = 7
_STATES_AN_EXPRESS_LANE = 1  # of the run, which starts it
# Measured on the local engine; on AWS not verified.
_SECONDS_A_RUN = 7.0
_SECONDS_A_BATCH = 0.6


class Planned(BaseModel):
    """What would become of one message; `reason` tells why it would not be redriven.

    One that is `missing` is not: no queue is known to have it.
    """

    message_id: str
    group_id: str
    verdict: str
    reason: str | None = None


class Plan(BaseModel):
    """What a run would do now. A run that is given the `plan_hash` starts only if it still would.

    `messages` shows the first 1,000; counts and hash are of all that were looked at. `complete` is
    false if there are more than 5,000 dead letters: then the plan is of the first 5,000. `unnoted`
    is about how many lie on the queue that the ledger has not met, `missing` how many the ledger
    lists as dead that are not on it: those that it knows to be lost, or more by SQS's numbers. Of
    `payloads_missing` the body is in S3 no more. Of a queue whose bodies point there fewer are
    looked at: 1,000, or 100 if schema or filter have to read them. The
    estimates are for messages of distinct groups and leave out a canary's watching. It would send
    to the `destination`'s consumers, if there is one.
    """

    plan_hash: str
    counts: dict[str, int]
    groups: int
    messages: list[Planned]
    complete: bool
    unnoted: int
    missing: int
    payloads_missing: int
    estimated_seconds: int
    estimated_transitions: int
    estimate: Estimate
    destination: str | None = None


def draw(
    options: dict[str, Any],
    only: Filter,
    max_messages: int | None,
    rate: float | None,
    queue: Queue,
) -> Plan:
    """Plan a run.

    Args:
        options: the whole request, part of what the hash stands for.
        only: which messages the run may touch.
        max_messages: how many at most; None for all.
        rate: how many a second at most; None for as fast as it goes.
        queue: which it redrives.
    """
    gone: list[trouble.Row] = []
    judged = list(_judged(options, only, max_messages, gone, queue))
    missing = [_missing(row) for row in gone if _is_meant(row, only, queue)]
    chosen = [verdict for verdict in judged if verdict["verdict"] != "left"]
    redriven = [verdict for verdict in chosen if verdict["verdict"] == "redrive"]
    batches, on_queue = -(-len(chosen) // 10), depth(queue)
    dead, lost_ones = trouble.count(Trouble.DEAD, queue.name), lost.count_gone(queue.name)
    lanes = _lanes(options, on_queue, max_messages)
    seconds = _SECONDS_A_RUN + max(
        _SECONDS_A_BATCH * batches / lanes, len(redriven) / rate if rate else 0
    )
    transitions = _transitions(lanes, batches)
    planned = [_planned(verdict) for verdict in judged] + missing
    return Plan(
        plan_hash=_hash(options, chosen),
        counts=Counter(message.verdict for message in planned),
        groups=len({verdict["group"] for verdict in redriven}),
        messages=planned[:_SHOWN],
        complete=dead <= looked_at.most(only, queue),
        unnoted=max(0, on_queue - (dead - lost_ones)),
        missing=max(lost_ones, dead - on_queue),
        payloads_missing=sum(map(_lacks_payload, judged)),
        estimated_seconds=round(seconds),
        estimated_transitions=transitions,
        estimate=estimate.of(
            len(chosen),
            batches=batches,
            transitions=transitions,
            seconds=seconds,
            lanes=lanes,
            express=_is_express(),
        ),
    )


def _is_express() -> bool:
    return settings().redrive_lane_type == "EXPRESS"


def _transitions(lanes: int, batches: int) -> int:
    if _is_express():  # what such a lane does inside is billed by its duration
        return _STATES_A_RUN + _STATES_AN_EXPRESS_LANE * lanes
    return _STATES_A_RUN + _STATES_A_LANE * lanes + _STATES_A_BATCH * batches


def size(found: Plan) -> int:
    """Return how many messages a plan holds: those that its run is to deal with."""
    return sum(n for verdict, n in found.counts.items() if verdict not in ("left", _MISSING))


def _lanes(options: dict[str, Any], on_queue: int, max_messages: int | None) -> int:
    lanes = len(shares.lanes(options, on_queue, fitting=1))
    return lanes if max_messages is None else min(lanes, -(-max_messages // 10))


def _judged(
    options: dict[str, Any],
    only: Filter,
    max_messages: int | None,
    gone: list[trouble.Row],
    queue: Queue,
) -> Iterator[Verdict]:
    """Yield the verdicts on what a run would meet; add to `gone` what it would not."""
    judge, taken = Judge("", only, queue, looks="look" in options), 0
    read = shards.side_by_side(
        lambda letters: (letters, judge.look_up(letters)),
        looked_at.chunks(gone, only, queue),
        looked_at.at_once(queue),
    )
    for letters, known in read:
        for verdict in judge.decide(letters, known):
            if max_messages is not None and taken >= max_messages:
                return
            taken += verdict["verdict"] != "left"
            yield verdict


def _planned(verdict: Verdict) -> Planned:
    return Planned(
        message_id=verdict["ledger_id"],
        group_id=verdict["group_id"],
        verdict=verdict["verdict"],
        reason=_REASONS.get(verdict["left_because"])
        or (verdict["reason"]["type"] if verdict["verdict"] == "quarantine" else None),
    )


def _lacks_payload(verdict: Verdict) -> bool:
    is_kept = verdict["verdict"] == "quarantine"
    return is_kept and verdict["reason"]["type"] == PayloadMissing.__name__


def _is_meant(row: trouble.Row, only: Filter, queue: Queue) -> bool:
    wrappings = queue.unwrap if only.wants_payload else ()
    return filters.matches(only, selection.subject(row, wrappings))


def _missing(row: trouble.Row) -> Planned:
    return Planned(
        message_id=row["message_id"],
        group_id=row["group_id"],
        verdict=_MISSING,
        reason="No queue is known to have it: retry it, or send it again under its id.",
    )


_REASONS = {
    "filter": "The filter leaves it out.",
    "group": "A message before it in its group stays.",
    "copy": "It is a second copy.",
    "busy": "Another copy of it is under way.",
    "look": "The run only looks.",
}


def _hash(options: dict[str, Any], chosen: list[Verdict]) -> str:
    deeds = sorted(
        [
            verdict["ledger_id"],
            verdict["verdict"],
            verdict["redrives"],
            verdict["payload_hash"],
            verdict["reason"]["type"] if verdict["verdict"] == "quarantine" else "",
        ]
        for verdict in chosen
    )
    text = json.dumps([options, deeds], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

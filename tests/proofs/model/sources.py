"""Where each transition of the model stands in the code: how to get its condition from there.

By the transition's @name. A transition that has no condition of its own, a read, a send, what
only time or chance does, has an `about` in `transitions.toml` instead.
"""

from collections.abc import Callable
from typing import Any

from tests.proofs.model.conditions import (
    CLAIM,
    FENCE,
    MESSAGE,
    OPERATOR,
    OURS,
    ROW,
    after,
    of_call,
    of_rule,
    of_state,
    of_statement,
)
from tests.support.pairs import BUILT_IN
from tests.support.template import template
from workflows import recovery, retry
from workflows.groups import fence
from workflows.ledger import attempts, claims, transitions
from workflows.ledger.attempts import Lease
from workflows.messages.carried import Carried
from workflows.messages.limits import RedriveLimitReached
from workflows.messages.transaction import AccountFrozen
from workflows.operator import discard, edit, retry_by_hand
from workflows.operator.discard import DiscardRequest
from workflows.queues.queue import default
from workflows.redrive import judgement, let_go, ownership, run_lock, runs, statements
from workflows.redrive.columns import Turn
from workflows.redrive.lane import Guarded
from workflows.redrive.run import Run

Condition = Callable[[], list[str]]
_BODY, _CARRIED = MESSAGE.body(), Carried()
_CLAIMED = fence.Claimed(MESSAGE, CLAIM, _BODY, _CARRIED, "1")
_FROZEN = AccountFrozen()
_LEASED = ROW | {"status": "RETRYING", "lease_until": 1_000_010}
_RUN = Run(
    run_id="‹run›",
    execution_arn="‹execution›",
    trace_id="t",
    trigger="console",
    requested_by="console",
    request={},
    queue=BUILT_IN,
)
_LOCK = {
    "run_id": "lock",
    "holder": "‹run›",
    "execution_arn": "‹execution›",
    "lease_until": 1_000_000,
}
_TURN = Turn("‹run›", BUILT_IN, "‹execution›", "‹mark›")
_VERDICT = {
    "known": True,
    "index": 0,
    "wave": 0,
    "ledger_id": "message",
    "group": "group",
    "status": "‹status›",
    "redrives": 1003,
    "redrive_limit": 1009,
    "attempts_total": 1007,
    "payload_hash": "‹hash›",
    "reason": {"type": "", "message": ""},
    "dead_at": "",
}


def _guard(kind: str, *, unnoted: bool = False) -> list[str]:
    judged: Any = _VERDICT | {"verdict": kind, "unnoted": unnoted}
    return of_statement(statements.of(judged, {"MessageId": ""}, _TURN))


def _let_go() -> list[str]:
    return of_statement(statements.let_go(Guarded(id="message", redrives=1004), "‹run›"))


def _waits() -> list[str]:
    """Return what makes time's guarantees: leases outlive functions, and SQS waits for leases."""
    resources = template()["Resources"]
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    limits = template()["Globals"]["Function"]["Timeout"]
    return [
        f"CLAIM_LEASE_SECONDS {variables['CLAIM_LEASE_SECONDS']}",
        *(
            f"{name} Timeout {resources[name]['Properties'].get('Timeout', limits)}"
            for name in ("ConsumeMessagesFunction", "ProcessMessageFunction")
        ),
        f"WorkQueue VisibilityTimeout {resources['WorkQueue']['Properties']['VisibilityTimeout']}",
    ]


def _receives() -> list[str]:
    policy = template()["Resources"]["WorkQueue"]["Properties"]["RedrivePolicy"]
    return [f"WorkQueue maxReceiveCount {policy['maxReceiveCount']}"]


SOURCES: dict[str, Condition] = {
    "consumer.holds_group": lambda: of_rule(claims.holds_group),
    "consumer.raise_ahead": lambda: of_call(lambda: fence.raise_ahead(MESSAGE)),
    "consumer.claim": lambda: [
        *of_call(lambda: claims.claim(MESSAGE, "‹sqs id›")),
        *of_rule(claims._was_moved),
    ],
    "consumer.copy_met": lambda: of_call(lambda: transitions.copy_met("message")),
    "consumer.claim_moved": lambda: of_call(lambda: claims.claim(MESSAGE, "‹sqs id›"), 1),
    "consumer.quarantine": lambda: of_call(
        lambda: transitions.quarantine(
            MESSAGE, _BODY, _CARRIED, RedriveLimitReached(), CLAIM.attempt
        )
    ),
    "consumer.park": lambda: of_call(lambda: fence.park("group", [_CLAIMED])),
    "consumer.processed": lambda: of_call(lambda: transitions.processed("message")),
    "consumer.release": lambda: of_call(lambda: fence.release(FENCE, 1003)),
    "consumer.resume": lambda: of_call(lambda: fence.resume(FENCE, 1003)),
    "consumer.retrying": lambda: [
        *of_call(lambda: fence.retrying(MESSAGE, _BODY, _CARRIED, CLAIM, _FROZEN, OURS)),
        *of_call(lambda: fence.retrying(MESSAGE, _BODY, _CARRIED, CLAIM, _FROZEN, None)),
    ],
    "consumer.start": lambda: of_rule(fence.start),
    "consumer.dead": lambda: [
        *of_call(lambda: fence.dead(MESSAGE, _BODY, _CARRIED, CLAIM, _FROZEN, OURS)),
        *of_call(lambda: fence.dead(MESSAGE, _BODY, _CARRIED, CLAIM, _FROZEN, None)),
    ],
    "retry.inspect": lambda: of_state("retry", "ValidateMessage"),
    "retry.guard": lambda: [*of_state("retry", "GuardLoop"), *after("retry", "GuardLoop")],
    "retry.claim": lambda: [
        *of_call(lambda: attempts.take("message", CLAIM.attempt)),
        *of_call(lambda: attempts.take("message", CLAIM.attempt), 1, _LEASED),
        *after("retry", "ProcessMessage"),
    ],
    "retry.process": lambda: of_rule(retry.process),
    "retry.failed_again": lambda: [
        *of_call(
            lambda: attempts.failed_again(
                "message",
                {"type": "", "message": ""},
                final=True,
                attempt=CLAIM.attempt,
                lease=Lease(1_000_000, sole=True, body=""),
            )
        ),
        *of_rule(attempts.failed_again),
    ],
    "retry.processed": lambda: of_call(lambda: transitions.processed("message")),
    "retry.next": lambda: of_state("retry", "AnyParked"),
    "retry.promote": lambda: [
        *of_state("retry", "PromoteParked"),
        *after("retry", "PromoteParked"),
    ],
    "retry.drop": lambda: [*of_state("retry", "DropParked"), *after("retry", "DropParked")],
    "retry.release": lambda: [*of_state("retry", "ReleaseFence"), *after("retry", "ReleaseFence")],
    "retry.still_ours": lambda: of_state("retry", "StillOurs"),
    "retry.mark_dead": lambda: [
        *of_state("retry", "MarkDead"),
        *after("retry", "MarkDead"),
        *of_state("retry", "HoldOrContinue"),
    ],
    "redrive.acquire": lambda: [
        *of_call(lambda: ownership.claim(_RUN, default())),
        *of_call(lambda: run_lock.take("‹run›", BUILT_IN, None)),
    ],
    "redrive.validate": lambda: [
        *of_rule(judgement._verdict),
        *of_rule(judgement._in_other_hands),
        *of_rule(judgement._is_leased),
    ],
    "redrive.guard": lambda: [
        *_guard("redrive"),
        *_guard("redrive", unnoted=True),
        *_guard("quarantine"),
        *_guard("left", unnoted=True),
    ],
    "redrive.let_go": _let_go,
    "redrive.finish": lambda: of_call(lambda: ownership.close(_RUN, "‹at›")),
    "operator.retry": lambda: of_call(
        lambda: retry_by_hand.retry("message", retry_by_hand.RetryRequest(), OPERATOR)
    ),
    "operator.edit": lambda: of_call(
        lambda: edit.edit("message", MESSAGE.payload | {"amount": "2.00"}, OPERATOR)
    ),
    "operator.discard": lambda: of_call(
        lambda: discard.discard("message", DiscardRequest(reason="‹why›"), OPERATOR)
    ),
    "operator.note_sent": lambda: of_call(lambda: retry_by_hand._note_sent("message", 1003)),
    "operator.release": lambda: of_call(lambda: fence.release(OURS, 1003)),
    "operator.resume": lambda: of_call(lambda: fence.resume(OURS, 1003)),
    "sweep.needs_nobody": lambda: of_rule(recovery._needs_nobody),
    "sweep.has_owner": lambda: of_rule(recovery._has_owner),
    "sweep.resume": lambda: of_call(lambda: fence.resume(FENCE, 1003)),
    "sweep.outgoing": lambda: of_rule(retry_by_hand._is_outgoing),
    "sweep.note_sent": lambda: of_call(lambda: retry_by_hand._note_sent("message", 1003)),
    "sweep.let_go": lambda: [
        *of_call(lambda: let_go._mark_dead(ROW | {"status": "REDRIVEN"}, {})),
        *of_rule(runs.abandoned),
    ],
    "sweep.free_lock": lambda: of_call(lambda: run_lock.free(_LOCK)),
    "world.dead_letter_move": _receives,
    "world.lease": _waits,
}

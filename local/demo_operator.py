"""The demo's chapter about an operator's means: groups, a plan, a canary, an edit, the audit."""

from decimal import Decimal
from typing import Any

from local.demo_scene import Scene
from local.journal import Entry, counters
from local.narration import look, records, say

_TILLS = 7  # canary steps of one, two and four
_RATE = 2
_OPTIONS: dict[str, Any] = {
    "filter": {"reason": "AccountFrozen"},
    "max_messages": _TILLS,
    "max_per_second": _RATE,
    "canary": {"messages": 1, "watch_seconds": 100},
}
_AUDITED = """edit_message EDITED, start_run PlanChanged, start_run STARTED, end_run HALTED,
    start_run STARTED, end_run SUCCEEDED, edit_message EDITED, retry_message REDRIVEN,
    start_run STARTED, end_run SUCCEEDED"""


def tell(scene: Scene) -> None:
    """Let the operator see, plan, try, mend, redrive, edit, retry, and account for it.

    Raises:
        local.deadline.DeadlineMissed: something did not happen in time.
    """
    scene.chapter("8. What an operator can do")
    say(f"{_TILLS} tills pay their cash in, but are FROZEN; and alice cannot afford a hotel.")
    tills = [f"till-{n}" for n in range(1, _TILLS + 1)]
    scene.set_status("FROZEN", *tills)
    # The first to die, so that every run meets it, and leaves it.
    hotel = scene.send(Entry("hotel-alice", "alice", "debit", Decimal("9000.00")))
    cash = [
        scene.send(Entry(f"cash-{n}", till, "credit", Decimal(100 * n)), loudly=n == 1)
        for n, till in enumerate(tills, 1)
    ]
    look(f"... and {_TILLS - 1} more")
    scene.journal.wait_for([hotel, *cash], "DEAD")
    _plan(scene, cash[2])
    _halt(scene, cash)
    say("The tills are unfrozen. A new plan; the run that presents its hash does what it says.")
    scene.set_status("ACTIVE", *tills)
    _redrive(scene)
    _retry_by_hand(scene, hotel)
    _audit(scene, hotel)


def _plan(scene: Scene, wrong: Entry) -> None:
    groups = scene.operator.failure_groups().expect(200)["groups"]
    scene.claims.equal(
        "the dead letters are two groups, by what failed",
        [(group["reason_type"], group["count"]) for group in groups],
        [("AccountFrozen", _TILLS), ("TransactionRejected", 1)],
    )
    say(
        "What would a run do that touches only the frozen ones, tries one first, then two, then"
        f" four, and sends at most {_RATE} a second? A dry run does nothing and tells:"
    )
    plan = scene.operator.reprocess(**_OPTIONS, dry_run=True).expect(200)
    scene.claims.equal(
        f"the plan redrives the {_TILLS} frozen ones and leaves the other",
        plan["counts"],
        {"redrive": _TILLS, "left": 1},
    )
    say("Then somebody corrects the amount of one. The plan is not true any more, and is refused.")
    scene.edit(wrong, Decimal("333.33"))
    refused = scene.operator.reprocess(**_OPTIONS, plan_hash=plan["plan_hash"])
    scene.claims.equal(
        "a run with the hash of a plan that is not true any more is refused: 409 plan_changed",
        (refused.status, refused.json.get("error", {}).get("code")),
        (409, "plan_changed"),
    )


def _halt(scene: Scene, cash: list[Entry]) -> None:
    say("Without a hash the run starts; but the tills are still frozen, and its canary dies:")
    run = scene.run("still frozen", **_OPTIONS, status="HALTED")
    scene.claims.equal(
        f"run {run.number} was halted after its first step, and says why",
        (run.history.legs, run.record["left"], run.record["reason"]),
        ([1], 1, "1 of 1 redriven messages failed again; max_failures is 0."),
    )
    visible = scene.operator.status().expect(200)["dead_letter_queue"]["visible"]
    scene.claims.equal(
        "the rest is as it was: all on the dead-letter queue and visible, one redriven once",
        (visible, sorted((e.record["status"], e.record["redrives"]) for e in scene.look(cash))),
        (_TILLS + 1, [("DEAD", 0)] * (_TILLS - 1) + [("DEAD", 1)]),
    )


def _redrive(scene: Scene) -> None:
    plan = scene.operator.reprocess(**_OPTIONS, dry_run=True).expect(200)
    run = scene.run("canary", **_OPTIONS, plan_hash=plan["plan_hash"])
    scene.claims.equal(
        f"run {run.number} did what its plan says in doubling steps, and all were processed",
        (run.counters(), run.history.legs, run.record["outcome"]["processed"]),
        (counters(received=_TILLS, redriven=plan["counts"]["redrive"]), [1, 2, 4], _TILLS),
    )
    most = run.history.most_sent_in_a_second()
    scene.claims.holds(
        f"it sent at most {_RATE} messages in any second", 1 <= most <= _RATE, f"{most}"
    )


def _retry_by_hand(scene: Scene, hotel: Entry) -> None:
    say("alice's hotel was meant to be 90.00. Edited, and sent again at once, without a run:")
    scene.edit(hotel, Decimal("90.00"))
    scene.operator.retry(hotel.message_id).expect(202)
    scene.journal.wait_for([hotel], "PROCESSED", redrives=1)
    journey = hotel.record["journey"]
    say(f"Its journey, from GET /messages/{hotel.message_id}:")
    records(["n", "at", "event", "number", "reason_type", "by"], journey)
    scene.claims.equal(
        "its journey tells it all: sent, tried, dead, edited, retried by hand, processed",
        [step["event"] for step in journey],
        ["sent", "attempt", "dead", "edited", "retried", "processed"],
    )
    say("A run deletes the copy that the hotel left on the dead-letter queue: it is settled.")
    run = scene.run("clear a copy", max_messages=1)
    scene.claims.equal(
        f"run {run.number} deleted the copy of what was processed meanwhile",
        run.counters(),
        counters(received=1, already_processed=1),
    )


def _audit(scene: Scene, hotel: Entry) -> None:
    operator = scene.stack.users["operator"]["email"]
    audit = scene.silent.audit(**{"from": hotel.record["first_sent_at"]}, limit=100).expect(200)
    say("And who did all this, from GET /audit:")
    records(["at", "actor", "action", "message_id", "run_id", "result"], audit["records"])
    scene.claims.equal(
        f"the audit says that {operator} did it all, and how each ended",
        [f"{r['actor']} {r['action']} {r['result']}" for r in reversed(audit["records"])],
        [f"{operator} {done.strip()}" for done in _AUDITED.split(",")],
    )

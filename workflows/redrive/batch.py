"""One batch of dead letters: the verdicts on them, and all that its guard writes."""

from typing import Any, TypedDict

from workflows.redrive import statements
from workflows.redrive.partiql import Statement
from workflows.redrive.statements import Sent, Turn
from workflows.redrive.verdict import DeadLetter, Verdict

# What the machine needs of a verdict; the rest is in its statement.
_NEEDED = ("verdict", "index", "group", "wave", "ledger_id", "redrives")


class Batch(TypedDict):
    """A batch as the machine hands it on.

    `messages` are at most ten, as SQS gave them. `turn` tells this batch from the run's others.
    `held` is how many batches the run has left messages in flight of so far. `confirmed` are those
    that SQS took before, and that are still listed as perhaps not sent; at most ten.
    """

    run_id: str
    execution_arn: str
    turn: str
    messages: list[DeadLetter]
    held: int
    confirmed: list[Sent]


def guarded(batch: Batch, judged: list[Verdict]) -> dict[str, Any]:
    """Return what the machine goes on with, of the verdicts on a batch.

    That is {verdicts, mark, common, confirmed}: each verdict with its `statement`, if it writes
    something, and with the `body` to send in place of the one that came; the mark of this batch in
    the rows that it guards; the statements in `common`, the run's lease and progress, which go with
    every wave, and behind them those that go with the first alone; and what is still to confirm.
    """
    turn = Turn(batch["run_id"], batch["execution_arn"], f"{batch['run_id']}#{batch['turn']}")
    verdicts = [_with_statement(v, batch["messages"][v["index"]], turn) for v in judged]
    named = {shown["ledger_id"] for shown in verdicts if "statement" in shown}
    # A batch with bodies to store or to send has no room for more, so the confirmed ones wait.
    has_bodies = any(
        "body" in v or ("statement" in v and v["verdict"] != "redrive") for v in verdicts
    )
    return {
        "verdicts": verdicts,
        "mark": turn.mark,
        "common": [
            statements.renew_lease(turn.run_id),
            statements.note_progress(turn.run_id),
            *_held(batch, judged),
            *([] if has_bodies else _confirmations(batch["confirmed"], named)),
        ],
        "confirmed": batch["confirmed"] if has_bodies else [],
    }


def _with_statement(verdict: Verdict, letter: DeadLetter, turn: Turn) -> dict[str, Any]:
    shown: dict[str, Any] = {name: verdict[name] for name in _NEEDED}  # type: ignore[literal-required]
    statement = statements.of(verdict, letter, turn)
    if statement is not None:
        shown["statement"] = statement
    if "body" in verdict and verdict["verdict"] == "redrive":
        shown["body"] = verdict["body"]
    return shown


def _held(batch: Batch, judged: list[Verdict]) -> list[Statement]:
    handles = [
        batch["messages"][verdict["index"]]["ReceiptHandle"]
        for verdict in judged
        if verdict["verdict"] == "left"
    ]
    return [statements.hold(batch["run_id"], batch["held"], handles)] if handles else []


def _confirmations(sent: list[Sent], named: set[str]) -> list[Statement]:
    # What is dealt with anew says more, and no two statements may name one item.
    return [statements.confirm(one) for one in sent if one["id"] not in named]

"""The table of transitions: what code and machines write is in it, and the document has it."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.proofs.model.spin import MODEL
from tests.support.messages import a_message
from tests.support.tables import hold
from tests.support.verdicts import judged
from workflows.ledger import transitions
from workflows.ledger.status import (
    AT_REST,
    GONE,
    TRANSITIONS,
    UNDER_WAY,
    Status,
    Trouble,
    listings,
    moves,
)
from workflows.messages.carried import NOTHING
from workflows.messages.transaction import AccountFrozen
from workflows.queues.queue import default
from workflows.redrive import statements
from workflows.redrive.columns import Turn

CONDITIONS = tomllib.loads((MODEL / "transitions.toml").read_text(encoding="utf-8"))
BY_NAME = {step.name: step for step in TRANSITIONS}
# The transition's row of the model, whose text is the condition that code or machine has.
NAMED = {
    "claim": "consumer.claim",
    "claim moved": "consumer.claim_moved",
    "exhaust": "consumer.quarantine",
    "park": "consumer.park",
    "retry": "consumer.retrying",
    "die": "consumer.dead",
    "promote": "retry.promote",
    "give up": "retry.mark_dead",
    "abandon": "sweep.let_go",
    "discard": "operator.discard",
}


def statuses(name: str) -> set[str]:
    """Return the statuses that a condition asks for, of those that it does not exclude."""
    writes = [line for line in CONDITIONS[name]["condition"] if "Messages:" in line]
    text = re.sub(r"trouble = \w+", "", " ".join(writes))
    return {found for found in re.findall(r"[A-Z]+", text) if found in Status.__members__}


@pytest.mark.parametrize("name", NAMED)
def test_condition_comes_from_where_the_table_says(name):
    assert statuses(NAMED[name]) == {str(status) for status in BY_NAME[name].before}


def test_run_redrives_from_where_the_table_says():
    (text, unnoted, *_) = CONDITIONS["redrive.guard"]["condition"]
    excluded = set(re.findall(r"status<>([A-Z]+)", text))

    assert excluded == set(re.findall(r"status<>([A-Z]+)", unnoted))
    assert set(Status) - excluded == {
        *BY_NAME["redrive"].before,
        *BY_NAME["redrive unnoted"].before,
    }


def test_people_mend_what_is_at_rest_or_listed_so():
    assert set(BY_NAME["retry now"].before) == {*AT_REST, *UNDER_WAY}


def test_what_is_settled_stays_so():
    ends = {Status.PROCESSED, Status.DISCARDED}

    assert {(before, after) for before, after in moves() if before in ends} == {
        (Status.PROCESSED, Status.PROCESSED),
        (Status.DISCARDED, Status.PROCESSED),  # a worker that was at it when it was discarded
    }


def test_each_status_is_reached_and_listed_in_one_way_at_least():
    assert {after for _, after in moves()} == set(Status)
    assert {listed for _, listed in listings()} == {None, *Trouble}


def test_no_module_but_this_one_spells_a_status():
    words = {*map(str, Status), *map(str, Trouble), GONE}
    found = [
        f"{path}:{node.lineno} {node.value}"
        for folder in ("workflows", "lambdas")
        for path in sorted(Path(folder).rglob("*.py"))
        if path != Path("workflows/ledger/status.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in words
    ]

    assert found == []


def written(expression: str) -> set[str]:
    """Return the columns that an update expression or a statement sets."""
    sets = expression.partition(" REMOVE ")[0].partition(" WHERE ")[0]
    return set(re.findall(r'"?#?(\w+)"? ?= ?(?:[:?]|list_append)', sets))


def test_that_a_message_is_dead_is_written_alike_by_consumer_machine_and_run(environment):
    """The machine's row has body and carried since the message began to be retried."""
    message = a_message()
    part = transitions.dead(message, message.body(), NOTHING, AccountFrozen(), 1)
    machine = json.loads(Path("statemachines/retry.asl.json").read_text(encoding="utf-8"))
    turn = Turn("run", default(), "arn", "mark")
    note = statements.note_dead(judged(message, verdict="left"), {"MessageId": "m"}, turn)

    consumer = written(part["Update"]["UpdateExpression"])
    assert consumer == written(note["Statement"])
    assert written(machine["States"]["MarkDead"]["Arguments"]["UpdateExpression"]) == (
        consumer - {"body", "carried"}
    )
    assert {"status", "trouble", "dead_at", "reason", "updated_at", "journey"} < consumer


@pytest.mark.tables
def test_document_has_the_table():
    hold(
        "transitions",
        ("name", "who", "from", "to", "listed as", "where", "under which condition"),
        (
            (
                step.name,
                step.by,
                _from(step.before),
                f"`{step.after}`" if step.after else "the same",
                f"`{step.listed}`" if step.listed else "",
                f"`{step.where}`",
                step.when,
            )
            for step in TRANSITIONS
        ),
        ROOT / "docs" / "ledger.md",
    )


def _from(before: tuple[Status, ...]) -> str:
    if set(before) == set(Status):
        return "any"
    return ", ".join(f"`{status}`" for status in before) or "no row"

"""`docs/glossary.md` has every word that API, tables, states and logs use, and no other."""

import ast
import re
from typing import get_args

import pytest
from moto.dynamodb.models import dynamodb_backends

from lambdas import api, show_docs
from lambdas.glossary import FIELDS
from local.stack import ROOT
from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios import SCENARIOS
from tests.support import tables
from tests.support.cloud import ACCOUNT, REGION
from tests.support.template import template
from tests.support.world import World
from workflows.ledger import audit, journey, status
from workflows.redrive import counters, outcome, runs, verdict
from workflows.runtime.refusals import Refusal

PAGE = ROOT / "docs" / "glossary.md"
CODE = [*ROOT.glob("workflows/**/*.py"), *ROOT.glob("lambdas/*.py")]
ASL = [path.read_text(encoding="utf-8") for path in ROOT.glob("statemachines/*.asl.json")]


def section(heading):
    text = PAGE.read_text(encoding="utf-8")
    assert f"\n## {heading}\n" in text, heading
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(heading):
    """Return the cells of a section's table, row by row."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[1:]]


def words(heading, column=0):
    """Return what is written as code in one column of a section's table."""
    found = [word for row in rows(heading) for word in re.findall(r"`([^`]+)`", row[column])]
    assert len(found) == len(set(found)), heading
    return set(found)


def written(pattern):
    """Return what the sources write, as a group of a pattern."""
    texts = [path.read_text(encoding="utf-8") for path in CODE] + ASL
    return {found for text in texts for found in re.findall(pattern, text)}


def test_no_word_is_defined_twice():
    for heading in ("Words of the field", "Our words"):
        found = [word for row in rows(heading) for word in re.findall(r"\*\*([^*]+)\*\*", row[0])]
        assert len(found) == len(set(found)) > 10


def test_statuses_of_a_message_are_those_that_the_lists_name():
    # The API names them for people; what code and machines compare is checked beside.
    said = set(re.findall(r"`([A-Z]+)`", FIELDS["status"]))

    assert words("Statuses of a message") == said == {*map(str, status.Status)}
    assert said <= written(r"[\"']([A-Z]+)\\?[\"']")


def test_troubles_are_those_of_the_index():
    assert words("Troubles") == {*status.Trouble}


def test_events_of_a_journey_are_those_of_the_code():
    assert words("Events of a journey") == set(get_args(journey.Name))
    assert words("Events of a journey") >= written(r'\\"event\\": \{\\"S\\": \\"(\w+)')


def test_statuses_of_a_run_are_those_that_the_api_names():
    assert words("Statuses of a run") == set(re.findall(r"`([A-Z_]+)`", FIELDS["RunReport.status"]))
    assert {*runs.ACTIVE, *runs._CLOSED} < words("Statuses of a run")
    for counter in (*counters.NAMES, *outcome.Outcome.model_fields):
        assert f"`{counter}`" in section("Statuses of a run"), counter


def test_verdicts_are_those_of_the_judge_and_the_plan():
    assert words("Verdicts") == {*get_args(verdict.Kind), "missing"}
    assert words("Verdicts", 2) == {*counters.NAMES} - {"received", "failed"}
    for because in get_args(verdict.Because):
        assert f"`{because}`" in section("Verdicts") or not because


def test_actions_of_the_audit_are_those_of_the_code():
    assert words("Actions of the audit") == set(get_args(audit.Action))


def test_every_log_line_is_told():
    found: set[object] = {"access"}  # of the template
    # A lane's own step has a whole name.
    steps = {f"{step}_run" for step in written(r'"do": "(\w+)"') - {"settle"}}
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name, first = node.func.attr, node.args[0] if node.args else None
                if name in ("operation", "action", "failed", "ended"):
                    found |= {first.value} if isinstance(first, ast.Constant) else set()
                    found |= steps if isinstance(first, ast.JoinedStr) else set()

    assert words("Log lines") == found


def columns(table):
    """Return the words for the columns of a table, its items of other kinds among them."""
    about = [row for row in rows("Tables and their columns") if f"`{table}`" in row[0]]
    return set(re.findall(r"`(\w+)(?:`|#|\W)", " ".join(cell for row in about for cell in row[1:])))


def test_every_table_has_its_keys_and_the_columns_of_its_indexes():
    for name, resource in template()["Resources"].items():
        if resource["Type"] != "AWS::DynamoDB::Table":
            continue
        wanted = {one["AttributeName"] for one in resource["Properties"]["AttributeDefinitions"]}
        for index in resource["Properties"].get("GlobalSecondaryIndexes", []):
            wanted |= set(index["Projection"].get("NonKeyAttributes", []))
        assert wanted <= columns(name.removesuffix("Table")), name


# Together they write items of every kind.
PLAYED = (
    "edited_by_an_operator", "discarded_by_an_operator", "filter_that_leaves_some", "one_of_each",
    "drained_in_order", "delivered_twice", "lease_that_was_lost",
    "redriven_before_it_is_marked_dead",
)  # fmt: skip


def test_every_column_that_is_written_is_told():
    written_to: dict[str, set[str]] = {}

    def look(*_):
        for name, table in dynamodb_backends[ACCOUNT][REGION].tables.items():
            for item in table.all_items():
                written_to.setdefault(name, set()).update(item.attrs)
        return True

    for name in PLAYED:
        with MotoStack() as moto:
            moto.before_state = look
            world = World(moto)
            try:
                SCENARIOS[name].play(world)
                look()
            finally:
                world.close()

    assert {"receipt_handles", "held_by", "round", "working", "lane_0"} <= written_to["Runs"]
    assert {"parked_at", "tries"} <= written_to["Groups"]
    for table, found in written_to.items():
        told = {re.sub(r"^(lane|settled)_\d+$", r"\1_", name) for name in found}
        assert told <= columns(table), table


@pytest.mark.parametrize("table", ["Messages", "Groups", "Runs", "Audit", "Users", "Accounts"])
def test_every_column_that_is_told_is_written_somewhere(table):
    sources = " ".join([*(path.read_text(encoding="utf-8") for path in CODE), *ASL])

    assert [word for word in columns(table) if not re.search(rf"\b{word}\b", sources)] == []


@pytest.mark.tables
def test_every_error_code_is_told():
    def kinds(kind):
        return [kind, *(found for child in kind.__subclasses__() for found in kinds(child))]

    ours = [error for error in kinds(Refusal) if "code" in vars(error) and _is_shipped(error)]
    by_code: dict[tuple[str, int], list[str]] = {}
    for error in sorted(ours, key=lambda error: (error.code, error.__name__)):
        status = next(status for kind, status in api._STATUSES.items() if issubclass(error, kind))
        by_code.setdefault((error.code, int(status)), []).append(error.__doc__.splitlines()[0])
    tables.hold(
        "codes",
        ("code", "status", "meaning"),
        [(f"`{code}`", status, " ".join(said)) for (code, status), said in by_code.items()],
        PAGE,
    )


@pytest.mark.tables
def test_every_field_of_the_api_is_told_as_the_openapi_document_tells_it():
    assert show_docs  # every route's models are known by now
    tables.hold(
        "fields",
        ("field", "meaning"),
        [(f"`{name}`", meaning) for name, meaning in sorted(FIELDS.items(), key=_by_field)],
        PAGE,
    )


def _is_shipped(error):
    return error.__module__.partition(".")[0] in ("workflows", "lambdas")


def _by_field(item):
    name, _ = item
    return name.rpartition(".")[2], name

"""Imports go one way: `lambdas` calls `workflows`, and there each package what stands below it."""

import ast
from pathlib import Path

import pytest

# From the top down; what stands on one line does not know of each other.
LAYERS = [
    {"recovery"},
    {"operator"},
    {"redrive"},
    {"send", "consume", "retry"},
    {"groups"},
    {"ledger"},
    {"queues"},
    {"messages"},
    {"access"},
    {"runtime"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}".split(".") for alias in node.names)


@pytest.mark.parametrize("path", sorted(Path("workflows").rglob("[a-z]*.py")), ids=str)
def test_module_imports_only_what_stands_below_it(path):
    own = path.relative_to("workflows").parts[0].removesuffix(".py")

    for top, name, *_ in imported(path):
        assert top not in ("lambdas", "local", "tests")
        assert top != "workflows" or name == own or LEVEL[name] > LEVEL[own], f"{own} uses {name}"


def test_each_part_has_its_level():
    parts = {path.stem for path in Path("workflows").iterdir() if path.name[0] not in "_."}

    assert parts == LEVEL.keys()

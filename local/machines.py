"""The state machines under the short names by which the mock configuration file knows them."""

import json
import re
from dataclasses import dataclass
from typing import Any

from local.stack import ROOT

MOCK_CONFIG = ROOT / "tests" / "machines" / "paths" / "MockConfigFile.json"
# AWS's Step Functions Local has this account unless told otherwise; ours is told.
ACCOUNT = "123456789012"

_SUBSTITUTION = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Machine:
    """A file of `statemachines/`, and the substitutions on which the paths of its cases depend."""

    file: str
    values: dict[str, str]

    def text(self) -> str:
        """Return the file as it is."""
        path = ROOT / "statemachines" / f"{self.file}.asl.json"
        return path.read_text(encoding="utf-8")

    def definition(self, values: dict[str, str]) -> str:
        """Return the definition with its substitutions made.

        Args:
            values: of the substitutions that are not the machine's own.

        Raises:
            KeyError: one is not given.
        """
        given = values | self.values
        return _SUBSTITUTION.sub(lambda found: json.dumps(given[found[1]])[1:-1], self.text())

    def values_in(self, deployed: str) -> dict[str, str]:
        """Return what a deployed definition has for each substitution.

        Raises:
            ValueError: the definition is not made of this file.
        """
        found: dict[str, str] = {}
        _compare(json.loads(self.text()), json.loads(deployed), found, f"{self.file}.asl.json")
        return found


# What the template substitutes for each of its parameter's `RedriveLaneType`.
STANDARD_LANES = {
    "RedriveLaneType": "STANDARD",
    "RunLaneResource": "arn:aws:states:::states:startExecution.sync:2",
    "NotTriedAgain": "StepFunctions.ExecutionAlreadyExistsException",
}
EXPRESS_LANES = {
    "RedriveLaneType": "EXPRESS",
    "RunLaneResource": "arn:aws:states:::aws-sdk:sfn:startSyncExecution",
    "NotTriedAgain": "States.TaskFailed",
}
MACHINES = {
    "retry": Machine("retry", {"OnDeadLetter": "hold"}),
    "retry-continue": Machine("retry", {"OnDeadLetter": "continue"}),
    "redrive-lane": Machine("redrive_lane", {}),
    "redrive": Machine("redrive", STANDARD_LANES),
    "redrive-express": Machine("redrive", EXPRESS_LANES),
}


def _compare(shipped: Any, deployed: Any, found: dict[str, str], where: str) -> None:
    if (
        isinstance(shipped, dict)
        and isinstance(deployed, dict)
        and shipped.keys() == deployed.keys()
    ):
        for name in shipped:
            _compare(shipped[name], deployed[name], found, f"{where}, {name}")
    elif isinstance(shipped, list) and isinstance(deployed, list) and len(shipped) == len(deployed):
        for one, other in zip(shipped, deployed, strict=True):
            _compare(one, other, found, where)
    elif isinstance(shipped, str) and isinstance(deployed, str):
        match = _pattern(shipped).fullmatch(deployed)
        if not match:
            raise ValueError(f"The definition is not of {where}: {deployed[:200]!r}")
        found |= match.groupdict()
    elif shipped != deployed:
        raise ValueError(f"The definition is not of {where}: {str(deployed)[:200]!r}")


def _pattern(shipped: str) -> re.Pattern[str]:
    """Return the pattern of a text in which each `${Name}` may be anything, but always the same."""
    parts: list[str] = []
    seen: set[str] = set()
    for number, part in enumerate(_SUBSTITUTION.split(shipped)):
        if number % 2 == 0:
            parts.append(re.escape(part))
        else:
            parts.append(f"(?P={part})" if part in seen else f"(?P<{part}>.*?)")
            seen.add(part)
    return re.compile("".join(parts), re.DOTALL)

"""What a test case of the mock configuration file is expected to do."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A test case by the machine and the name that it has in the file.

    `path` are the states it enters, in order, from the input `given`; `output` what its output
    holds among other things. `again` is a way that it may take several times in a row and that
    `path` has once: engines may shorten waits, but not the time that a machine waits for.
    """

    machine: str
    name: str
    path: list[str]
    given: dict[str, Any] = field(default_factory=dict)
    status: str = "SUCCEEDED"
    error: str | None = None
    output: dict[str, Any] = field(default_factory=dict)
    again: tuple[str, ...] = ()
    execution_name: str | None = None

    def __str__(self) -> str:
        return f"{self.machine}-{self.name}"

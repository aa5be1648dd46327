"""Findings of scanners, and the reasons for leaving some of them."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

REASONS = Path(__file__).with_name("reasons.toml")


@dataclass(frozen=True, order=True)
class Finding:
    """What a tool says: `rule` is its name of the rule, `where` a file or a resource."""

    tool: str
    rule: str
    where: str
    says: str = ""

    def __str__(self) -> str:
        return f"{self.tool} {self.rule} {self.where}: {self.says}"


@dataclass(frozen=True)
class Reason:
    """Why findings are left: of a tool and a rule, wherever one of the patterns fits."""

    tool: str
    rule: str
    where: tuple[str, ...]
    why: str

    def fits(self, finding: Finding) -> bool:
        """Tell whether it is a reason for a finding."""
        return (finding.tool, finding.rule) == (self.tool, self.rule) and any(
            fnmatchcase(finding.where, pattern) for pattern in self.where
        )


def read(path: Path = REASONS) -> list[Reason]:
    """Return the reasons of a file: tables of `where` and `why` by rule, and these by tool.

    Raises:
        ValueError: one says nothing.
    """
    tools: dict[str, dict[str, list[dict[str, Any]]]] = tomllib.loads(path.read_text("utf-8"))
    found = [
        Reason(tool, rule, tuple(one["where"]), one["why"])
        for tool, rules in tools.items()
        for rule, given in rules.items()
        for one in given
    ]
    for reason in found:
        if not reason.why.strip() or not reason.where:
            raise ValueError(f"{reason.tool} {reason.rule} has no reason, or is nowhere.")
    return found


def problems(
    findings: Iterable[Finding], reasons: Iterable[Reason], tools: Iterable[str]
) -> list[str]:
    """Return what has to be mended: findings without a reason, and reasons that nothing needs.

    Args:
        findings: of the tools.
        reasons: those of `read`.
        tools: those that ran; another's reasons are left alone.
    """
    found, given = sorted(set(findings)), [one for one in reasons if one.tool in set(tools)]
    new = [f"New: {one}" for one in found if not any(reason.fits(one) for reason in given)]
    idle = [
        f"No longer needed: the reason for {one.tool} {one.rule} at {pattern}"
        for one in given
        for pattern in one.where
        if not any(Reason(one.tool, one.rule, (pattern,), "").fits(found_) for found_ in found)
    ]
    return new + idle

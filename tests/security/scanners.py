"""The scanners: how each is run, and what it found.

bandit reads the code, zizmor the workflows, checkov and cdk-nag (its AwsSolutions rules) the
template, pip-audit the locks of packages; the last needs the network.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.security.findings import Finding
from tests.security.scanned_template import DEFAULT, SWITCHED, transformed

_BIN = Path(".venv-security/bin")
_NAG = Path(__file__).with_name("cdk_nag") / "nag.mjs"
_LOCKS = ("lambdas/requirements.txt", "requirements-dev.txt")
_NO_NETWORK = re.compile("ConnectionError|NameResolution|Max retries exceeded|Temporary failure")
_SECONDS = 300


class ScannerFailed(Exception):
    """A scanner did not say what it found."""


class NotReached(Exception):
    """A scanner needs a service that this machine does not reach."""


def bandit() -> Iterator[Finding]:
    """Look for what is risky in Python."""
    report = _report([_BIN / "bandit", "-q", "-r", "workflows", "lambdas", "local", "-f", "json"])
    for one in report["results"]:
        says = f"line {one['line_number']}: {one['issue_text']}"
        yield Finding("bandit", one["test_id"], one["filename"].removeprefix("./"), says)


def zizmor() -> Iterator[Finding]:
    """Look for what is risky in the workflows of CI."""
    command = [_BIN / "zizmor", "--offline", "--no-progress", "--persona", "auditor"]
    for one in _report([*command, "--format", "json", ".github"]):
        for location in one["locations"]:
            name = location["symbolic"]["key"]["Local"]["verbatim_path"]
            yield Finding("zizmor", one["ident"], Path(name).name, one["desc"])


def checkov() -> Iterator[Finding]:
    """Look for what is risky in the template, by checkov's rules."""
    command = [_BIN / "checkov", "--framework", "cloudformation", "--skip-download", "--quiet"]
    for path in _templates():
        for one in _report([*command, "-o", "json", "-f", path])["results"]["failed_checks"]:
            where = one["resource"].rpartition(".")[2]
            yield Finding("checkov", one["check_id"], where, one["check_name"])


def cdk_nag() -> Iterator[Finding]:
    """Look for what is risky in the template, by the AwsSolutions rules of cdk-nag."""
    for path in _templates():
        for one in _report([".venv/bin/node", _NAG, path]):
            rule, _, about = one["ruleName"].partition("[")
            for resource in one["violatingResources"]:
                # What a wildcard stands for is a part of where it is.
                where = f"{resource['constructPath'].rpartition('/')[2]} {about.rstrip(']')}"
                yield Finding("cdk-nag", rule, where.strip(), one["description"])


def pip_audit() -> Iterator[Finding]:
    """Look for packages with known vulnerabilities.

    Raises:
        NotReached: there is no network.
    """
    command = [_BIN / "pip-audit", "--disable-pip", "--require-hashes", "-f", "json", "-r"]
    for lock in _LOCKS:
        packages = _report([*command, lock])["dependencies"]
        if all("skip_reason" in package for package in packages):
            raise NotReached
        for package in packages:
            for one in package.get("vulns", []):
                yield Finding("pip-audit", one["id"], package["name"], package["version"])


SCANNERS = {
    "bandit": bandit,
    "zizmor": zizmor,
    "checkov": checkov,
    "cdk-nag": cdk_nag,
    "pip-audit": pip_audit,
}


def _templates() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        for number, parameters in enumerate((DEFAULT, SWITCHED)):
            path = Path(folder) / f"template-{number}.json"
            path.write_text(json.dumps(transformed(parameters)), encoding="utf-8")
            yield path


def _report(command: list[Any]) -> Any:
    """Return what a scanner prints; its exit status says only whether it found something."""
    run = subprocess.run(  # noqa: S603 - of this file
        [str(part) for part in command],
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    try:
        return json.loads(run.stdout)
    except ValueError:
        if _NO_NETWORK.search(run.stderr):
            raise NotReached from None
        raise ScannerFailed(f"{command[0]}: {run.stderr[-2_000:]}") from None

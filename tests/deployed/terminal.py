"""A person's terminals: interactive shells into which blocks of a page are pasted.

A shell that reads a script forgives what a terminal does not: an interactive zsh knows no
comments, so that `curl $api/x  # like this` sends requests to `#`, `like` and `this`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.deadline import wait_until
from local.stack import ROOT
from tests.support.scratch_project import scratch_project

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "--noediting", "-i"],
    "zsh": ["zsh", "-f", "-i", "+o", "PROMPT_SP"],
}
_SECONDS = 120.0
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)  # in a list, too
# In the place of curl: the same request by the real one, whose answer is noted.
_CURL = f"""#!{sys.executable}
import json, os, subprocess, sys, tempfile

with tempfile.NamedTemporaryFile() as body:
    done = subprocess.run(
        [os.environ["REAL_CURL"], *sys.argv[1:], "-o", body.name, "-w", "%{{http_code}} "],
        stdout=subprocess.PIPE, text=True,
    )
    text = body.read().decode()
with open(os.environ["CURL_LOG"], "a") as log:
    log.write(json.dumps([done.stdout.split(), text]) + "\\n")
print(text, end="")
sys.exit(done.returncode)
"""
# AWS's command line is no package of ours: the same operation with the same options, by boto3.
_AWS = f"""#!{sys.executable}
import json, sys
import boto3, jmespath
from botocore.config import Config

service, operation, *rest = sys.argv[1:]
options = {{name.removeprefix("--"): rest[n + 1] for n, name in enumerate(rest) if n % 2 == 0}}
query, output = options.pop("query", "@"), options.pop("output", "json")
client = boto3.client(
    service, endpoint_url=options.pop("endpoint-url"), region_name=options.pop("region"),
    aws_access_key_id="any", aws_secret_access_key="any", config=Config(proxies={{}}),
)
words = operation.split("-")
model = client.meta.service_model.operation_model("".join(word.capitalize() for word in words))
names = {{name.lower(): name for name in model.input_shape.members}}
given = {{names[name.replace("-", "").lower()]: value for name, value in options.items()}}
found = jmespath.search(query, getattr(client, "_".join(words))(**given))
print(found if output == "text" else json.dumps(found, default=str))
"""


@dataclass(frozen=True)
class Answer:
    """What one curl of a block brought: the statuses of its requests, one if all is well."""

    statuses: list[str]
    text: str

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.text)


def blocks(page: str) -> list[str]:
    """Return the blocks of a page that are for a shell, in their order."""
    found = _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [textwrap.dedent(block) for _, block in found]


class Desk:
    """A folder with the project, and the environment of every terminal that is open in it."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.root = _checkout(folder / "project")
        self.shell = shell
        self.curl_log = folder / "curl.log"
        self.curl_log.touch()
        tools = folder / "bin"
        tools.mkdir()
        for name, text in (("curl", _CURL), ("aws", _AWS)):
            (tools / name).write_text(text, encoding="utf-8")
            (tools / name).chmod(0o755)
        kept = {name: os.environ[name] for name in ("LANG", "HOME") if name in os.environ}
        self.environment = kept | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "REAL_CURL": shutil.which("curl") or "curl",
            "CURL_LOG": str(self.curl_log),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "TERM": "dumb",
            "PORT": "0",  # any that is free
            **dict.fromkeys(("PS1", "PS2", "PROMPT", "PROMPT_COMMAND", "MAKEFLAGS"), ""),
        }

    @contextmanager
    def terminal(self) -> Iterator["Terminal"]:
        """Open a terminal, and close it as one does: what runs in it is interrupted."""
        terminal = Terminal(self)
        try:
            yield terminal
        finally:
            terminal.close()

    def answers(self, since: int) -> list[Answer]:
        """Return what curl brought, after so many lines of its log."""
        lines = self.curl_log.read_text(encoding="utf-8").splitlines()
        return [Answer(*json.loads(line)) for line in lines[since:]]


class Terminal:
    """One interactive shell; what it and its programs write is in `screen`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._file = desk.curl_log.with_name(f"screen-{id(self)}")
        self._pasted = 0
        with self._file.open("wb") as screen:
            self._process = subprocess.Popen(  # noqa: S603 - a shell, and what our pages say
                SHELLS[desk.shell],
                cwd=desk.root,
                env=desk.environment,
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.paste("")  # bash says that it has no terminal; that is not the block's

    @property
    def screen(self) -> str:
        """All that stands in the terminal."""
        return self._file.read_text(encoding="utf-8", errors="replace")

    def paste(self, block: str) -> tuple[str, list[Answer]]:
        """Paste lines, wait until they are done, and return what they wrote and what curl got."""
        before, calls = len(self.screen), len(self._desk.answers(0))
        self._pasted += 1
        done = f"pasted-{self._pasted} "
        self.type(f"{block}\nprintf '%s%s\\n' {done[:3]}'{done[3:]}' $?\n")
        wait_until(lambda: done in self.screen, _SECONDS, f"done: {block}")
        return self.screen[before:].partition(done)[0], self._desk.answers(calls)

    def type(self, text: str) -> None:
        """Type lines and go on at once."""
        assert self._process.stdin
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """Press Ctrl-C, and end the shell."""
        os.killpg(self._process.pid, signal.SIGINT)
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)


def _checkout(folder: Path) -> Path:
    """Copy what a person has after `git clone`, whose environment was made before."""
    scratch_project(folder)
    for name in ("Makefile", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder / name)
    mocks = Path("tests/machines/paths/MockConfigFile.json")
    (folder / mocks).parent.mkdir(parents=True)
    shutil.copy(ROOT / mocks, folder / mocks)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".installed":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv" / ".installed").touch()
    return folder

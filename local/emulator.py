"""The AWS emulator, MiniStack, as one process group on 127.0.0.1 that leaves nothing behind."""

import contextlib
import errno
import json
import os
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local import ministack_latency, ministack_quirks
from local.deadline import DeadlineMissed, wait_until

HOST = "127.0.0.1"
REGION = "us-east-1"
ACCESS_KEY = "test"  # MiniStack's root user, also under IAM enforcement

_ROOT = Path(__file__).parent.parent
_START_SECONDS = 60.0  # a cold disk on a busy machine; 1 to 2 s are usual


class PortTaken(Exception):
    """Something else listens on the port, or this user may not."""


class EmulatorFailed(Exception):
    """The emulator ended, or did not become ready."""


class Emulator:
    """One MiniStack process with its Lambda workers, all in one process group.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        enforce_iam: let every Lambda do only what its role allows.
        wait_scale: factor on the state machines' Wait states and retry intervals.
        latency_ms: how much longer each Task of a machine takes, and 0.4 of it each Choice.
        settings: more environment variables of MiniStack, such as `SFN_MOCK_CONFIG`.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        enforce_iam: bool = False,
        wait_scale: float | None = None,
        latency_ms: float = 0,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.port = port
        self.directory = Path()
        self._wanted_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = dict(settings or {})
        if enforce_iam:
            self._settings["AUTH"] = "true"
        if wait_scale is not None:
            self._settings["SFN_WAIT_SCALE"] = str(wait_scale)
        if latency_ms:
            self._settings[ministack_latency.VARIABLE] = str(latency_ms)

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process group of the emulator while it runs."""
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        """Say whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            PortTaken: at once, if the port asked for is in use.
            EmulatorFailed: with the end of the log, if it does not come up.
        """
        listener = self._listen()
        try:
            with listener:
                self.port = listener.getsockname()[1]
                self._spawn(listener)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the whole process group and remove its directory; harmless when not running."""
        if self._process:
            # Nothing in there is worth a grace period, and the workers must not outlive it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
            self._process = None
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        """Return what the emulator has written so far, the output of failed Lambdas included."""
        try:
            return (self.directory / "ministack.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def get(self, path: str) -> bytes:
        """Return the body of one of the emulator's own pages, such as `/_ministack/sqs/messages`.

        Raises:
            OSError: it does not answer, or not with 200.
        """
        return self._call("GET", path)

    def scale_waits(self, factor: float) -> None:
        """Scale Wait states and retry intervals from now on; 1 is real time."""
        body = json.dumps({"stepfunctions._SFN_WAIT_SCALE": factor}).encode()
        self._call("POST", "/_ministack/config", body)

    def mock_states(self, config: dict[str, Any]) -> None:
        """Take test cases in Step Functions Local's format; they replace all earlier ones."""
        body = json.dumps({"stepfunctions._sfn_mock_config": config}).encode()
        self._call("POST", "/_ministack/config", body)

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """Return what lies on a queue, in or out of flight, oldest first, without receiving it."""
        path = f"/_ministack/sqs/messages?QueueUrl={quote(queue_url, safe='')}"
        return [
            message
            for regions in json.loads(self.get(path))["messages"].values()
            for queues in regions.values()
            for messages in queues.values()
            for message in messages
        ]

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        except HTTPException as error:
            raise OSError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content

    def _listen(self) -> socket.socket:
        """Take the port for the emulator, before it starts.

        A port that is merely found free may be another emulator's by the time ours listens, and
        then that one would answer in its place.
        """
        try:
            return socket.create_server((HOST, self._wanted_port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is already in use" if taken else f"cannot be used: {error.strerror}"
            raise PortTaken(f"Port {self._wanted_port} on {HOST} {why}.") from error

    def _spawn(self, listener: socket.socket) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="local-stack-"))
        with (self.directory / "ministack.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command(listener.fileno()),
                cwd=_ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # out of reach of the terminal's Ctrl-C: we stop it
            )

    def _wait_until_ready(self) -> None:
        try:
            wait_until(self._is_ready, _START_SECONDS, "the emulator answers")
        except DeadlineMissed as missed:
            raise EmulatorFailed(f"{missed} Its log ends:\n{self.log()[-2000:]}") from missed

    def _is_ready(self) -> bool:
        if not self.is_running():
            raise EmulatorFailed(f"The emulator ended; its log ends:\n{self.log()[-2000:]}")
        try:
            self.get("/_ministack/ready")
        except OSError:
            return False
        return True

    def _command(self, listener: int) -> list[str]:
        directory = str(self.directory)
        return [sys.executable, "-m", "local.ministack_child", directory, str(listener)]

    def _environment(self) -> dict[str, str]:
        """Return a small environment: the Lambda workers inherit all of it."""
        directory = str(self.directory)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": directory,
            "TMPDIR": directory,
            # The packages of the Lambdas come from this interpreter, wherever it finds them.
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONUSERBASE": site.getuserbase(),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "MINISTACK_REGION": REGION,
            **ministack_quirks.environment(self.port, directory),
            **self._settings,
        }

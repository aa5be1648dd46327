"""The start-up of a Lambda: its imports, and the clients that its first request needs.

Beside a service in one Lambda that does the same (`bench_original`), each in a process of its own,
in turn. What counts is the time of the processor, which other work on this computer disturbs least;
bytecode is there, as it is in what `sam build` packs. The packages are those of a Lambda, in an
environment of their own: `.venv-bench`.
"""

import os
import statistics
import subprocess
import tempfile

from local.bench_tables import Part
from local.stack import ROOT

PYTHON = ROOT / ".venv-bench" / "bin" / "python"
_SERVICE = "bench_original"
# What the first request of each needs, of `workflows.runtime.aws`.
_CLIENTS = {
    "send_message": ("dynamodb", "sqs"),
    "log_in": ("dynamodb", "secrets"),
    "authorize_request": ("secrets", "typed_dynamodb"),
    "consume_messages": ("dynamodb",),
}
_TIMED = "import time; began = time.process_time(); {}; print(time.process_time() - began)"


def measure(rounds: int) -> Part:
    """Start each so often, and return the table of the medians."""
    starts = {_SERVICE: "import local.bench_original"} | {
        name: _start(name, clients) for name, clients in _CLIENTS.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    with tempfile.TemporaryDirectory() as bytecode:
        for code in starts.values():
            _seconds(code, bytecode)  # compiles it
        for _ in range(rounds):
            for name, code in starts.items():
                seconds[name].append(_seconds(code, bytecode))
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return Part(
        "startup",
        "Start-up of a Lambda: import, and the clients that its first request needs, beside a"
        " service in one Lambda (FastAPI, Mangum, pydantic, PyJWT, boto3).",
        ("start of", "CPU, ms", "ratio"),
        [
            (name, f"{1_000 * found:.0f}", f"{found / medians[_SERVICE]:.2f}")
            for name, found in medians.items()
        ],
    )


def _start(function: str, clients: tuple[str, ...]) -> str:
    calls = "; ".join(f"aws.{client}()" for client in clients)
    return f"import lambdas.{function}; from workflows.runtime import aws; {calls}"


def _seconds(code: str, bytecode: str) -> float:
    environment = {
        "PATH": os.defpath,
        "PYTHONPYCACHEPREFIX": bytecode,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    done = subprocess.run(  # noqa: S603 - our own code
        [PYTHON, "-c", _TIMED.format(code)],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)

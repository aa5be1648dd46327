"""`.local/stack.json`: what another process needs to know to use the running stack."""

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class StateFile:
    """The description of a running stack, at one path; it holds passwords of this start only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any] | None:
        """Return the description, or None when there is none to be understood."""
        try:
            value = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def live_owner(self) -> str | None:
        """Return the endpoint of the stack described, if something listens there."""
        endpoint = (self.read() or {}).get("endpoint_url")
        if not isinstance(endpoint, str):
            return None
        address = urlsplit(endpoint)
        try:
            with socket.create_connection((address.hostname, address.port or 80), timeout=1):
                return endpoint
        except OSError:
            return None

    def write(self, description: dict[str, Any]) -> None:
        """Write the description so that a reader sees all of it or nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.tmp")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        draft.replace(self.path)

    def remove(self, endpoint_url: str) -> None:
        """Remove the file if it describes the stack at `endpoint_url`, and its empty folder."""
        if (self.read() or {}).get("endpoint_url") == endpoint_url:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

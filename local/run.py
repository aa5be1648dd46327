"""`make run`: serve the local stack in the foreground until Ctrl-C."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from local.deployment import DeploymentFailed
from local.emulator import EmulatorFailed, PortTaken
from local.stack import STATE_FILE, Stack
from local.state_file import StateFile

DEFAULT_PORT = 4566


def main() -> int:
    """Run the stack on `PORT` and return the exit code: 0 when stopped, 1 when it cannot start."""
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background ignores the second
        signal.signal(number, _stop)
    try:
        port = port_of(os.environ.get("PORT", ""))
        other = StateFile(STATE_FILE).live_owner()
        # BIND_HOST is for a container only, where nobody else can reach loopback.
        bind_host = os.environ.get("BIND_HOST")
        with Stack(
            port,
            state_file=STATE_FILE,
            settings={"BIND_HOST": bind_host} if bind_host else None,
        ) as stack:
            if other:
                print(f"Note: {STATE_FILE.name} described the stack at {other}; now this one.")
            print(greeting(stack), flush=True)
            _wait_until_it_ends(stack)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 0
    except (PortTaken, EmulatorFailed, DeploymentFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def port_of(text: str) -> int:
    """Return the port that `PORT` names, 4566 if it is empty.

    Raises:
        ValueError: in one sentence.
    """
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise ValueError(f"PORT must be a number up to 65535 (0 takes a free one), not {text!r}.")
    return int(text)


def greeting(stack: Stack) -> str:
    """Return what a person needs to begin with."""
    producer, operator = stack.users["producer"], stack.users["operator"]
    return f"""\
API        {stack.api_url}
Docs       {stack.api_url}/docs
AWS        {stack.endpoint_url}   (AWS_ENDPOINT_URL; any credentials, region us-east-1)
Details    {STATE_FILE}

Sign in    {producer["email"]}   {producer["password"]}   sends and reads
           {operator["email"]}   {operator["password"]}   also redrives
           The passwords are new at each start.

Try it:
  API={stack.api_url}
  JSON='Content-Type: application/json'
  TOKEN=$(curl -s $API/users/login -H "$JSON" \\
    -d '{{"email": "{operator["email"]}", "password": "{operator["password"]}"}}' \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  curl -s $API/messages/send -H "$JSON" -H "Authorization: Bearer $TOKEN" \\
    -d '{{"type": "transaction", "payload": {{"account_id": "acc-1", "kind": "credit",
         "amount": "10.00", "currency": "EUR"}}}}'
  curl -s $API/messages/status -H "Authorization: Bearer $TOKEN"

Ctrl-C stops it and removes everything."""


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _wait_until_it_ends(stack: Stack) -> NoReturn:
    """Wait for a signal, or for the emulator to die by itself."""
    never = threading.Event()
    while not never.wait(1):
        if not stack.emulator.is_running():
            raise EmulatorFailed(f"The emulator ended; its log ends:\n{stack.log()[-2000:]}")
    raise AssertionError("nobody sets this event")


if __name__ == "__main__":
    sys.exit(main())

"""`make run`: serve the local stack in the foreground until Ctrl-C."""

import os
import sys

from local import foreground
from local.stack import STATE_FILE, Stack
from local.state_file import StateFile

DEFAULT_PORT = 4566


def main() -> int:
    """Run the stack on `PORT` and return the exit code: 0 when stopped, 1 when it cannot start."""
    other = StateFile(STATE_FILE).live_owner()
    note = f"Note: {STATE_FILE.name} described the stack at {other}; now this one.\n"
    return foreground.serve(_stack, lambda stack: (note if other else "") + greeting(stack))


def _stack() -> Stack:
    # BIND_HOST is for a container only, where nobody else can reach loopback.
    bind_host = os.environ.get("BIND_HOST")
    return Stack(
        foreground.port_or(DEFAULT_PORT),
        state_file=STATE_FILE,
        settings={"BIND_HOST": bind_host} if bind_host else None,
    )


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


if __name__ == "__main__":
    sys.exit(main())

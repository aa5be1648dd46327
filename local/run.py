"""`make run`: serve the local stack in the foreground until Ctrl-C."""

import json
import os
import shlex
import sys

from local import env_file, foreground, ministack_latency
from local.stack import STATE_FILE, Stack
from local.state_file import StateFile

DEFAULT_PORT = 4566


def main() -> int:
    """Run the stack on `PORT` and return the exit code: 0 when stopped, 1 when it cannot start."""
    other = StateFile(STATE_FILE).live_owner()
    note = f"Note: {STATE_FILE.name} described the stack at {other}; now this one.\n"
    return foreground.serve(_stack, lambda stack: (note if other else "") + greeting(stack))


def _stack() -> Stack:
    env_file.load()
    # BIND_HOST is for a container only, where nobody else can reach loopback.
    bind_host = os.environ.get("BIND_HOST")
    return Stack(
        foreground.port_or(DEFAULT_PORT),
        latency_ms=ministack_latency.milliseconds(os.environ.get("LATENCY_MS", "")),
        state_file=STATE_FILE,
        operator=_operator(),
        settings={"BIND_HOST": bind_host} if bind_host else None,
    )


def _operator() -> dict[str, str]:
    """Return what the settings say of the first operator."""
    names = {"email": "APP_USER_EMAIL", "password": "APP_USER_PASSWORD"}
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}


def greeting(stack: Stack) -> str:
    """Return what a person needs to begin with."""
    producer, operator = stack.users["producer"], stack.users["operator"]
    return f"""\
API        {stack.api_url}
Docs       {stack.endpoint_url}/docs
AWS        {stack.endpoint_url}   (AWS_ENDPOINT_URL; any credentials, region us-east-1)
Details    {STATE_FILE}

Sign in    {producer["email"]}   {producer["password"]}   sends and reads
           {operator["email"]}   {operator["password"]}   also redrives
           A password that no setting gives (.env.sample) is new at each start.

Try it:
  API={stack.api_url}
  JSON='Content-Type: application/json'
  TOKEN=$(curl -s $API/users/login -H "$JSON" \\
    -d {shlex.quote(json.dumps(operator))} \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  curl -s $API/messages/send -H "$JSON" -H "Authorization: Bearer $TOKEN" \\
    -d '{{"type": "transaction", "payload": {{"account_id": "acc-1", "kind": "credit",
         "amount": "10.00", "currency": "EUR"}}}}'
  curl -s $API/messages/status -H "Authorization: Bearer $TOKEN"

Ctrl-C stops it and removes everything."""


if __name__ == "__main__":
    sys.exit(main())

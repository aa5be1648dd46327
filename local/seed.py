"""The two users of a local stack, made by the code that makes users.

`python -m local.seed` runs apart from the process that started the stack, because `workflows`
reads its settings from the environment, once; the users come on standard input, so that no
password shows in a list of processes.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

ROLES = {"operator": ["operator"], "producer": ["producer"]}
_SECONDS = 30.0


class UsersRefused(Exception):
    """The users could not be added; the text says why."""


def new_users(operator: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    """Return one user a role, with a password that was never used before.

    Args:
        operator: email or password of the operator, or both, to be these.
    """
    users = {
        role: {"email": f"{role}@example.com", "password": secrets.token_urlsafe(16)}
        for role in ROLES
    }
    users["operator"] |= operator or {}
    return users


def add_users(root: Path, environment: dict[str, str], users: dict[str, dict[str, str]]) -> None:
    """Put users into the deployed `Users` table.

    Args:
        root: the project's folder.
        environment: the settings of the deployed functions, and access to the emulator.
        users: email and password by role.

    Raises:
        UsersRefused: with what the other process wrote.
    """
    done = subprocess.run(
        [sys.executable, "-m", "local.seed"],
        cwd=root,
        env=environment,
        input=json.dumps(users).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        raise UsersRefused(f"Could not add the users: {said}")


def function_settings(lambda_client: Any) -> dict[str, str]:
    """Return the environment variables of all deployed functions, in one."""
    settings: dict[str, str] = {}
    for page in lambda_client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            settings |= function.get("Environment", {}).get("Variables", {})
    return settings


def own_environment(endpoint_url: str, region: str, access_key: str) -> dict[str, str]:
    """Return the environment of a process that may do everything in the emulator."""
    inherited = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    return inherited | {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": access_key,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _add(users: dict[str, dict[str, str]]) -> None:
    from workflows.operator.user_changes import add_user

    for role, user in users.items():
        try:
            add_user(user["email"], user["password"], ROLES[role])
        except ValueError as error:  # `InvalidUser`
            sys.exit(f"{role}: {error}")


if __name__ == "__main__":
    _add(json.load(sys.stdin))

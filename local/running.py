"""The running local stack, for a command in another terminal."""

import os
from typing import Any

import boto3

from local.emulator import ACCESS_KEY
from local.stack import STATE_FILE
from local.state_file import StateFile


class NotRunning(Exception):
    """No local stack is running: start one with `make run`."""


def connect() -> dict[str, Any]:
    """Let boto3's default session be that of the running stack, and return its description.

    Raises:
        NotRunning: there is none.
    """
    state = StateFile(STATE_FILE)
    endpoint, stack = state.live_owner(), state.read()
    if endpoint is None or stack is None:
        raise NotRunning(NotRunning.__doc__)
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    os.environ["NO_PROXY"] = "127.0.0.1"
    # Explicit, so that your AWS profile and its credentials have no say.
    boto3.setup_default_session(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=ACCESS_KEY,
        region_name=stack["region"],
    )
    return stack

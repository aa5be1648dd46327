"""Serving a local stack in the foreground until Ctrl-C."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from local.deployment import DeploymentFailed
from local.emulator import EmulatorFailed, PortTaken
from local.seed import UsersRefused
from local.stack import Stack


def serve(make: Callable[[], Stack], greet: Callable[[Stack], str]) -> int:
    """Serve a stack and return the exit code: 0 when stopped, 1 when it cannot start.

    Args:
        make: the stack, not entered yet; a ValueError of it is told like the others.
        greet: what a person needs to begin with, once it is deployed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background ignores the second
        signal.signal(number, _stop)
    try:
        with make() as stack:
            print(greet(stack), flush=True)
            _wait_until_it_ends(stack)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 0
    except (PortTaken, EmulatorFailed, DeploymentFailed, UsersRefused, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def port_or(default: int) -> int:
    """Return the port that `PORT` names, or the default if it is empty.

    Raises:
        ValueError: in one sentence.
    """
    text = os.environ.get("PORT", "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise ValueError(f"PORT must be a number up to 65535 (0 takes a free one), not {text!r}.")
    return int(text)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _wait_until_it_ends(stack: Stack) -> NoReturn:
    """Wait for a signal, or for the emulator to die by itself."""
    never = threading.Event()
    while not never.wait(1):
        if not stack.emulator.is_running():
            raise EmulatorFailed(f"The emulator ended; its log ends:\n{stack.log()[-2000:]}")
    raise AssertionError("nobody sets this event")

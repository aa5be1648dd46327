"""Time that AWS takes for a state and MiniStack does not: `LATENCY_MS`, off unless it is set.

On AWS a Task that calls SQS, DynamoDB or a warm function takes some 40 ms, and a Choice some 16
(not measured here). So a machine that is quick on the emulator may be slow there by its many small
steps, which this shows. It adds to what the emulator takes by itself.
"""

import math
import time
from collections.abc import Callable
from typing import Any

VARIABLE = "LATENCY_MS"
TASK, CHOICE = 1.0, 0.4  # shares of what is set


def milliseconds(text: str) -> float:
    """Return what a setting says; 0 for an empty one.

    Raises:
        ValueError: in one sentence.
    """
    try:
        found = float(text or "0")
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise ValueError(f"{VARIABLE} must be a number of milliseconds from 0, not {text!r}.")
    return found


def patch(stepfunctions: Any, setting: str, wait: Callable[[float], None] = time.sleep) -> None:
    """Let each Task and each Choice take longer, inside MiniStack's own process.

    Args:
        stepfunctions: MiniStack's module.
        setting: `LATENCY_MS`, as it stands in the environment.
        wait: lets so many seconds pass.
    """
    if seconds := milliseconds(setting) / 1_000:
        stepfunctions._execute_task = _after(seconds * TASK, stepfunctions._execute_task, wait)
        stepfunctions._execute_choice = _after(
            seconds * CHOICE, stepfunctions._execute_choice, wait
        )


def _after(
    seconds: float, execute: Callable[..., Any], wait: Callable[[float], None]
) -> Callable[..., Any]:
    def execute_later(*arguments: Any) -> Any:
        wait(seconds)
        return execute(*arguments)

    return execute_later

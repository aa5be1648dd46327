"""The executions of lanes' legs: what each is called, and those that a run's row tells of."""

import hashlib
from typing import Any

from workflows.runtime import executions
from workflows.runtime.settings import settings

# Of AWS's 80 letters for a name, what leaves room for the lane and the leg.
_NAME_LETTERS = 56


def leg_name(run_id: str, number: int, leg: int) -> str:
    """Return the name of the execution of a lane's leg; both are counted, the legs from 1."""
    short = run_id
    if len(run_id) > _NAME_LETTERS:
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
        short = f"{run_id[: _NAME_LETTERS - 9]}-{digest}"
    return f"{short}-l{number}-{leg}"


def arn_of(name: str) -> str:
    """Return the ARN that the execution of that name has or will have."""
    return executions.arn_of(settings().redrive_lane_state_machine_arn, name)


def of_row(row: dict[str, Any]) -> list[str]:
    """Return the ARNs of the legs that a run's row says to be the last, as far as they are known.

    None before the first.
    """
    if settings().redrive_lane_type == "EXPRESS":
        return []  # whose ARN nobody knows, and of whom Step Functions tells nothing
    run_id, numbers = str(row["run_id"]), row.get("working", ())
    return [arn_of(leg_name(run_id, int(number), int(row["round"]))) for number in numbers]

"""Attempts: how the retry machine's function takes a message for one, and notes that it failed.

Each write asks for the very attempt that the execution counted: a row that is past it is in other
hands.
"""

from dataclasses import dataclass
from typing import Any

from workflows.ledger import journey, writes
from workflows.ledger.conditions import FREE
from workflows.runtime import clock
from workflows.runtime.settings import settings

# The attempt that is in the function's hands.
_TRIED = "#status = :retrying AND attempts_total = :attempt"


@dataclass(frozen=True)
class Lease:
    """What the retry machine's function has of a message, `until` seconds since 1970.

    `sole` says that no other function's lease was running when it was taken. `body` and `redrives`
    are the ledger's.
    """

    until: int
    sole: bool
    body: str
    redrives: int = 0


def take(message_id: str, attempt: int) -> Lease | None:
    """Take a message that is being retried for one attempt, under a lease.

    `attempt` is what the execution counted. None if the row is past it, because another execution,
    a run or a person has the message: then it must not be tried. The same attempt may take it
    again, for a function whose answer was lost is called again.
    """
    wanted = {":attempt": attempt}
    until = clock.epoch() + settings().claim_lease_seconds
    won, row = _lease(message_id, until, f"{_TRIED} AND {FREE}", wanted | {":epoch": clock.epoch()})
    if won:
        return _of(row, until, sole=True)
    if "lease_until" not in row:
        return None
    running = int(row["lease_until"])
    until = max(until, running + 1)  # so that no two leases are alike
    condition = f"{_TRIED} AND lease_until = :running"
    won, row = _lease(message_id, until, condition, wanted | {":running": running})
    return _of(row, until, sole=False) if won else None


def _of(row: dict[str, Any], until: int, *, sole: bool) -> Lease:
    return Lease(until, sole, str(row.get("body", "")), int(row.get("redrives", 0)))


def _lease(
    message_id: str, until: int, condition: str, values: dict[str, Any]
) -> tuple[bool, dict[str, Any]]:
    # Not `updated_at`: it is the key of an index, whose entry would be written anew.
    return writes.update(
        message_id, "SET lease_until = :until", condition, values | {":until": until}
    )


def failed_again(
    message_id: str, reason: dict[str, str], *, final: bool, attempt: int, lease: Lease
) -> bool:
    """Record why a retry failed, and whether no further one can help (`final`).

    Says nothing if the message was taken again meanwhile. A lease that was taken while another ran
    is not ended: the other function may still be at it.

    Returns:
        whether the machine gives the message up now.
    """
    won, row = writes.update(
        message_id,
        f"SET reason = :reason, updated_at = :now, {journey.APPEND}"
        + (" REMOVE lease_until" if lease.sole else ""),
        f"{_TRIED} AND lease_until = :until",
        {
            ":reason": reason | {"final": final},
            ":attempt": attempt,
            ":until": lease.until,
        }
        | journey.values(journey.attempt_failed(attempt, reason)),
    )
    return won and (final or int(row["attempts"]) >= settings().max_attempts)

"""Who acts: the operator behind a request that changes something, for the audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.api import caller, trace_id
from workflows.ledger import audit
from workflows.runtime import telemetry


@contextmanager
def acting(
    action: audit.Action,
    asked: dict[str, Any],
    message_id: str | None = None,
    run_id: str | None = None,
) -> Iterator[audit.Actor]:
    """Give the operator who acts, and record the action if an error refuses it.

    What succeeds is recorded by the transaction that does it. Without the role, or with a request
    that cannot be read, nobody has acted: that leaves no record.

    Args:
        action: what is asked for.
        asked: what came with the request; never a payload or a body.
        message_id: the message it is about, if it is about one.
        run_id: likewise.

    Raises:
        Unauthorized: as `caller`.
        Forbidden: likewise.
    """
    operator = caller("operator")
    actor = audit.Actor(operator.email, operator.role, operator.source_ip, trace_id())
    try:
        yield actor
    except Exception as error:
        try:
            audit.refused(actor, action, error, input=asked, message_id=message_id, run_id=run_id)
        except Exception as lost:  # noqa: BLE001 - the refusal is what the client must hear
            telemetry.count("Errors")
            telemetry.failed("record_refusal", trace_id(), lost, refused=type(error).__name__)
        raise

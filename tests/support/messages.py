"""A message, its payload and the operator who acts, as most tests want them."""

from typing import Any

from workflows.ledger import audit
from workflows.messages.envelope import Message


def a_transaction(**changes: Any) -> dict[str, Any]:
    """Return the payload of a transaction."""
    usual = {"account_id": "acc-1", "kind": "credit", "amount": "10.00", "currency": "EUR"}
    return usual | changes


def a_message(**changes: Any) -> Message:
    """Return a message as the sender makes it."""
    usual = {
        "message_id": "m-1",
        "type": "transaction",
        "group_id": "acc-1",
        "payload": a_transaction(),
        "first_sent_at": "2026-11-24T12:00:00.123Z",
        "trace_id": "trace-1",
        "submitted_by": "p@example.com",
    }
    return Message.model_validate(usual | changes)


def an_operator(**changes: str) -> audit.Actor:
    """Return who acts, as the API tells the rules."""
    usual = {"email": "o@example.com", "role": "operator", "source_ip": "192.0.2.1"}
    return audit.Actor(**{"trace_id": "trace-1"} | usual | changes)

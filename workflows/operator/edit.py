"""Editing: another payload for a message that cannot be processed as it is.

The message stays what it was: id, type, group, first-sent time, trace and sender. The first body is
kept, and the hash of every payload that it had, by which its older copies are known for its own.
"""

from typing import Any

from pydantic import Field

from workflows.ledger import audit, journey, lookup
from workflows.ledger.audit import Actor
from workflows.messages import message_types
from workflows.messages.carried import Carried
from workflows.messages.envelope import InvalidMessage, Message, parse
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.messages.limits import check_size
from workflows.messages.message_types import meaning_hash
from workflows.operator import mend
from workflows.operator.bulk import Selection
from workflows.runtime.asked import Asked
from workflows.runtime.aws import plain, transact
from workflows.runtime.settings import settings

# Besides the first: an older copy than these becomes a message that is not ours.
_HASHES_KEPT = 99
# Of names that a client made up: enough to see what was edited.
_NAMES_KEPT, _NAME_LENGTH = 50, 64


class EditRequest(Asked):
    """The whole new payload; type, group, id and first-sent time stay."""

    payload: dict[str, Any] = Field(
        examples=[
            {"account_id": "acct-7", "kind": "debit", "amount": 12.34, "currency": "EUR"},
        ]
    )


class EditSelection(Selection):
    """Those to edit; `merge` is a JSON merge patch (RFC 7396) of the payload: `null` removes."""

    merge: dict[str, Any] = Field(min_length=1, examples=[{"currency": "EUR", "note": None}])


def edit(message_id: str, payload: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """Give a dead or quarantined message another payload and new redrives; return its new row.

    It stays where it is: a retry or a run sends it. A payload that means the same changes nothing.

    Raises:
        workflows.ledger.lookup.MessageNotFound: the ledger has none.
        workflows.ledger.transitions.NotInTrouble: it is neither dead nor quarantined.
        workflows.operator.mend.ForeignMessage: it has no envelope.
        workflows.ledger.transitions.BeingTried: its last try may not have ended.
        workflows.operator.mend.BodyMissing: its body is not in the ledger.
        workflows.messages.envelope.InvalidMessage: the payload does not fit its type.
        workflows.messages.limits.MessageTooLarge: the edited message is.
        workflows.operator.mend.MessageChanged: somebody else was faster.
    """
    row = lookup.get(message_id)
    before = _envelope(row)
    edited = _edited(row, before, payload)
    if meaning_hash(edited) == meaning_hash(before):
        audit.unchanged(actor, "edit_message", **_about(row, before))
        return row
    return _replace(row, before, edited, actor)


def merge(message_id: str, patch: dict[str, Any], actor: Actor) -> dict[str, Any] | None:
    """Edit by a merge patch (RFC 7396) of the payload; return None if it changes nothing.

    Raises:
        Exception: as `edit`.
    """
    row = lookup.get(message_id)
    before = _envelope(row)
    edited = _edited(row, before, patched(before.payload, patch))
    if meaning_hash(edited) == meaning_hash(before):
        return None
    return _replace(row, before, edited, actor)


def patched(value: Any, patch: Any) -> Any:
    """Return a JSON value after a merge patch, by RFC 7396: `null` removes."""
    if not isinstance(patch, dict):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            found.pop(name, None)
        else:
            found[name] = patched(found.get(name), part)
    return found


def asked(payload: dict[str, Any]) -> dict[str, Any]:
    """Return what the audit keeps of an edit: the names of the fields and no value."""
    names = [name.encode("ascii", "backslashreplace").decode() for name in sorted(payload)]
    return {"fields": [name[:_NAME_LENGTH] for name in names[:_NAMES_KEPT]]}


def _envelope(row: dict[str, Any]) -> Message:
    mend.check(row, "edited")
    if queue_of(row["message_id"]) != DEFAULT_QUEUE:
        raise mend.ForeignMessage(
            "A message of a registered queue cannot be edited; retry it, redrive it or discard it."
        )
    try:
        return parse(row["body"], row["group_id"])
    except InvalidMessage:
        raise mend.ForeignMessage from None


def _edited(row: dict[str, Any], before: Message, payload: dict[str, Any]) -> Message:
    message_types.validate(before.type, payload)
    after = before.model_copy(update={"payload": payload})
    check_size(after.body(), settings().max_message_bytes - Carried.beside(row).size)
    return after


def _replace(row: dict[str, Any], before: Message, edited: Message, actor: Actor) -> dict[str, Any]:
    # The copy that failed may be spelled otherwise than the one that was recorded.
    superseded = [*row.get("superseded_hashes", []), row["payload_hash"], before.payload_hash]
    hashes = list(dict.fromkeys(superseded))
    part = mend.change(
        row,
        journey.event("edited", by=actor.email, previous_hash=row["payload_hash"]),
        "body = :body, payload_hash = :hash, redrive_limit = :limit,"
        " superseded_hashes = :hashes, original_body = if_not_exists(original_body, :before),"
        " meaning_hash = if_not_exists(meaning_hash, :meant), edited_meaning_hash = :means,"
        " edited_at = :now",  # and not `updated_at`, by which it is known how long it is in trouble
        {
            ":body": edited.body(),
            ":before": row["body"],
            ":hash": edited.payload_hash,
            ":meant": meaning_hash(before),
            ":means": meaning_hash(edited),
            ":hashes": [hashes[0], *hashes[1:][-_HASHES_KEPT:]],
            ":limit": mend.new_limit(row),
        },
    )
    refused = transact(
        [part, audit.entry(actor, "edit_message", result="EDITED", **_about(row, edited))]
    )
    if refused is not None:
        raise mend.meanwhile(plain(refused[0]), "edited")
    return lookup.get(row["message_id"])


def _about(row: dict[str, Any], edited: Message) -> dict[str, Any]:
    hashes = {"previous_hash": row["payload_hash"], "payload_hash": edited.payload_hash}
    return {"input": asked(edited.payload) | hashes, "message_id": row["message_id"]}

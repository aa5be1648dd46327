"""Editing: another payload, or body, for a message that cannot be processed as it is.

The message stays what it was: id, type, group, first-sent time, trace and sender. The first body is
kept, and the hash of every payload that it had, by which its older copies are known for its own.
What is different for a registered queue's message is in `edit_letter.py`.
"""

from typing import Any, Self

from pydantic import Field, model_validator

from workflows.ledger import audit, journey, large, lookup
from workflows.ledger.audit import Actor
from workflows.messages import message_types
from workflows.messages.carried import Carried
from workflows.messages.envelope import InvalidMessage, Message, parse
from workflows.messages.ids import DEFAULT_QUEUE, queue_of
from workflows.messages.limits import check_size
from workflows.messages.message_types import meaning_hash
from workflows.operator import edit_letter, mend
from workflows.operator.bulk import Selection
from workflows.operator.edited import Edit
from workflows.runtime.asked import Asked
from workflows.runtime.aws import plain, transact
from workflows.runtime.refusals import Invalid
from workflows.runtime.settings import settings

# Besides the first: an older copy than these becomes a message that is not ours.
_HASHES_KEPT = 99
# Of names that a client made up: enough to see what was edited.
_NAMES_KEPT, _NAME_LENGTH = 50, 64


class NoPayload(Invalid):
    """A message of the built-in queue is edited by its payload; its body is the envelope."""

    code = "invalid_request"


class EditRequest(Asked):
    """The whole new payload; type, group, id and first-sent time stay.

    Of a registered queue's message the payload is the body as a JSON object; a `body` that is to be
    sent as it is written, or is none, is given in its place.
    """

    payload: dict[str, Any] | None = Field(
        default=None,
        examples=[
            {"account_id": "acct-7", "kind": "debit", "amount": 12.34, "currency": "EUR"},
        ],
    )
    body: str | None = Field(default=None, min_length=1, max_length=1_048_576)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.payload is None) == (self.body is None):
            raise ValueError("must have either payload or body")
        return self

    @property
    def content(self) -> dict[str, Any] | str:
        """What the message is to hold: a payload, or a whole body."""
        return self.body if self.payload is None else self.payload  # type: ignore[return-value]


class EditSelection(Selection):
    """Those to edit; `merge` is a JSON merge patch (RFC 7396) of the payload: `null` removes."""

    merge: dict[str, Any] = Field(min_length=1, examples=[{"currency": "EUR", "note": None}])


def edit(message_id: str, content: dict[str, Any] | str, actor: Actor) -> dict[str, Any]:
    """Give a dead or quarantined message another payload and new redrives; return its new row.

    It stays where it is: a retry or a run sends it. What means the same changes nothing.

    Args:
        message_id: whose.
        content: the payload; of a registered queue's message also the text of a body.
        actor: who edits.

    Raises:
        workflows.ledger.lookup.MessageNotFound: the ledger has none.
        workflows.ledger.transitions.NotInTrouble: it is neither dead nor quarantined.
        workflows.operator.mend.ForeignMessage: it has no envelope, and is of no registered queue.
        workflows.ledger.transitions.BeingTried: its last try may not have ended.
        workflows.operator.mend.BodyMissing: its body is not in the ledger.
        NoPayload: it has an envelope, and a body was given.
        workflows.messages.envelope.InvalidMessage: the payload does not fit its type.
        workflows.messages.limits.MessageTooLarge: the edited message is.
        workflows.operator.mend.MessageChanged: somebody else was faster.
        Exception: of a registered queue's message, as `edit_letter.change`.
    """
    row = lookup.get(message_id)
    mend.check(row, "edited")
    found = _change(row, content)
    if found is None:
        about = _about(row, content, str(row["payload_hash"]))
        audit.unchanged(actor, "edit_message", **about)
        return row
    return _replace(row, content, found, actor)


def merge(message_id: str, patch: dict[str, Any], actor: Actor) -> dict[str, Any] | None:
    """Edit by a merge patch (RFC 7396) of the payload; return None if it changes nothing.

    Raises:
        Exception: as `edit`, and of a body that is no JSON object.
    """
    row = lookup.get(message_id)
    mend.check(row, "edited")
    before = edit_letter.object_of(row) if _is_registered(row) else _envelope(row).payload
    content = patched(before, patch)
    found = _change(row, content)
    return None if found is None else _replace(row, content, found, actor)


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


def asked(content: dict[str, Any] | str) -> dict[str, Any]:
    """Return what the audit keeps of an edit: the names of the fields, or the size; no value."""
    if isinstance(content, str):
        return {"bytes": len(content.encode())}
    names = [name.encode("ascii", "backslashreplace").decode() for name in sorted(content)]
    return {"fields": [name[:_NAME_LENGTH] for name in names[:_NAMES_KEPT]]}


def _is_registered(row: dict[str, Any]) -> bool:
    return queue_of(row["message_id"]) != DEFAULT_QUEUE


def _change(row: dict[str, Any], content: dict[str, Any] | str) -> Edit | None:
    if _is_registered(row):
        return edit_letter.change(row, content)
    if isinstance(content, str):
        raise NoPayload
    before = _envelope(row)
    message_types.validate(before.type, content)
    after = before.model_copy(update={"payload": content})
    check_size(after.body(), settings().max_message_bytes - Carried.beside(row).size)
    if meaning_hash(after) == meaning_hash(before):
        return None
    meanings = {"meaning_hash": row.get("meaning_hash", meaning_hash(before))}
    return Edit(
        body=after.body(),
        payload_hash=after.payload_hash,
        # The copy that failed may be spelled otherwise than the one that was recorded.
        superseded=[row["payload_hash"], before.payload_hash],
        columns=meanings | {"edited_meaning_hash": meaning_hash(after)},
    )


def _envelope(row: dict[str, Any]) -> Message:
    try:
        return parse(row["body"], row["group_id"])
    except InvalidMessage:
        raise mend.ForeignMessage from None


def _replace(
    row: dict[str, Any], content: dict[str, Any] | str, edited: Edit, actor: Actor
) -> dict[str, Any]:
    hashes = list(dict.fromkeys([*row.get("superseded_hashes", []), *edited.superseded]))
    part = mend.change(
        row,
        journey.event("edited", by=actor.email, previous_hash=row["payload_hash"]),
        "body = :body, payload_hash = :hash, redrive_limit = :limit,"
        " superseded_hashes = :hashes, original_body = if_not_exists(original_body, :before),"
        " edited_at = :now"  # and not `updated_at`, by which it is known how long it is in trouble
        + "".join(f", #{name} = :new_{name}" for name in edited.columns),
        {
            ":body": edited.body,
            ":before": row["body"],
            ":hash": edited.payload_hash,
            ":hashes": [hashes[0], *hashes[1:][-_HASHES_KEPT:]],
            ":limit": mend.new_limit(row),
        }
        | {f":new_{name}": value for name, value in edited.columns.items()},
        names={f"#{name}": name for name in edited.columns},
    )
    about = _about(row, content, edited.payload_hash)
    refused = transact([part, audit.entry(actor, "edit_message", result="EDITED", **about)])
    if refused is not None:
        raise mend.meanwhile(plain(refused[0]), "edited")
    large.let_expire(row)
    return lookup.get(row["message_id"])


def _about(row: dict[str, Any], content: dict[str, Any] | str, payload_hash: str) -> dict[str, Any]:
    hashes = {"previous_hash": row["payload_hash"], "payload_hash": payload_hash}
    return {"input": asked(content) | hashes, "message_id": row["message_id"]}

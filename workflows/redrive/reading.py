"""Reading what a dead letter of a registered queue is, as SQS gave it or as a plan has it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from workflows.messages.carried import Carried
from workflows.messages.ids import of_letter
from workflows.queues import wrappings
from workflows.queues.letters import MESSAGE_GROUP, Letter, read
from workflows.queues.payloads import AT_ONCE
from workflows.queues.queue import Queue
from workflows.redrive.judgement import group_of
from workflows.redrive.verdict import DeadLetter
from workflows.runtime import shards


def letter(dead_letter: DeadLetter, queue: Queue) -> Letter:
    """Return what a dead letter is, as SQS gave it or a plan made it.

    Raises:
        workflows.queues.payloads.PayloadUnreadable: S3 does not give what it points to.
    """
    if "Body" not in dead_letter:  # of a plan: the ledger lacks it
        return Letter(dead_letter["MessageId"], "", "", None, "", reason={})
    if "LedgerId" in dead_letter:
        is_missing = wrappings.is_missing(dead_letter["Body"], queue.unwrap)
        return Letter(dead_letter["LedgerId"], "", "", None, "", {}, is_missing)
    attributes = dead_letter.get("MessageAttributes", {})
    texts = {name: one["StringValue"] for name, one in attributes.items() if "StringValue" in one}
    receives = dead_letter.get("Attributes", {}).get("ApproximateReceiveCount", "")
    found = read(queue, dead_letter["Body"], texts, group_of(dead_letter), receives)
    # It is kept by itself: no other message may be taken for it when it is there again.
    return found if found.message_id else replace(found, message_id=own_id(dead_letter, queue))


def letters(dead_letters: Iterable[DeadLetter], queue: Queue) -> list[Letter]:
    """Return what dead letters are; what of them lies in S3 is read side by side."""
    if wrappings.S3 not in queue.unwrap:
        return [letter(one, queue) for one in dead_letters]
    return list(shards.side_by_side(lambda one: letter(one, queue), dead_letters, AT_ONCE))


def letter_of(row: dict[str, Any], *, told: bool = False) -> DeadLetter:
    """Return a row as the dead letter that SQS would hand out; one without a body has our id.

    Args:
        row: of the ledger, whole.
        told: whether what the row tells of the message is enough, so that S3 need not be read.
    """
    group = row.get(MESSAGE_GROUP, row["group_id"])
    attributes = {"MessageGroupId": group} if group else {}
    if "body" not in row:
        return {"MessageId": row["message_id"], "Attributes": attributes}
    found: DeadLetter = {
        "MessageId": row["letter_id"],
        "Body": row["body"],
        "Attributes": attributes,
        "MessageAttributes": Carried.beside(row).attributes,  # type: ignore[typeddict-item]
    }
    if told:
        found["LedgerId"] = row["message_id"]
    return found


def ids_of(dead_letter: DeadLetter, found: Letter, queue: Queue) -> list[str]:
    """Return under which ids the ledger may have a dead letter."""
    return [found.message_id, own_id(dead_letter, queue)]


def own_id(dead_letter: DeadLetter, queue: Queue) -> str:
    """Return under which id a dead letter is kept by itself: SQS's."""
    return of_letter(queue.name, dead_letter["MessageId"])

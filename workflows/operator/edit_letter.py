"""Editing a message of a registered queue: another body for a dead letter that nobody could use.

Its body may be any text, so what it has instead of a type is its registration: the new body must
fit the schema, and tell the same message. Attributes stay, and one of ours is added, by which a
dead letter that comes of the edited copy is known for the same message again.
"""

import json
import re
from typing import Any

from workflows.messages.canonical import canonical, inexact
from workflows.messages.carried import COLUMN, MOST_ATTRIBUTES, Carried
from workflows.messages.limits import check_size
from workflows.operator import mend
from workflows.operator.edited import Edit
from workflows.queues import letters, permissions
from workflows.queues.letters import MESSAGE_GROUP, Letter
from workflows.queues.queue import Queue
from workflows.runtime.aws import sqs
from workflows.runtime.refusals import Invalid, TooLarge
from workflows.runtime.strict_json import loads

# What SQS takes: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_REFUSED_BY_SQS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# DynamoDB keeps 400 KB of an item: both bodies, and some tens of KB of journey, hashes and so on.
BODIES_BYTES = 330_000


class UnfitBody(Invalid):
    """The body cannot be the message's: it does not fit its queue's registration, or SQS."""

    code = "unfit_body"


class BodiesTooLarge(TooLarge):
    """The new body and the first one, which is kept, are more than the ledger can keep."""

    code = "message_too_large"


def object_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a row that can be edited by a patch: a JSON object.

    Raises:
        UnfitBody: it is none, or has a number that would not survive.
    """
    try:
        found = loads(row["body"])
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnfitBody("The message's body is no JSON object: only a whole body can replace it.")
    return _exact(found)


def change(row: dict[str, Any], content: dict[str, Any] | str) -> Edit | None:
    """Return what a row gets by an edit; None if the body says the same already.

    Args:
        row: of a message that can be mended.
        content: the whole new body, as its text or as the JSON object that it is to be.

    Raises:
        UnfitBody: it cannot be the message's body.
        workflows.messages.limits.MessageTooLarge: SQS, or the ledger, has no room for it.
        workflows.queues.registry.UnknownQueue: the queue is not registered any more.
        workflows.queues.permissions.QueueMissing: it is not there any more.
    """
    queue, carried = mend.queue_of_row(row), Carried.beside(row)
    group = str(row.get(MESSAGE_GROUP, row["group_id"]))
    texts = {name: one["StringValue"] for name, one in carried.attributes.items()
             if "StringValue" in one}  # fmt: skip
    if isinstance(content, dict):
        if _means(row["body"]) == canonical(_exact(content)):
            return None
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    elif content == row["body"]:
        return None
    else:
        body = content
    if _REFUSED_BY_SQS.search(body) or not body:
        raise UnfitBody("body: has characters that SQS takes in no message, or none at all")
    after = letters.read(queue, body, texts, group)
    _check(queue, after)
    told = _told_id(queue, row, body, texts, group)
    sent = _with_identity(carried, str(row["message_id"]), body, needed=told != row["message_id"])
    _check_size(queue, row, body, sent)
    # Of a row that nobody edited, the hash may be of another letter of its identity.
    known = [row["payload_hash"]] if "superseded_hashes" in row else []
    labels = {"type": after.type, "group_id": after.group_id, MESSAGE_GROUP: group}
    return Edit(
        body=body,
        payload_hash=after.body_hash,
        superseded=[*known, letters.hash_of(row["body"])],
        columns=labels | {COLUMN: sent.column},
    )


def _exact(content: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object that can be written without changing one of its numbers."""
    if lossy := next(inexact(content), None):
        raise UnfitBody(
            f"{lossy[:64]}: has more digits than a JSON number keeps; give the whole body as text"
        )
    return content


def _means(body: str) -> Any:
    try:
        return canonical(loads(body))
    except ValueError:
        return None


def _check(queue: Queue, after: Letter) -> None:
    if after.is_missing:
        raise UnfitBody("The object in S3 that it points to is not there.")
    if queue.schema is None:
        return
    from workflows.messages import schemas  # it takes half as long to load as all the rest

    if problem := schemas.problem(queue.schema, after.parsed):
        raise UnfitBody(problem)


def _told_id(
    queue: Queue, row: dict[str, Any], body: str, texts: dict[str, str], group: str
) -> str:
    """Return the id that the registration's expression tells of the new body; "" for none.

    Raises:
        UnfitBody: it is another one than that of the body before.
    """
    before = letters.told_id(queue, row["body"], texts, group)
    after = letters.told_id(queue, body, texts, group)
    if before and after and before != after:
        raise UnfitBody(
            "By the queue's identity it would be another message: the identity cannot be edited."
        )
    return after


def _with_identity(carried: Carried, message_id: str, body: str, *, needed: bool) -> Carried:
    """Return what is carried, with our attribute; without it where it has no room nor need.

    Raises:
        UnfitBody: it has no room, and without it nothing tells whose copy the message is.
    """
    attributes = dict(carried.attributes) | letters.identity_attribute(message_id, body)
    if len(attributes) <= MOST_ATTRIBUTES:
        return Carried(attributes, carried.trace_header)
    if needed:
        raise UnfitBody(
            f"The message has {len(carried.attributes)} attributes, and SQS takes"
            f" {MOST_ATTRIBUTES}: there is no room for {letters.IDENTITY_ATTRIBUTE}, and the"
            " queue's identity does not tell the edited message."
        )
    return carried


def _check_size(queue: Queue, row: dict[str, Any], body: str, carried: Carried) -> None:
    # The dead-letter queue's, too: runs go by it, and it may get the message back.
    limit = min(_largest(queue.source_url), _largest(queue.dead_letter_url))
    check_size(body, limit - carried.size)
    first = str(row.get("original_body", row["body"]))
    bodies = len(first.encode()) + len(body.encode()) + carried.size
    if bodies > BODIES_BYTES:
        raise BodiesTooLarge(
            f"The new body and the first one, which is kept, have {bodies} bytes; the limit is"
            f" {BODIES_BYTES} bytes."
        )


def _largest(queue_url: str) -> int:
    with permissions.missing_is_told(queue_url):
        found = sqs().get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["MaximumMessageSize"]
        )["Attributes"]
    return int(found["MaximumMessageSize"])

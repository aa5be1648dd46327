"""Wrappings: what a body of a registered queue may be packed in, for whoever looks into it.

Nothing of this changes a message: what is sent, kept and hashed is the body as it came.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from workflows.messages.canonical import as_floats
from workflows.queues import payloads
from workflows.runtime.strict_json import loads

# What unpacks to more bytes is not looked into.
BYTES = payloads.BYTES
MOST = 5
S3 = "s3"
_GZIP = 31  # zlib's window of 32 KB, and a header of gzip around it


def inner(body: str, wrappings: Iterable[str]) -> str:
    """Return what a body holds, whatever it is.

    Args:
        body: as SQS gave it.
        wrappings: what it may be packed in, from the outside in; one that it is not, or that cannot
            be opened, is passed over.

    Raises:
        workflows.queues.payloads.PayloadMissing: it lies in S3, where its object is gone.
        workflows.queues.payloads.PayloadUnreadable: it lies in S3, which does not give it.
    """
    for name in wrappings:
        found = KINDS[name](body)
        body = body if found is None else found
    return body


def is_missing(body: str, wrappings: Sequence[str]) -> bool:
    """Tell whether what a body holds lies in S3, where its object is gone; the object is not read.

    Raises:
        workflows.queues.payloads.PayloadUnreadable: nobody can tell.
    """
    if S3 not in wrappings:
        return False
    around = len(wrappings) - 1 - wrappings[::-1].index(S3)
    try:
        return payloads.is_missing(inner(body, wrappings[:around]))
    except payloads.PayloadMissing:
        return True


def _base64(body: str) -> str | None:
    return _text(_bytes(body))


def _gzip(body: str) -> str | None:
    packed = _bytes(body)
    if packed is None:
        return None
    reader = zlib.decompressobj(_GZIP)
    try:
        found = reader.decompress(packed, BYTES + 1)
    except zlib.error:
        return None
    # Else it is larger than that, cut off, or something follows it.
    is_whole = len(found) <= BYTES and reader.eof and not reader.unused_data
    return _text(found) if is_whole else None


def _sns(body: str) -> str | None:
    """Look into what SNS sends to a queue without raw message delivery.

    https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
    """
    found = _object(body)
    message = found.get("Message")
    is_one = found.get("Type") == "Notification" and "TopicArn" in found
    return message if is_one and isinstance(message, str) else None


def _eventbridge(body: str) -> str | None:
    """Look into an event of EventBridge.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
    """
    found = _object(body)
    if not {"detail-type", "source", "detail"} <= found.keys():
        return None
    return json.dumps(as_floats(found["detail"]), ensure_ascii=False)


def _s3(body: str) -> str | None:
    return _text(payloads.look_into(body))


KINDS: dict[str, Callable[[str], str | None]] = {
    "base64": _base64,
    "gzip": _gzip,  # in base64, because SQS takes texts
    "sns": _sns,
    "eventbridge": _eventbridge,
    S3: _s3,  # by a pointer of the SQS Extended Client
}


def _bytes(body: str) -> bytes | None:
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _text(found: bytes | None) -> str | None:
    try:
        return None if not found else found.decode()
    except UnicodeDecodeError:
        return None


def _object(body: str) -> dict[str, Any]:
    try:
        found = loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

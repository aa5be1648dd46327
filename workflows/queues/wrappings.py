"""Wrappings: what a body of a registered queue may be packed in, for whoever looks into it.

Nothing of this changes a message: what is sent, kept and hashed is the body as it came.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from workflows.messages.canonical import as_floats
from workflows.runtime.strict_json import loads

# As many bytes a body may have in SQS: what unpacks to more is not looked into.
BYTES = 1_048_576
MOST = 5
_GZIP = 31  # zlib's window of 32 KB, and a header of gzip around it


def inner(body: str, wrappings: Iterable[str]) -> str:
    """Return what a body holds; never raises, whatever it is.

    Args:
        body: as SQS gave it.
        wrappings: what it may be packed in, from the outside in; one that it is not, or that cannot
            be opened, is passed over.
    """
    for name in wrappings:
        found = KINDS[name](body)
        body = body if found is None else found
    return body


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


KINDS: dict[str, Callable[[str], str | None]] = {
    "base64": _base64,
    "gzip": _gzip,  # in base64, because SQS takes texts
    "sns": _sns,
    "eventbridge": _eventbridge,
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

"""Payloads in S3: what a pointer of the SQS Extended Client stands for, read where that is allowed.

Anybody who may send to a queue can write a pointer, so only what the template's parameter
RedrivePayloadBucketArns names is read. That decides by the pointer alone whether it is followed:
what tells a message from another must not depend on whether S3 answers just now.
"""

import re
from contextlib import closing
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from workflows.queues.permissions import named
from workflows.runtime.aws import s3
from workflows.runtime.refusals import Conflict
from workflows.runtime.settings import settings
from workflows.runtime.strict_json import loads

# As many bytes a body may have in SQS: a larger object is not looked into, nor downloaded.
BYTES = 1_048_576
# So many are read side by side, and so are in the memory: as many as a batch has letters.
AT_ONCE = 10
# The Java client's, of version 1 and since. The one for Python writes the same, either of them:
# https://github.com/awslabs/amazon-sqs-java-extended-client-lib
# https://github.com/awslabs/payload-offloading-java-common-lib-for-aws
# https://github.com/awslabs/amazon-sqs-python-extended-client-lib
_CLASSES = (
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
    "software.amazon.payloadoffloading.PayloadS3Pointer",
)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, and the older rules.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_KEY_BYTES = 1_024
_NOT_FOUND, _NO_SUCH_RANGE = 404, 416
# Of an object in an archive, which nobody can read before somebody has restored it.
_ARCHIVED = "InvalidObjectState"


class PayloadMissing(Exception):
    """The object in S3 that holds the message's body is not there, or lies in an archive."""


class PayloadUnreadable(Conflict):
    """S3 does not give, just now or to this stack, an object that it may have."""

    code = "payload_unreadable"


class Pointer(NamedTuple):
    """Where an object is."""

    bucket: str
    key: str


def look_into(body: str) -> bytes | None:
    """Return what a pointer stands for; None if a body is none that is followed, or it is too much.

    Raises:
        PayloadMissing: the object is not there.
        PayloadUnreadable: it may be there, and cannot be read.
    """
    pointer = _pointer(body)
    return None if pointer is None else _get(pointer)


def is_missing(body: str) -> bool:
    """Tell whether a body is a pointer that is followed, to an object that is not there.

    Raises:
        PayloadUnreadable: nobody can tell.
    """
    pointer = _pointer(body)
    if pointer is None:
        return False
    try:
        _get(pointer, Range="bytes=0-0")  # S3 answers as to the whole
    except PayloadMissing:
        return True
    return False


def _pointer(body: str) -> Pointer | None:
    """Return the pointer that a body is, if it is one to a bucket that may be read."""
    try:
        found = loads(body)
    except ValueError:
        return None
    match found:
        case [kind, {"s3BucketName": str(bucket), "s3Key": str(key)}] if kind in _CLASSES:
            return Pointer(bucket, key) if _may_be_read(bucket) and _is_key(key) else None
    return None


def _may_be_read(bucket: str) -> bool:
    partition = settings().redrive_state_machine_arn.split(":")[1]
    return bool(_BUCKET.fullmatch(bucket)) and named(
        f"arn:{partition}:s3:::{bucket}", settings().redrive_payload_bucket_arns
    )


def _is_key(key: str) -> bool:
    """Tell whether S3 has objects of such a key, and none of its parts leads out of the bucket."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= _KEY_BYTES and not {".", ".."} & set(key.split("/"))


def _get(pointer: Pointer, **part: Any) -> bytes | None:
    """Return an object, or a part of it; None if that is more than may be looked into."""
    try:
        found = s3().get_object(Bucket=pointer.bucket, Key=pointer.key, **part)
        with closing(found["Body"]) as stream:
            return stream.read() if found["ContentLength"] <= BYTES else None
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"]["Code"]
        if status == _NOT_FOUND or code == _ARCHIVED:
            raise PayloadMissing from None
        if status == _NO_SUCH_RANGE:  # it is empty
            return b""
        raise PayloadUnreadable(f"S3 says {code} of an object in {pointer.bucket}.") from None
    except BotoCoreError as error:
        kind = type(error).__name__
        raise PayloadUnreadable(f"{kind} of an object in {pointer.bucket}.") from None

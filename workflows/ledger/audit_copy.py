"""The copy of the `Audit` table in a bucket of its owner, where Object Lock lets nobody change it.

Each record is an object of its own, written once: `audit/<day>/<entry>.json`. What becomes of a
record in the table afterwards is nothing that the stack does, so it is told beside it, and loudly.
"""

import base64
import hashlib
import json
from typing import Any, Literal

from botocore.exceptions import ClientError

from workflows.runtime.aws import s3
from workflows.runtime.settings import settings

Change = Literal["INSERT", "MODIFY", "REMOVE"]
# Of another delivery of the same change; a conflict (409) says nothing and is tried again:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_IS_THERE = "PreconditionFailed"
# S3 takes 1,024 bytes. Ours are 50; whoever writes others must not keep them from being told of.
_ENTRY_BYTES = 900


def keep(change: Change, change_id: str, was: dict[str, Any], now: dict[str, Any]) -> None:
    """Keep what became of a record. May be repeated.

    Args:
        change: what DynamoDB's stream says.
        change_id: the stream's id of it.
        was: the record before; {} if there was none.
        now: the record after, likewise.

    Raises:
        ClientError: it could not be kept.
    """
    record = now or was
    entry = str(record["entry"])
    if len(entry.encode()) > _ENTRY_BYTES:
        entry = hashlib.sha256(entry.encode()).hexdigest()
    key = f"audit/{record['day']}/{entry}"
    if change == "INSERT":
        _put(f"{key}.json", now)
    else:
        _put(f"{key}/{change.lower()}-{change_id}.json", {"was": was, "now": now})


def _put(key: str, content: dict[str, Any]) -> None:
    body = json.dumps(content, ensure_ascii=False, default=str, sort_keys=True).encode()
    checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
    try:
        s3().put_object(
            Bucket=settings().audit_bucket,
            Key=key,
            Body=body,
            ContentType="application/json",
            ChecksumAlgorithm="SHA256",  # a bucket with Object Lock asks for one
            ChecksumSHA256=checksum,
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != _IS_THERE:
            raise

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
# Another delivery of the same change: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_IS_THERE = {"PreconditionFailed", "ConditionalRequestConflict"}


def keep(change: Change, change_id: str, was: dict[str, Any], now: dict[str, Any]) -> bool:
    """Keep what became of a record; tell whether somebody changed one that was there. Repeatable.

    Args:
        change: what DynamoDB's stream says.
        change_id: the stream's id of it.
        was: the record before; {} if there was none.
        now: the record after, likewise.

    Raises:
        ClientError: it could not be kept.
    """
    record = now or was
    key = f"audit/{record['day']}/{record['entry']}"
    if change == "INSERT":
        _put(f"{key}.json", now)
        return False
    _put(f"{key}/{change.lower()}-{change_id}.json", {"was": was, "now": now})
    return True


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
        if error.response["Error"]["Code"] not in _IS_THERE:
            raise

"""What a run does with its queues, and whether the stack may: asked when a queue is registered.

The roles of the stack may touch what the template's parameters name, so what these do not name is
known without a call. What else may stand against it, such as a policy of the queue, is asked for by
calls that can do nothing: a batch of none, or a receive with numbers that SQS refuses. A refusal is
certain. That the calls are not refused proves less: AWS does not document that it looks at the
permission before it looks at the request.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from workflows.runtime.aws import sqs
from workflows.runtime.refusals import Invalid
from workflows.runtime.settings import settings

READ = "sqs:GetQueueAttributes"
# Of a batch IAM asks for the action of a single one.
_NOTHING: dict[str, Callable[[str], Any]] = {
    "sqs:SendMessage": lambda url: sqs().send_message_batch(QueueUrl=url, Entries=[]),
    "sqs:DeleteMessage": lambda url: sqs().delete_message_batch(QueueUrl=url, Entries=[]),
    "sqs:ChangeMessageVisibility": lambda url: sqs().change_message_visibility_batch(
        QueueUrl=url, Entries=[]
    ),
    # Each of the three is out of bounds, so that nothing is ever received.
    "sqs:ReceiveMessage": lambda url: sqs().receive_message(
        QueueUrl=url, MaxNumberOfMessages=11, VisibilityTimeout=43_201, WaitTimeSeconds=21
    ),
}
SENDING = ("sqs:SendMessage",)
TAKING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
# Without the second one S3 says of an object that is not there that nobody may see it.
PAYLOADS = ("s3:GetObject", "s3:ListBucket")
KEY = ("kms:Decrypt", "kms:GenerateDataKey")
# SQS's own key, which everybody of the account may use through SQS.
_OF_SQS = "alias/aws/sqs"

_MISSING = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "NonExistentQueue",
    "InvalidAddress",
}


class PermissionMissing(Invalid):
    """The stack may not do with the queue what a run needs."""

    code = "permission_missing"


class QueueMissing(Invalid):
    """The queue does not exist, or the stack may not see that it does."""

    code = "queue_missing"


@contextmanager
def missing_is_told(url: str) -> Iterator[None]:
    """Say that a queue is gone, where SQS says so of a call, instead of failing.

    Raises:
        QueueMissing: it is not there any more.
    """
    try:
        yield
    except ClientError as error:
        if _code(error) in _MISSING:
            raise QueueMissing(f"There is no queue {url}.") from None
        raise


def attributes(url: str, arn: str) -> dict[str, str]:
    """Return all attributes of a queue, as SQS names them.

    Raises:
        PermissionMissing: the stack may not touch it, or not read its attributes.
        QueueMissing: it is not there, as far as the stack may see.
    """
    if not named(arn, settings().redrive_queue_arns):
        raise PermissionMissing(
            f"The template's parameter RedriveQueueArns does not name {arn}, so the stack lacks"
            f" {', '.join((READ, *TAKING, *SENDING))} on it."
        )
    try:
        return dict(sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])  # type: ignore[arg-type]
    except ClientError as error:
        if _code(error) in _MISSING:
            raise QueueMissing(
                f"There is no queue {arn}, or the stack lacks {READ} on it."
            ) from None
        if _denied(error):
            raise PermissionMissing(f"The stack lacks {READ} on {arn}.") from None
        raise


def check(url: str, arn: str, actions: tuple[str, ...]) -> None:
    """Ask whether the stack may do what a run does with a queue whose attributes it can read.

    Raises:
        PermissionMissing: naming each action that is refused.
    """
    refused = [action for action in actions if _is_refused(action, url)]
    if refused:
        raise PermissionMissing(f"The stack lacks {', '.join(refused)} on {arn}.")


def check_key(arn: str, found: dict[str, str]) -> None:
    """Tell whether the template's parameters name the key that a queue is encrypted with.

    An alias does not say which key it stands for: it is enough that there are keys named at all.

    Raises:
        PermissionMissing: naming the key.
    """
    key = found.get("KmsMasterKeyId", "")
    if not key or key == _OF_SQS or key.endswith(f":{_OF_SQS}"):
        return
    keys, alias = settings().redrive_queue_key_arns, "alias/" in key
    home = ":".join(arn.replace(":sqs:", ":kms:").split(":")[:5])
    whole = key if key.startswith("arn:") else f"{home}:{key if alias else f'key/{key}'}"
    if not (keys if alias else named(whole, keys)):
        raise PermissionMissing(
            f"{arn} is encrypted with {whole}, which the template's parameter RedriveQueueKeyArns"
            f" does not name, so the stack lacks {' and '.join(KEY)} on it."
        )


def check_buckets() -> None:
    """Tell whether there are buckets at all in which the stack may look for payloads.

    Raises:
        PermissionMissing: the template's parameter names none.
    """
    if not settings().redrive_payload_bucket_arns:
        raise PermissionMissing(
            "The template's parameter RedrivePayloadBucketArns names no bucket, so the stack lacks"
            f" {' and '.join(PAYLOADS)} on all of them, and cannot unwrap s3."
        )


def _is_refused(action: str, url: str) -> bool:
    try:
        _NOTHING[action](url)
    except ClientError as error:
        # A queue that was there a moment ago is hidden from who may not do that.
        return _denied(error) or _code(error) in _MISSING
    return False


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"]).rpartition("#")[2]


def _denied(error: ClientError) -> bool:
    return "AccessDenied" in _code(error)


def named(arn: str, patterns: str) -> bool:
    """Tell whether a template's parameter, ARNs with wildcards between commas, names an ARN."""
    return any(_matches(arn, pattern.strip()) for pattern in patterns.split(","))


def _matches(arn: str, pattern: str) -> bool:
    """Tell whether an ARN is one that a policy names, part by part, with `*` and `?` in each.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """
    parts, wanted = arn.split(":", 5), pattern.split(":", 5)
    if pattern == "*":
        return True
    return len(parts) == len(wanted) and all(
        re.fullmatch(re.escape(want).replace(r"\*", ".*").replace(r"\?", "."), part)
        for part, want in zip(parts, wanted, strict=True)
    )

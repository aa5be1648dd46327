"""Objects that bodies of registered queues point to."""

import json

from moto.s3.models import get_canned_acl, s3_backends

from tests.support.cloud import ACCOUNT, REGION

BUCKET = "team-payloads"
# The two names that the clients write.
JAVA_1 = "com.amazon.sqs.javamessaging.MessageS3Pointer"
JAVA_2 = "software.amazon.payloadoffloading.PayloadS3Pointer"


def pointer(key: str = "k", bucket: str = BUCKET, kind: str = JAVA_2) -> str:
    """Return a body as the SQS Extended Client writes it."""
    return json.dumps([kind, {"s3BucketName": bucket, "s3Key": key}], separators=(",", ":"))


def key_of(body: str) -> str:
    """Return the key that a body names in the team's bucket; "" for none."""
    return json.loads(body)[1]["s3Key"] if f'"s3BucketName":"{BUCKET}"' in body else ""


def create(bucket: str = BUCKET) -> None:
    """Create a bucket in moto, without a call: how our tests send an object moto does not read."""
    s3_backends[ACCOUNT]["aws"].create_bucket(bucket, REGION)


def put(key: str, body: str | bytes, bucket: str = BUCKET) -> None:
    """Put an object into a bucket in moto."""
    content = body.encode() if isinstance(body, str) else body
    # To moto an unsigned request, as our tests send them, is anybody's.
    found = s3_backends[ACCOUNT]["aws"].put_object(bucket, key, content)
    found.set_acl(get_canned_acl("public-read"))


def deny(key: str, bucket: str = BUCKET) -> None:
    """Let nobody read an object in moto any more."""
    s3_backends[ACCOUNT]["aws"].put_object_acl(bucket, key, get_canned_acl("private"))


def delete(key: str, bucket: str = BUCKET) -> None:
    """Delete an object from a bucket in moto."""
    s3_backends[ACCOUNT]["aws"].delete_object(bucket, key)

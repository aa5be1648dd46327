"""Pointers of the SQS Extended Client: which are followed, and what becomes of what is gone."""

import json
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.cloud import ENVIRONMENT
from tests.support.objects import BUCKET, JAVA_1, JAVA_2, create, pointer, put
from tests.support.pairs import STANDARD
from tests.unit.queues.test_wrappings import gzip_of, sns_of
from workflows.queues import letters, payloads, wrappings
from workflows.queues.payloads import PayloadMissing, PayloadUnreadable
from workflows.runtime import aws

FOREIGN = "somebody-s"
INSIDE = '{"id":"o-1","kind":"é"}'
POINTING = replace(STANDARD, unwrap=("s3",), type="body.kind")


@pytest.fixture(autouse=True)
def buckets(cloud):
    """Give two buckets, of which the stack may read one, with the same object in each."""
    for name in (BUCKET, FOREIGN):
        create(name)
        put("k", INSIDE, name)


def id_of(body, **settings):
    return letters.read(replace(POINTING, **settings), body, {}, "").message_id


def fails(monkeypatch, error):
    def get_object(**_):
        raise error

    monkeypatch.setattr(aws.s3(), "get_object", get_object)


def refusal(code, status):
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


@pytest.mark.parametrize("kind", [JAVA_1, JAVA_2])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["java", "python"])
def test_what_a_pointer_stands_for_is_what_expressions_see(kind, separators):
    body = json.dumps(json.loads(pointer(kind=kind)), separators=separators)

    found = letters.read(POINTING, body, {}, "")

    assert (found.message_id, found.type) == ("sqs:orders:o-1", "_")
    assert found.payload == json.loads(INSIDE)
    assert found.body_hash == letters.hash_of(body)
    assert not found.is_missing
    assert letters.told_id(POINTING, body, {}, "") == "sqs:orders:o-1"


def test_pointer_may_be_packed_and_so_may_what_it_stands_for():
    put("packed", gzip_of(INSIDE))

    assert id_of(sns_of(pointer("packed")), unwrap=("sns", "s3", "gzip")) == "sqs:orders:o-1"
    assert not wrappings.is_missing(sns_of(pointer("packed")), ("sns", "s3", "gzip"))
    assert wrappings.is_missing(sns_of(pointer("none")), ("sns", "s3", "gzip"))
    assert not wrappings.is_missing(sns_of(pointer("none")), ("sns",))


@pytest.mark.parametrize(
    "body",
    [
        pointer(bucket=FOREIGN),
        pointer(bucket=f"{BUCKET}/../{FOREIGN}"),
        pointer(bucket=f"arn:aws:s3:::{BUCKET}"),
        pointer(bucket=""),
        pointer(key=""),
        pointer(key="k" * 1_025),
        pointer(key=f"../{FOREIGN}/k"),
        pointer(key="\ud800"),
        pointer(kind="com.example.Pointer"),
        json.dumps([JAVA_2, {"s3BucketName": BUCKET, "s3Key": 1}]),
        json.dumps([JAVA_2, {"s3BucketName": BUCKET}]),
        json.dumps([JAVA_2, {"s3BucketName": BUCKET, "s3Key": "k"}, 1]),
        json.dumps([JAVA_2]),
        json.dumps({"s3BucketName": BUCKET, "s3Key": "k"}),
        json.dumps([[], {"s3BucketName": BUCKET, "s3Key": "k"}]),
        "text",
        "[" * 100_000,
    ],
    ids=range(17),
)
def test_pointer_that_may_not_be_followed_is_taken_as_it_is_and_nobody_is_asked(body, asked):
    assert wrappings.inner(body, ("s3",)) == body
    assert not wrappings.is_missing(body, ("s3",))
    assert asked == []


def test_no_bucket_is_read_where_the_parameter_names_none(monkeypatch, asked):
    from workflows.runtime.settings import settings

    monkeypatch.setenv("REDRIVE_PAYLOAD_BUCKET_ARNS", "")
    settings.cache_clear()

    assert wrappings.inner(pointer(), ("s3",)) == pointer()
    assert asked == []
    assert ENVIRONMENT["REDRIVE_PAYLOAD_BUCKET_ARNS"]


def test_object_of_more_than_a_body_may_have_is_not_looked_into_nor_downloaded(monkeypatch):
    for key, size in (("most", payloads.BYTES), ("more", payloads.BYTES + 1)):
        put(key, b"a" * size)
    answers: list[Any] = []
    real = aws.s3().get_object

    def get_object(**asked):
        answer = real(**asked)
        answer["Body"] = mock.Mock(wraps=answer["Body"])
        answers.append(answer["Body"])
        return answer

    monkeypatch.setattr(aws.s3(), "get_object", get_object)

    assert wrappings.inner(pointer("most"), ("s3",)) == "a" * payloads.BYTES
    assert wrappings.inner(pointer("more"), ("s3",)) == pointer("more")
    assert id_of(pointer("more")) == letters.read(STANDARD, pointer("more"), {}, "").message_id
    assert [one.read.called for one in answers] == [True, False, False]
    assert all(one.close.called for one in answers)
    assert not wrappings.is_missing(pointer("more"), ("s3",))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"], ids=["empty", "no text"])
def test_object_that_is_no_text_leaves_the_pointer_as_it_is(content):
    put("odd", content)

    assert wrappings.inner(pointer("odd"), ("s3",)) == pointer("odd")
    assert not wrappings.is_missing(pointer("odd"), ("s3",))


@pytest.mark.parametrize(
    "body", [pointer("none"), pointer(bucket=f"{BUCKET}-gone")], ids=["object", "bucket"]
)
def test_what_is_not_there_is_said(body):
    found = letters.read(POINTING, body, {}, "")

    assert (found.is_missing, found.message_id, found.type) == (True, "", "orders")
    assert wrappings.is_missing(body, ("s3",))
    assert letters.told_id(POINTING, body, {}, "") == ""
    with pytest.raises(PayloadMissing):
        wrappings.inner(body, ("s3",))


def test_object_in_an_archive_is_not_there(monkeypatch):
    fails(monkeypatch, refusal("InvalidObjectState", 403))

    assert letters.read(POINTING, pointer(), {}, "").is_missing


def test_identity_that_reads_no_body_is_known_without_it():
    queue = replace(POINTING, identity="[attributes.order, attributes.lines[0:2].n | 'x']")
    beside = {"order": "7"}
    there, gone = (letters.read(queue, pointer(key), beside, "") for key in ("k", "none"))

    assert there.message_id == gone.message_id != ""
    assert letters.told_id(queue, pointer("none"), beside, "") == gone.message_id
    # But not where the body might have told it.
    either = replace(POINTING, identity="body.id || attributes.order")
    assert letters.read(either, pointer("none"), beside, "").message_id == ""
    assert letters.read(replace(either, identity=""), pointer("none"), beside, "").message_id == ""


def test_edited_copy_is_known_by_our_attribute_though_its_object_is_gone():
    body = pointer("none")
    known = letters.identity_attribute("sqs:orders:o-9", body)[letters.IDENTITY_ATTRIBUTE]
    beside = {letters.IDENTITY_ATTRIBUTE: known["StringValue"]}

    assert letters.read(POINTING, body, beside, "").message_id == "sqs:orders:o-9"


@pytest.mark.parametrize(
    "error",
    [
        refusal("AccessDenied", 403),
        refusal("SlowDown", 503),
        refusal("InternalError", 500),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
    ids=["denied", "throttled", "broken", "unreachable"],
)
def test_what_s3_does_not_give_is_a_failure_and_never_another_identity(monkeypatch, error):
    fails(monkeypatch, error)

    for look in (
        lambda: letters.read(POINTING, pointer("secret"), {}, ""),
        lambda: letters.told_id(POINTING, pointer("secret"), {}, ""),
        lambda: wrappings.is_missing(pointer("secret"), ("s3",)),
    ):
        with pytest.raises(PayloadUnreadable) as refused:
            look()
        assert BUCKET in str(refused.value)
        assert "secret" not in str(refused.value)
        assert refused.value.__suppress_context__

"""The copy of the audit in a bucket: every record once, and whatever becomes of one told loudly."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from boto3.dynamodb.types import TypeSerializer

from lambdas import copy_audit
from tests.support.cloud import audited, client
from tests.support.invocations import CONTEXT
from tests.support.messages import an_operator
from workflows.ledger import audit
from workflows.runtime import aws
from workflows.runtime.settings import settings

BUCKET = "audit-copies"


@pytest.fixture(autouse=True)
def bucket(tables, monkeypatch):
    """Give a bucket with Object Lock and a retention, as docs/security.md asks for."""
    s3 = client("s3")
    for one in (s3, aws.s3()):  # our tests sign nothing, and moto looks for that here alone
        one.meta.events.register("before-call.s3", _signed)
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    retention = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    s3.put_object_lock_configuration(
        Bucket=BUCKET,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention},
    )
    monkeypatch.setenv("AUDIT_BUCKET", BUCKET)
    settings.cache_clear()
    yield s3
    settings.cache_clear()


def _signed(params, **_):
    params["headers"]["Authorization"] = "made up"


def a_record():
    audit.unchanged(an_operator(), "retry_message", input={"n": 1.5}, message_id="m-1")
    (record,) = audited()
    return record


def event(change, was=None, now=None, event_id="e-1"):
    """Return what DynamoDB's stream gives a function of one change.

    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """
    images = {
        name: {k: TypeSerializer().serialize(v) for k, v in image.items()}
        for name, image in (("OldImage", was), ("NewImage", now))
        if image
    }
    stream = {"Keys": {}, "SequenceNumber": "111", "SizeBytes": 26} | images
    about = {"eventID": event_id, "eventVersion": "1.1", "awsRegion": "us-east-1"}
    source = {"eventSource": "aws:dynamodb", "eventSourceARN": "arn:aws:dynamodb:x:1:table/A"}
    return {"Records": [about | source | {"eventName": change, "dynamodb": stream}]}


def copies(s3):
    """Return the objects by their keys."""
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        one["Key"]: json.loads(s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read())
        for one in found
    }


def test_record_is_kept_whole_and_cannot_be_deleted(bucket):
    record = a_record()

    assert copy_audit.handler(event("INSERT", now=record), CONTEXT) == {"batchItemFailures": []}

    key = f"audit/{record['day']}/{record['entry']}.json"
    (kept,) = copies(bucket).values()
    assert list(copies(bucket)) == [key]
    assert kept == json.loads(json.dumps(record, default=str))
    found = bucket.head_object(Bucket=BUCKET, Key=key)
    assert found["ObjectLockMode"] == "COMPLIANCE"
    assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)


def test_second_delivery_writes_nothing(bucket):
    record = a_record()
    for _ in range(2):
        copy_audit.handler(event("INSERT", now=record), CONTEXT)

    versions = bucket.list_object_versions(Bucket=BUCKET)["Versions"]
    assert len(versions) == 1


@pytest.mark.parametrize("change", ["MODIFY", "REMOVE"])
def test_record_that_somebody_changed_is_told_of_and_stays_as_it_was(
    bucket, capsys, caplog, change
):
    record = a_record()
    copy_audit.handler(event("INSERT", now=record), CONTEXT)
    capsys.readouterr()
    other = record | {"actor": "another@example.com"} if change == "MODIFY" else None

    copy_audit.handler(event(change, record, other, event_id="e-2"), CONTEXT)

    key = f"audit/{record['day']}/{record['entry']}"
    found = copies(bucket)
    assert found.keys() == {f"{key}.json", f"{key}/{change.lower()}-e-2.json"}
    assert found[f"{key}.json"]["actor"] == record["actor"]
    told = found[f"{key}/{change.lower()}-e-2.json"]
    assert told["was"]["actor"] == record["actor"]
    assert told["now"] == ({} if other is None else json.loads(json.dumps(other, default=str)))
    (line,) = caplog.records
    assert (line.levelname, line.details["error"]) == ("ERROR", "AuditChanged")
    assert line.details == {"error": "AuditChanged", "change": change}
    assert '"AuditChanged":[1.0]' in capsys.readouterr().out


@pytest.mark.parametrize("cut", [("trace_id",), ("trace_id", "day"), ("entry",)])
def test_what_somebody_made_of_a_record_is_told_of_though_it_can_not_be_kept(cut, capsys):
    record = a_record()
    less = {name: value for name, value in record.items() if name not in cut}

    with suppress(BatchProcessingError):
        copy_audit.handler(event("MODIFY", record, less), CONTEXT)

    assert '"AuditChanged":[1.0]' in capsys.readouterr().out


def test_record_with_a_key_that_s3_would_not_take_is_kept(bucket):
    record = a_record() | {"entry": "2026-11-30T12:00:00.000Z#" + "x" * 1_000}

    assert copy_audit.handler(event("INSERT", now=record), CONTEXT) == {"batchItemFailures": []}
    (key,) = copies(bucket)
    assert len(key) < 1_024


def test_what_could_not_be_kept_comes_again(bucket, monkeypatch):
    record = a_record()
    monkeypatch.setenv("AUDIT_BUCKET", "no-such-bucket")
    settings.cache_clear()
    aws.s3.cache_clear()

    with pytest.raises(BatchProcessingError):
        copy_audit.handler(event("INSERT", now=record), CONTEXT)

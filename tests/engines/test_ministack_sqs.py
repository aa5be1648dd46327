"""Why the quirks of MiniStack's SQS stand: each is shown made up for, and as MiniStack comes."""

import uuid

import pytest

TRACE = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3f"}}
LIMIT = 2_000
NUMBERS = {f"a{n}": {"DataType": "Number", "StringValue": "1"} for n in range(11)}
BINARY = {"name": {"DataType": "Binary", "BinaryValue": b"\x00\xff\xfe"}}  # thirteen bytes


def new_queue(running):
    attributes = {"FifoQueue": "true", "MaximumMessageSize": str(LIMIT)}
    name = f"{uuid.uuid4()}.fifo"
    return running.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def entry(length, attributes, **more):
    about = {"MessageGroupId": "g", "MessageDeduplicationId": str(uuid.uuid4())}
    return {"MessageBody": "x" * length, "MessageAttributes": attributes} | about | more


def received_of_a_batch(running):
    sqs, url = running.client("sqs"), new_queue(running)
    entries = [
        entry(1, BINARY, Id="0", MessageSystemAttributes=TRACE),
        entry(1, {}, Id="1", MessageGroupId="h"),
    ]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    found = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["AWSTraceHeader"],
        MessageAttributeNames=["All"],
    )["Messages"]
    return [(one.get("MessageAttributes", {}), one.get("Attributes", {})) for one in found]


def test_batch_keeps_system_attributes(small, bare):
    trace = {"AWSTraceHeader": TRACE["AWSTraceHeader"]["StringValue"]}
    assert received_of_a_batch(small) == [(BINARY, trace), ({}, {})]
    assert received_of_a_batch(bare)[0][1] == {}, "no longer needed: _with_system_attributes"


def refused(running, length, attributes):
    """Tell whether a message is refused: alone, and in a batch."""
    sqs, url = running.client("sqs"), new_queue(running)
    batch = sqs.send_message_batch(QueueUrl=url, Entries=[entry(length, attributes, Id="0")])
    try:
        sqs.send_message(QueueUrl=url, **entry(length, attributes))
    except sqs.exceptions.ClientError:
        return True, bool(batch.get("Failed"))
    return False, bool(batch.get("Failed"))


@pytest.mark.parametrize(
    ("length", "attributes", "is_refused"),
    [
        (LIMIT - 13, BINARY, False),
        (LIMIT - 12, BINARY, True),
        (1, dict(list(NUMBERS.items())[:10]), False),
        (1, NUMBERS, True),
    ],
)
def test_attributes_count_as_size_and_are_ten_at_most(small, bare, length, attributes, is_refused):
    assert refused(small, length, attributes) == (is_refused, is_refused)
    assert refused(bare, length, attributes) == (False, False), "no longer needed: _measured"

"""What bodies are packed in: looked into, bounded, and never changed."""

import base64
import gzip
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pairs import STANDARD
from tests.support.troubles import in_trouble
from workflows.ledger import trouble
from workflows.messages.filters import Filter
from workflows.operator import bulk
from workflows.operator.discard import DiscardSelection
from workflows.queues import letters, registry, wrappings
from workflows.redrive.judge import Judge

INSIDE = '{"id":"o-1","kind":"é"}'
EVERY = tuple(wrappings.KINDS)


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def gzip_of(text):
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def sns_of(text):
    topic = {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "MessageId": "m"}
    return json.dumps(topic | {"Message": text})


def event_of(text):
    return json.dumps({"detail-type": "t", "source": "s", "detail": json.loads(text), "id": "e"})


PACKED = [
    (("base64",), base64_of(INSIDE)),
    (("base64",), "\n".join(base64_of(INSIDE))),
    (("gzip",), gzip_of(INSIDE)),
    (("sns",), sns_of(INSIDE)),
    (("eventbridge",), event_of(INSIDE)),
    (("sns", "gzip"), sns_of(gzip_of(INSIDE))),
    (("eventbridge", "gzip"), gzip_of(INSIDE)),  # one that it is not is passed over
    (("sns", "eventbridge"), sns_of(event_of(INSIDE))),
]


@pytest.mark.parametrize(("names", "body"), PACKED, ids=range(len(PACKED)))
def test_what_is_packed_is_what_expressions_schema_and_filters_see(names, body):
    queue = replace(STANDARD, unwrap=names, type="body.kind")

    found = letters.read(queue, body, {}, "")

    assert found.payload == json.loads(INSIDE)
    assert (found.message_id, found.type) == ("sqs:orders:o-1", "_")
    assert found.body_hash == letters.hash_of(body)
    assert letters.told_id(queue, body, {}, "") == "sqs:orders:o-1"


@pytest.mark.parametrize(
    "body",
    [
        INSIDE,
        "text",
        "",
        "====",
        base64.b64encode(b"\xff\xfe\x00").decode(),
        gzip_of(INSIDE)[:-8],
        base64.b64encode(gzip.compress(b"a", mtime=0) + b"more").decode(),
        '{"Type": "Notification", "Message": "{}"}',
        '{"Type": "Notification", "TopicArn": "x", "Message": {}}',
        '{"detail": {}}',
        "[" * 100_000,
    ],
    ids=range(11),
)
def test_what_is_packed_otherwise_is_what_it_is(body):
    assert wrappings.inner(body, EVERY) == body
    assert wrappings.inner(sns_of(INSIDE), ()) == sns_of(INSIDE)


def test_bomb_is_not_unpacked():
    bomb = base64.b64encode(gzip.compress(b"a" * 300_000_000, 9)).decode()
    most = gzip_of("a" * wrappings.BYTES)
    begun = time.process_time()

    assert wrappings.inner(bomb, ("gzip",)) == bomb
    assert wrappings.inner(most, ("gzip",)) == "a" * wrappings.BYTES
    assert wrappings.inner(gzip_of("a" * (wrappings.BYTES + 1)), ("gzip",))[:4] == "H4sI"
    assert time.process_time() - begun < 1


@given(st.text(), st.lists(st.sampled_from(EVERY), max_size=wrappings.MOST))
def test_no_body_is_too_strange(body, names):
    assert isinstance(wrappings.inner(body, names), str)


def test_schema_is_of_what_is_inside_and_lists_and_bulk_actions_find_it(tables):
    queue = replace(STANDARD, unwrap=("gzip",), schema={"type": "object", "required": ["id"]})
    registry.register(queue, "o")
    body = gzip_of(INSIDE)
    letter: Any = {"MessageId": "sqs-1", "Body": body, "Attributes": {}}
    in_trouble(
        message_id="sqs:orders:o-1", body=body, redrives=0, redrive_limit=3, attempts_total=0,
        letter_id="sqs-1", payload_hash=letters.hash_of(body),
    )  # fmt: skip
    wanted = Filter(payload={"id": "o-1"})
    unlike = Filter(jmespath="id == 'o-2'")

    for only, verdict in ((wanted, "redrive"), (unlike, "left")):
        assert Judge("run-1", only, queue).judge([letter])[0]["verdict"] == verdict
    for ids in (None, ["sqs:orders:o-1"]):
        found = wanted.model_copy(update={"message_ids": ids})
        assert len(list(trouble.every("DEAD", found, "orders"))) == 1
        assert trouble.page("DEAD", found, 5, None, "orders")[0]
        assert not trouble.page("DEAD", unlike, 5, None, "orders")[0]
        selection = DiscardSelection(filter=found, queue="orders", reason="why")
        acted, _ = bulk.each(selection, lambda message_id: {"status": "DEAD"})
        assert [one.message_id for one in acted] == ["sqs:orders:o-1"]

"""Over HTTP: dead letters of up to 1 MiB among small ones, of a queue that takes such."""

import hashlib
import random

import pytest

from tests.deployed.pair import ATTRIBUTES, order, register, run

pytestmark = pytest.mark.xdist_group("flows")

MIB = 1_048_576


def of_size(number, size):
    """Return an order whose body has so many bytes, and needs escaping."""
    bare = order(number, "")
    room = size - len(bare.encode())
    text = random.Random(number).choices("abcdefghij klmnop\\", k=room - 4)  # noqa: S311 - no secret
    filled = order(number, "".join(text).replace("\\", "x"))
    return filled + " " * (size - len(filled.encode()))


def digest(body):
    return hashlib.sha256(body.encode()).hexdigest()


def beside():
    """Return how many bytes of a message's size its attributes take."""
    return sum(len(name) + sum(map(len, one.values())) for name, one in ATTRIBUTES.items())


def test_large_and_small_dead_letters_arrive_byte_for_byte(operator, pair):
    sizes = [500] * 12 + [200 * 1024] * 4 + [500] * 5 + [MIB - beside()] + [400 * 1024] + [500] * 3
    bodies = [of_size(n, size) for n, size in enumerate(sizes)]
    for number, body in enumerate(bodies):
        pair.send(pair.dead, body, f"g-{number % 4}", ATTRIBUTES)

    found = run(operator, pair)
    pair.consume()

    assert (found["status"], found["redriven"]) == ("SUCCEEDED", len(bodies)), found
    assert sorted(digest(one["Body"]) for one in pair.processed) == sorted(map(digest, bodies))
    for message in pair.processed:
        for name, one in ATTRIBUTES.items():
            assert {part: message["MessageAttributes"][name][part] for part in one} == one
    if pair.fifo:
        for group in range(4):
            arrived = [
                one["Body"]
                for one in pair.processed
                if one["Attributes"]["MessageGroupId"] == f"g-{group}"
            ]
            assert arrived == [body for n, body in enumerate(bodies) if n % 4 == group]


def test_body_that_fits_no_row_is_kept_and_sent_by_hand(operator, pair):
    register(pair, operator, identity="body.id", schema={"required": ["approved"]})
    body, other = of_size(1, MIB - beside()), of_size(2, 500_000)
    pair.send(pair.dead, body, "g-1", ATTRIBUTES)
    pair.send(pair.dead, other, "g-2", ATTRIBUTES)

    found = run(operator, pair)
    kept = {
        one["message_id"]: one
        for one in operator.quarantine(queue=pair.name, limit=1).expect(200)["messages"]
    }
    message_id = f"sqs:{pair.name}:order-1"
    shown = operator.message(message_id).expect(200)
    operator.call("POST", f"/messages/{message_id}/retry", {"reset_redrives": True}).expect(202)
    gone = f"/messages/sqs:{pair.name}:order-2/discard"
    operator.call("POST", gone, {"reason": "not approved"}).expect(200)
    pair.consume()

    assert (found["redriven"], found["quarantined"]) == (0, 2)
    assert kept[message_id]["reason"]["type"] == shown["reason"]["type"] == "InvalidBody"
    assert kept[message_id]["body"] == body
    (message,) = pair.processed
    assert message["Body"] == body
    for name, one in ATTRIBUTES.items():
        assert {part: message["MessageAttributes"][name][part] for part in one} == one
    pages = (
        pair.stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=pair.stack.outputs["MessagesTableName"],
            FilterExpression="attribute_exists(part) AND contains(message_id, :queue)",
            ExpressionAttributeValues={":queue": {"S": pair.name}},
        )
    )
    parts = [part for page in pages for part in page["Items"]]
    assert len(parts) > 12
    assert all("expires_at" in part for part in parts)

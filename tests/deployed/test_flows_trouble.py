"""Seeing over HTTP what is dead and why, without touching what is dead."""

import pytest

from tests.deployed.flows import (
    credit,
    dead_message,
    forget_dead_letters,
    settled,
)
from tests.support.stack_fixtures import queued

pytestmark = pytest.mark.xdist_group("flows")

DEAD_LETTER = {
    "message_id", "group_id", "type", "reason", "fingerprint", "attempts", "redrives",
    "redrives_left", "first_sent_at", "age_seconds", "edited", "dead_at", "hours_until_dropped",
    "lost",
}  # fmt: skip


@pytest.fixture(scope="module")
def dead(stack, producer):
    """Give three messages to frozen accounts and two debits of nothing, dead in that order."""
    forget_dead_letters(stack)
    frozen = [dead_message(stack, producer)[1] for _ in range(3)]
    poor = []
    for _ in range(2):
        sent = producer.send(credit(kind="debit")).expect(202)
        poor.append(settled(producer, sent["message_id"], "DEAD"))
    yield frozen + poor
    forget_dead_letters(stack)


def listed(client, **query):
    """Return the ids of a list's messages over all its pages, and the length of each page."""
    found: list[str] = []
    lengths: list[int] = []
    cursor: dict[str, str] = {}
    while not lengths or cursor:
        page = client.dead_letters(**query, **cursor).expect(200)
        found += [message["message_id"] for message in page["messages"]]
        lengths.append(len(page["messages"]))
        cursor = {"cursor": page["cursor"]} if page["cursor"] else {}
    return found, lengths


def ids(records):
    return [record["message_id"] for record in records]


def among(found, records):
    """Return those of the found ids that are of these records: the stack is shared."""
    return [message_id for message_id in found if message_id in ids(records)]


def test_dead_letters_are_listed_oldest_first_with_all_an_operator_asks(producer, dead):
    found, _ = listed(producer, limit=100)
    assert among(found, dead) == ids(dead)

    record = dead[0]
    (shown,) = producer.dead_letters(group_id=record["group_id"]).expect(200)["messages"]
    assert set(shown) == DEAD_LETTER
    same = {"message_id", "group_id", "type", "reason", "fingerprint", "attempts", "first_sent_at"}
    assert {name: shown[name] for name in same} == {name: record[name] for name in same}
    assert shown["reason"]["type"] == "AccountFrozen"
    assert (shown["redrives"], shown["redrives_left"], shown["edited"]) == (0, 3, False)
    assert record["first_sent_at"] < shown["dead_at"]
    assert 0 <= shown["age_seconds"] < 600
    assert 335 < shown["hours_until_dropped"] <= 336


def test_what_failed_alike_is_one_group(producer, dead):
    answer = producer.failure_groups().expect(200)
    groups = {group["fingerprint"]: group for group in answer["groups"]}
    frozen, poor = groups[dead[0]["fingerprint"]], groups[dead[3]["fingerprint"]]

    assert answer["complete"]
    assert {record["fingerprint"] for record in dead[:3]} == {frozen["fingerprint"]}
    assert (frozen["type"], frozen["reason_type"]) == ("transaction", "AccountFrozen")
    assert poor["reason_type"] == "TransactionRejected"
    for group in (frozen, poor):
        of_it, _ = listed(producer, fingerprint=group["fingerprint"])
        assert group["count"] == len(of_it)
        (oldest,) = producer.dead_letters(fingerprint=group["fingerprint"], limit=1).expect(200)[
            "messages"
        ]
        assert group["oldest"] == oldest["dead_at"]
        assert group["sample"]["message_id"] in of_it
        assert group["newest"] > group["oldest"]
    assert frozen["sample"] == {
        "message_id": dead[2]["message_id"],
        "message": dead[2]["reason"]["message"],
    }
    counts = [group["count"] for group in answer["groups"]]
    assert counts == sorted(counts, reverse=True)


def test_looking_receives_nothing_and_locks_no_group(stack, producer, operator, dead):
    before = queued(stack, "DeadLetter")
    assert {letter["ReceiveCount"] for letter in before} == {0}
    for client in (producer, operator):
        client.dead_letters(reason="AccountFrozen", limit=1).expect(200)
        client.failure_groups().expect(200)
        client.quarantine().expect(200)

    assert queued(stack, "DeadLetter") == before
    depths = producer.status().expect(200)["dead_letter_queue"]
    assert (depths["visible"], depths["in_flight"]) == (len(before), 0)
    assert len(before) == len(dead)

"""Lists of messages in trouble: which, in what order, page by page, and what they tell."""

import base64
import json
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from lambdas import list_dead_letters, list_quarantine
from tests.support.invocations import CONTEXT, api_event
from tests.support.messages import a_message, a_transaction
from tests.support.template import template
from tests.support.troubles import in_trouble
from workflows.ledger import lost, transitions, trouble
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.messages.reasons import fingerprint
from workflows.operator import failures
from workflows.queues.queue import default
from workflows.runtime import aws, clock, shards
from workflows.runtime.paging import InvalidCursor

pytestmark = pytest.mark.usefixtures("recursion_limit")

NOW = "2026-11-24T12:00:00.000Z"
FROZEN = {"type": "AccountFrozen", "message": "Account acc-1 is frozen."}
ALL = Filter()


@pytest.fixture(autouse=True)
def _noon(tables, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)


def before(**spans):
    moment = datetime.fromisoformat(NOW) - timedelta(**spans)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sent(**changes):
    return a_message(**{"first_sent_at": before(days=2)} | changes)


def put(number, status="DEAD", reason=None, message=None, **columns):
    """Put a row into the ledger; those with greater numbers came later into trouble."""
    message = message or sent(message_id=f"m-{number:04}")
    why = reason or FROZEN
    since = before(minutes=10_000 - number)
    died = {"dead_at": since} if status == "DEAD" else {}
    usual = {"trouble": status, "attempts": 5, "redrives": 1, "updated_at": since, "reason": why}
    in_trouble(status, message, **usual | died | columns)
    return message.message_id


def ids(found):
    return [getattr(one, "message_id", None) or one["message_id"] for one in found]


def pages(wanted, limit, kind="DEAD"):
    cursor: str | None = None
    found: list[Any] = []
    while not found or cursor:
        rows, cursor = trouble.page(kind, wanted, limit, cursor, DEFAULT_QUEUE)
        found.append(ids(rows))
    return found


# --- Pages ----------------------------------------------------------------------------------


def test_page_holds_the_longest_dead_first_and_nothing_else():
    put(3)
    put(1)
    put(2, "QUARANTINED")
    put(4, "RETRYING")
    put(5, "PROCESSED", trouble=None)

    assert pages(ALL, 10) == [["m-0001", "m-0003"]]
    assert pages(ALL, 10, "QUARANTINED") == [["m-0002"]]


@pytest.mark.parametrize("at_once", [1, 3, 1_000])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_every_page_but_the_last_is_full_also_under_a_filter(monkeypatch, limit, at_once):
    monkeypatch.setattr(trouble, "_READ_AT_ONCE", at_once)
    for number in range(12):
        message = sent(message_id=f"m-{number:04}", group_id="abc"[number % 3])
        put(number, message=message)
    expected = [f"m-{number:04}" for number in range(1, 12, 3)]

    found = pages(Filter(group_id="b"), limit)

    assert list(chain(*found)) == expected
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert found[-1]  # no page is empty only to say that there is no more
    assert list(chain(*pages(ALL, limit))) == [f"m-{number:04}" for number in range(12)]


def test_list_goes_on_where_it_was_when_rows_left_it_meanwhile():
    for number in range(6):
        put(number)
    _, cursor = trouble.page("DEAD", ALL, 2, None, DEFAULT_QUEUE)
    for number in (0, 1, 3):
        aws.dynamodb().delete_item(TableName="Messages", Key={"message_id": f"m-{number:04}"})

    rows, cursor = trouble.page("DEAD", ALL, 2, cursor, DEFAULT_QUEUE)

    assert ids(rows) == ["m-0002", "m-0004"]
    assert ids(trouble.page("DEAD", ALL, 2, cursor, DEFAULT_QUEUE)[0]) == ["m-0005"]


def test_search_in_vain_ends_with_a_cursor_that_goes_on(monkeypatch):
    monkeypatch.setattr(trouble, "_READ_AT_ONCE", 1)
    monkeypatch.setattr(trouble, "READ_AT_MOST", 20)
    for number in range(60):
        put(number, message=sent(message_id=f"m-{number:04}", group_id=f"g{number}"))

    found = pages(Filter(group_id="g59"), 5)

    assert found[-1] == ["m-0059"]
    assert len(found) > 2
    assert found[:-1] == [[]] * (len(found) - 1)


def a_cursor(**key):
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


OURS = {"message_id": "m", "trouble": "DEAD", "updated_at": "t"}
NOT_OURS: list[dict[str, Any]] = [
    {"trouble": "QUARANTINED"}, {"updated_at": ""}, {"updated_at": 1}, {"updated_at": "t" * 1_025},
    {"message_id": "ä" * 513}, {"message_id": "\ud800"},
]  # fmt: skip
ANOTHER = a_cursor(run_id="r", dead_letter_queue="q", started_at="t")


@pytest.mark.parametrize(
    "cursor", ["", "x", "e30=", ANOTHER, *(a_cursor(**OURS | key) for key in NOT_OURS)]
)
def test_cursor_of_another_list_is_refused(cursor):
    with pytest.raises(InvalidCursor):
        trouble.page("DEAD", ALL, 10, cursor, DEFAULT_QUEUE)


# --- Filters --------------------------------------------------------------------------------


def mixed():
    """Put messages that differ in one respect each; return the one that is like no other."""
    put(0)
    put(1, message=sent(message_id="m-0001", group_id="other"))
    put(2, type="letter")
    put(3, reason=FROZEN | {"type": "KeyError"})
    put(4, reason=FROZEN | {"message": "Another sentence"})
    put(5, message=sent(message_id="m-0005", first_sent_at=before(hours=1)))
    put(6, message=sent(message_id="m-0006", first_sent_at=before(days=30)))
    put(7, message=sent(message_id="m-0007", payload=a_transaction(currency="USD")))


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"group_id": "other"}, 1),
        ({"type": "letter"}, 2),
        ({"reason": "KeyError"}, 3),
        ({"newer_than": "PT2H"}, 5),
        ({"newer_than": before(hours=1)}, 5),
        ({"older_than": "P29D"}, 6),
        ({"older_than": before(days=20)}, 6),
        ({"fingerprint": fingerprint("transaction", FROZEN | {"message": "Another sentence"})}, 4),
        ({"message_ids": ["m-0003"]}, 3),
        ({"payload": {"currency": "USD"}}, 7),
        ({"jmespath": "currency != 'EUR'"}, 7),
        ({"jmespath": "currency != 'EUR'", "message_ids": ["m-0000", "m-0007", "none"]}, 7),
        ({"group_id": "acc-1", "reason": "AccountFrozen", "older_than": "P29D"}, 6),
    ],
)
def test_filter_finds_the_one_message_by_page_by_iteration_and_for_an_action(fields, number):
    mixed()
    wanted = Filter.model_validate(fields)

    assert pages(wanted, 5) == [[f"m-{number:04}"]]
    assert ids(trouble.every("DEAD", wanted)) == [f"m-{number:04}"]
    chunks = trouble.chunks("DEAD", wanted, None, DEFAULT_QUEUE)
    assert [row["message_id"] for rows, _ in chunks for row, _ in rows] == [f"m-{number:04}"]
    assert list(trouble.every("QUARANTINED", wanted)) == []


def test_condition_that_dynamodb_applies_never_leaves_out_what_matches(monkeypatch):
    """The time with another zone and other decimals is another text, but the same time."""
    monkeypatch.setattr(trouble, "matches", lambda wanted, letter: True)
    times = (
        "2026-11-24T10:00:00Z",
        "2026-11-24T12:00:00.000001+02:00",
        "2026-11-23T20:00:00-14:00",
    )
    for number, first_sent_at in enumerate(times):
        put(number, first_sent_at=first_sent_at)
    put(3, first_sent_at=before(days=9))
    put(4, message=sent(message_id="m-0004", group_id="other"))

    assert pages(Filter(newer_than="2026-11-24T10:00:00Z"), 9) == [["m-0000", "m-0001", "m-0002"]]
    assert len(pages(Filter(older_than="2026-11-24T10:00:01Z"), 9)[0]) == 5
    assert pages(Filter(group_id="other"), 9) == [["m-0004"]]


# --- All of them ----------------------------------------------------------------------------


def test_every_match_is_found_over_many_pages_with_its_body_on_demand():
    for number in range(230):
        put(number, message=sent(message_id=f"m-{number:04}", group_id="ab"[number % 2]))
    wanted = Filter(group_id="a")

    without, whole = (list(trouble.every("DEAD", wanted, bodies=b)) for b in (0, 230))

    assert ids(without) == ids(whole) == [f"m-{number:04}" for number in range(0, 230, 2)]
    assert not any("body" in row or "payload_hash" in row for row in without)
    assert all(json.loads(row["body"])["message_id"] == row["message_id"] for row in whole)


def test_ids_are_looked_up_and_not_searched(calls):
    for number in range(3):
        put(number)
    put(3, "QUARANTINED")
    calls.ends.clear()

    found = trouble.every("DEAD", Filter(message_ids=["m-0002", "m-0000", "m-0003", "none"]))

    assert ids(found) == ["m-0000", "m-0002"]
    assert calls.ends == ["before BatchGetItem", "after BatchGetItem"]


def test_row_that_left_its_trouble_is_not_yielded_with_its_body(monkeypatch):
    for number in range(3):
        put(number)
    in_order = shards.in_order

    def late(*arguments, **more):
        for looked in in_order(*arguments, **more):
            aws.transact([transitions.discarded("m-0001", {"reason": "", "by": "o", "at": NOW})])
            yield looked

    monkeypatch.setattr(shards, "in_order", late)

    assert ids(trouble.every("DEAD", ALL, bodies=9)) == ["m-0000", "m-0002"]


@pytest.mark.parametrize("body", ["", "no JSON", "[1]", "{}", '{"payload": 1}', None])
def test_body_that_is_no_envelope_has_no_payload(body):
    put(1, body=body)

    assert list(trouble.every("DEAD", Filter(jmespath="!missing"))) == []
    assert ids(trouble.every("DEAD", ALL, bodies=9)) == ["m-0001"]


# --- What is told ---------------------------------------------------------------------------


def the_dead_letter(**columns):
    put(1, **columns)
    (found,), _ = failures.dead_letters(ALL, 10, None, default())
    return found


def test_dead_letter_tells_what_an_operator_asks():
    found = the_dead_letter(dead_at=before(days=2, hours=3), first_sent_at=before(days=3))

    assert found.model_dump() == {
        "message_id": "m-0001", "group_id": "acc-1", "type": "transaction", "reason": FROZEN,
        "fingerprint": fingerprint("transaction", FROZEN), "attempts": 5, "redrives": 1,
        "redrives_left": 2, "first_sent_at": before(days=3), "age_seconds": 3 * 86_400,
        "edited": False, "dead_at": before(days=2, hours=3), "hours_until_dropped": 12 * 24 - 3.0,
        "lost": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "left"),
    [
        ({"redrives": 0}, 3),
        ({"redrives": 3}, 0),
        ({"redrives": 4}, 0),
        ({"redrives": 4, "redrive_limit": 7}, 3),
    ],
)
def test_redrives_left_follow_the_message_s_own_budget(columns, left):
    assert the_dead_letter(**columns).redrives_left == left


@pytest.mark.parametrize(
    ("died", "hours"),
    [
        (before(minutes=0), 336.0),
        (before(minutes=10), 335.8),
        (before(days=13, hours=23, minutes=57), 0.1),
        (before(days=15), 0.0),
        ("2026-11-24T12:00:01Z", 336.0),  # a clock that is ahead
    ],
)
def test_hours_until_dropped_count_from_death(died, hours):
    assert the_dead_letter(dead_at=died).hours_until_dropped == hours


@pytest.mark.parametrize(
    ("columns", "gone"),
    [
        ({"dead_at": before(days=13, hours=23)}, False),
        ({"dead_at": before(days=14, minutes=20)}, True),
        ({"status": "QUEUED", "trouble": "DEAD", "dead_at": before(minutes=9_999)}, True),
        ({"status": "QUEUED", "trouble": "DEAD", "dead_at": before(minutes=9_998)}, False),
        ({"status": "PROCESSING", "trouble": "DEAD", "dead_at": before(minutes=9_999)}, False),
        ({"dead_at": None}, False),
    ],
)
def test_dead_letter_that_no_queue_has_any_more_is_told_from_one_that_a_run_finds(columns, gone):
    found = the_dead_letter(**columns)

    assert found.lost is gone
    assert found.hours_until_dropped == 0 or not gone


def test_retention_is_that_of_the_dead_letter_queue():
    queue = template()["Resources"]["DeadLetterQueue"]["Properties"]

    assert queue["MessageRetentionPeriod"] == lost.DEAD_LETTER_RETENTION_SECONDS


def test_row_without_a_time_of_death_died_when_it_was_last_changed():
    assert the_dead_letter(dead_at=None).dead_at == before(minutes=9_999)


def test_edited_message_is_marked():
    assert the_dead_letter(superseded_hashes=["a" * 64]).edited


def test_quarantined_message_tells_since_when():
    put(1, "QUARANTINED")
    (found,), _ = failures.quarantined(ALL, 10, None, default(), masked=True)

    assert (found.quarantined_at, found.body) == (before(minutes=9_999), None)
    assert set(found.model_dump()) == set(failures.DeadLetter.model_fields) - {
        "dead_at", "hours_until_dropped", "lost"
    } | {"quarantined_at", "body"}  # fmt: skip


def test_bodies_are_given_as_far_as_they_can_be_answered(monkeypatch):
    for number in range(5):
        put(number, "QUARANTINED", body=str(number) * 100)
    monkeypatch.setattr(failures, "_BODIES_BYTES", 250)
    cursor: str | None = None
    found: list[Any] = []
    while not found or cursor:
        page, cursor = failures.quarantined(ALL, 4, cursor, default(), masked=False)
        found.append([message.body and message.body[0] for message in page])

    assert found == [["0", "1"], ["2", "3"], ["4"]]
    monkeypatch.setattr(failures, "_BODIES_BYTES", 1)  # one is always given
    assert len(failures.quarantined(ALL, 4, None, default(), masked=False)[0]) == 1


def test_page_of_the_worst_bodies_is_no_larger_than_lambda_answers():
    for number in range(100):
        put(number, "QUARANTINED", body='"' * 120_000)

    page, cursor = failures.quarantined(ALL, 100, None, default(), masked=False)

    assert cursor is not None
    answer = json.dumps({"body": json.dumps([message.model_dump() for message in page])})
    assert 3_000_000 < len(answer) < 6_291_456


# --- Groups ---------------------------------------------------------------------------------


def test_failures_alike_are_one_group_and_the_largest_comes_first():
    other = {"type": "KeyError", "message": "no such key"}
    put(1, reason=other)
    for number in (2, 3, 4):
        put(number, reason=FROZEN | {"message": f"Account acc-{number} is frozen."})
    put(5, "QUARANTINED")

    found = failures.causes(default())

    assert found.complete
    assert [group.model_dump() for group in found.groups] == [
        {
            "fingerprint": fingerprint("transaction", FROZEN), "type": "transaction",
            "reason_type": "AccountFrozen",
            "sample": {"message_id": "m-0004", "message": "Account acc-4 is frozen."}, "count": 3,
            "oldest": before(minutes=9_998), "newest": before(minutes=9_996),
        },
        {
            "fingerprint": fingerprint("transaction", other), "type": "transaction",
            "reason_type": "KeyError",
            "sample": {"message_id": "m-0001", "message": "no such key"}, "count": 1,
            "oldest": before(minutes=9_999), "newest": before(minutes=9_999),
        },
    ]  # fmt: skip


def test_group_s_times_are_those_of_death():
    put(1, dead_at=before(hours=1))  # touched after it died
    put(2, dead_at=before(hours=2))
    (group,) = failures.causes(default()).groups

    assert (group.oldest, group.newest) == (before(hours=2), before(hours=1))
    assert group.sample.message_id == "m-0001"


@pytest.mark.parametrize(("most", "complete"), [(2, False), (3, False), (4, True)])
def test_groups_say_when_they_are_not_all(monkeypatch, most, complete):
    monkeypatch.setattr(trouble, "READ_AT_MOST", most)
    for number in range(3):
        put(number)

    found = failures.causes(default())

    assert (found.complete, found.groups[0].count) == (complete, min(3, most))


def test_too_many_groups_are_not_complete(monkeypatch):
    monkeypatch.setattr(failures, "_CAUSES_SHOWN", 1)
    put(1)
    assert failures.causes(default()).complete
    put(2, reason=FROZEN | {"type": "KeyError"})

    found = failures.causes(default())

    assert (len(found.groups), found.complete) == (1, False)


# --- Routes ---------------------------------------------------------------------------------


def call(path, roles=("producer",), **query):
    module = list_quarantine if path.endswith("quarantine") else list_dead_letters
    answer = module.handler(api_event("GET", path, query=query or None, roles=roles), CONTEXT)
    return int(answer["statusCode"]), json.loads(answer["body"])


LISTS = {"/messages/dlq": "DEAD", "/messages/quarantine": "QUARANTINED"}


@pytest.mark.parametrize("path", LISTS)
def test_list_is_paged_and_filtered_by_the_query(path):
    for number in range(4):
        put(number, LISTS[path])
    put(4, LISTS[path], reason={"type": "KeyError", "message": "x"})
    query = {
        "reason": "AccountFrozen", "type": "transaction", "group_id": "acc-1",
        "fingerprint": fingerprint("transaction", FROZEN), "newer_than": "P30D", "limit": "3",
    }  # fmt: skip

    status, first = call(path, **query)
    _, second = call(path, cursor=first["cursor"], **query)

    assert status == 200
    assert ids(first["messages"]) == ["m-0000", "m-0001", "m-0002"]
    assert (ids(second["messages"]), second["cursor"]) == (["m-0003"], None)
    assert call(path, older_than="P30D")[1] == {"messages": [], "cursor": None}
    assert ids(call(path, reason="KeyError")[1]["messages"]) == ["m-0004"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("limit", "0", "1"),
        ("limit", "101", "100"),
        ("cursor", "x", "not one that a page of this list ended with"),
        ("older_than", "yesterday", "P1D"),
        ("newer_than", "20261202", "a date or a time"),
        ("older_than", "90", "90s"),
        ("newer_than", "P9999D", "P3650D"),
        ("fingerprint", "canary", "pattern"),
        ("group_id", "a b", "pattern"),
        ("group_id", "g" * 129, "128"),
        ("reason", "", "pattern"),
        ("type", "\ud800", "unicode"),
    ],
)
def test_wrong_query_is_422_naming_parameter_and_limit(path, name, value, said):
    status, body = call(path, **{name: value})

    assert (status, body["error"]["code"]) == (422, "invalid_request")
    assert name in body["error"]["message"]
    assert said in body["error"]["message"]
    assert "canary" not in json.dumps(body)


def test_body_of_a_quarantined_message_is_for_operators_only(output):
    put(1, "QUARANTINED", body="canary")

    shown = call("/messages/quarantine")[1]
    whole = call("/messages/quarantine", roles=("operator", "producer"))[1]

    assert "canary" not in json.dumps(shown)
    assert whole["messages"] == [shown["messages"][0] | {"body": "canary"}]
    assert "canary" not in output()


def test_foreign_message_is_listed_too():
    body = "no envelope"
    put(1, "QUARANTINED", message_id="sqs:0000", group_id="their/group!", type="foreign", body=body)

    found = call("/messages/quarantine", group_id="their/group!")[1]["messages"]

    assert ids(found) == ["sqs:0000"]

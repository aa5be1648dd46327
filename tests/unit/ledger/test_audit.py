"""Audit records: written with the deed or not at all, and listed newest first in bounded pages."""

import base64
import json
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_calls import Calls
from tests.support.cloud import ENVIRONMENT, audited
from tests.support.messages import a_message, an_operator
from tests.support.troubles import in_trouble
from workflows.ledger import audit, lookup, transitions
from workflows.operator import discard
from workflows.operator.discard import DiscardRequest
from workflows.queues.queue import default
from workflows.redrive import requests, runs
from workflows.redrive.requests import RedriveRequest
from workflows.runtime import aws, clock
from workflows.runtime.paging import InvalidCursor
from workflows.runtime.period import InvalidPeriod

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines", "recursion_limit")

CANARY = "canary-7c1f"
WHO = {"actor": "o@example.com", "role": "operator", "source_ip": "192.0.2.1"}
WHY = DiscardRequest(reason="the customer left")


def dead(message_id="m-1", **changes):
    why = {"type": "OSError", "message": CANARY}
    in_trouble(message=a_message(message_id=message_id, **changes), reason=why)


def status_of(message_id="m-1"):
    return lookup.get(message_id)["status"]


def note(at, action="discard_message", **about):
    """Put a record of any time, as the machines write one too."""
    about = {"actor": "o@example.com", "result": "DISCARDED", "input": {}} | about
    item = {"day": at[:10], "entry": f"{at}#{len(audited()):04}", "at": at, "action": action}
    aws.dynamodb().put_item(TableName="Audit", Item=item | about)


def page(since=None, until=None, **more):
    return audit.page(since, until, **{"limit": 20, "cursor": None} | more)


def times(*arguments, **more):
    """Return when the records of a page were written."""
    return [record["at"] for record in page(*arguments, **more)[0]]


def all_pages(limit, *arguments, **more):
    """Return the pages up to the last one, which has no cursor."""
    found, cursor = [], None
    for _ in range(1_000):
        records, cursor = page(*arguments, limit=limit, cursor=cursor, **more)
        found.append([record["at"] for record in records])
        if cursor is None:
            return found
    raise AssertionError("the list has no end")


# --- Writing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda: discard.discard("m-1", WHY, an_operator()),
        lambda: requests.start(RedriveRequest(), an_operator()),
    ],
    ids=["discard", "start"],
)
def test_action_whose_record_cannot_be_written_does_not_happen(act):
    dead()
    aws.dynamodb().delete_table(TableName="Audit")

    with pytest.raises(ClientError):
        act()

    assert status_of() == "DEAD"
    assert runs.page(20, None, default()) == ([], None)
    assert aws.stepfunctions().list_executions(
        stateMachineArn=ENVIRONMENT["REDRIVE_STATE_MACHINE_ARN"]
    )["executions"] == []  # fmt: skip


def test_discard_of_what_is_not_in_trouble_leaves_no_record_of_a_deed():
    transitions.accept(a_message())

    with pytest.raises(transitions.NotInTrouble, match="m-1 is ACCEPTED"):
        discard.discard("m-1", WHY, an_operator())

    assert audited() == []


def test_second_discard_changes_nothing_and_is_recorded_as_that():
    dead()
    discard.discard("m-1", WHY, an_operator())
    first = lookup.get("m-1")

    again = discard.discard("m-1", DiscardRequest(reason="x"), an_operator(email="x@example.com"))

    assert again == first == lookup.get("m-1")
    found = [(record["actor"], record["result"]) for record in audited()]
    assert found == [("o@example.com", "DISCARDED"), ("x@example.com", "UNCHANGED")]
    assert audited()[1]["input"] == {"reason": "x"}


def test_record_is_never_overwritten(monkeypatch):
    monkeypatch.setattr("workflows.ledger.audit.secrets.token_hex", lambda _: "0")
    monkeypatch.setattr(clock, "now", lambda: "2026-11-24T12:00:00.000Z")
    part = audit.entry(an_operator(), "start_run", result="STARTED", input={})
    other = audit.entry(an_operator(), "start_run", result="ABORTED", input={})

    assert aws.transact([part]) is None
    assert aws.transact([other]) is not None
    assert [record["result"] for record in audited()] == ["STARTED"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (1.5, Decimal("1.5")),
        (10**38 - 1, Decimal(10**38 - 1)),
        (10**38 + 1, str(10**38 + 1)),
        (1e200, "1e+200"),
        (True, True),
        (None, None),
        (("a", [0.1, {"b": ""}]), ["a", [Decimal("0.1"), {"b": ""}]]),
    ],
    ids=str,
)
def test_input_is_kept_whatever_json_it_is(given, stored):
    part = audit.entry(an_operator(), "start_run", result="STARTED", input={"x": given})
    aws.transact([part])

    assert audited()[0]["input"] == {"x": stored}
    assert json.loads(json.dumps(page()[0]))


# --- Listing ------------------------------------------------------------------------------

NOON = [f"2026-11-{day}T12:00:00.000Z" for day in ("01", "10", "11", "24")]
NEWEST_FIRST = NOON[::-1]
ALL = ("2026-11-01", "2026-11-24")


@pytest.fixture
def noons(tables):
    for at in NOON:
        note(at)


@pytest.mark.usefixtures("noons")
@pytest.mark.parametrize("only", [{}, {"actor": "o@example.com"}], ids=str)
@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        ("2026-11-10", "2026-11-11", [2, 1]),
        ("2026-11-11", "2026-11-11", [2]),
        ("2026-11-10T12:00:00.000Z", "2026-11-11T12:00:00Z", [2, 1]),
        ("2026-11-10T12:00:00.001Z", "2026-11-11T11:59:59.999Z", []),
        ("2026-11-10T12:00:00+01:00", "2026-11-11T12:00:00-01:00", [2, 1]),
        ("2026-11-10T12:00:00-00:01", "2026-11-11T12:00:00+00:01", []),
        ("2026-11-12", "2026-11-23", []),
        (None, "2026-11-30", [3, 2, 1, 0]),  # thirty days before its end
        (None, "2026-12-02", [3, 2, 1]),
    ],
    ids=str,
)
def test_period_is_inclusive_and_a_date_is_the_whole_day(since, until, found, only):
    assert times(since, until, **only) == [NOON[index] for index in found]


def test_without_a_period_the_last_thirty_days_are_listed(later):
    discard_like = audit.entry(an_operator(), "start_run", result="STARTED", input={})
    aws.transact([discard_like])
    at = audited()[0]["at"]

    later(30 * 86_400 - 60)
    assert times() == times(actor="o@example.com") == [at]
    later(120)
    assert times() == times(actor="o@example.com") == []


@pytest.mark.usefixtures("noons")
@pytest.mark.parametrize("only", [{}, {"actor": "o@example.com"}], ids=str)
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_are_full_and_hold_every_record_once(limit, only):
    note(NOON[2], result="x")  # two of one moment
    pages = all_pages(limit, *ALL, **only)

    assert list(chain(*pages)) == sorted([*NOON, NOON[2]], reverse=True)
    assert [len(found) for found in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 0 < len(pages[-1]) <= limit


def test_page_of_many_small_reads_is_whole():
    for second in range(45):
        at = f"2026-11-10T12:00:{second:02}.000Z"
        note(at, actor=f"{second % 3}@example.com", message_id=f"m-{second % 2}")

    assert [len(found) for found in all_pages(10, *ALL, actor="1@example.com")] == [10, 5]
    assert len(times(*ALL, limit=3, actor="1@example.com", message_id="m-1")) == 3
    both = list(chain(*all_pages(3, *ALL, actor="1@example.com", message_id="m-1")))
    assert both == [f"2026-11-10T12:00:{s:02}.000Z" for s in range(44, -1, -1) if s % 6 == 1]


@pytest.mark.usefixtures("noons")
def test_record_says_whose_queue_it_is():
    def said(action, **about):
        asked: dict[str, Any] = {"input": about.pop("input", {}), "result": "x"}
        return audit.entry(an_operator(), action, **asked | about)["Put"]["Item"].get("queue")

    assert said("edit_message", message_id="sqs:orders:o-1") == "orders"
    assert said("edit_message", message_id="m-1") == said("start_run") == "default"
    assert said("start_run", input={"queue": "orders"}) == "orders"
    assert said("end_run", queue="orders") == "orders"
    assert said("cancel_run") is None  # a refusal, of a run that may not be there


@pytest.mark.parametrize("more", [{}, {"actor": "o@example.com"}], ids=str)
def test_records_of_a_queue_are_found_among_any_number_of_others(more, tables, monkeypatch):
    for queue, at in zip(("orders", "default", None, "orders"), NOON, strict=True):
        note(at, **({"queue": queue} if queue else {}))

    assert times(*ALL, queue="orders", **more) == [NOON[3], NOON[0]]
    assert all_pages(1, *ALL, queue="orders", **more) == [[NOON[3]], [NOON[0]]]
    monkeypatch.setattr(audit, "_READ_AT_MOST", 2)
    assert all_pages(5, *ALL, queue="orders", **more) == [[NOON[3]], [NOON[0]], []]


def test_actor_and_message_are_found_by_their_index_and_in_no_other_way(calls: Calls):
    note("2026-11-20T00:00:00.000Z", actor="schedule", action="end_run", role="schedule")
    note("2026-11-21T00:00:00.000Z", message_id="m-1")
    before = len(calls.ends)

    assert times(*ALL, actor="schedule") == ["2026-11-20T00:00:00.000Z"]
    assert times(*ALL, message_id="m-1") == ["2026-11-21T00:00:00.000Z"]
    assert times(*ALL, message_id="m-1", actor="schedule") == []
    assert times(*ALL, message_id="unknown") == []
    assert calls.ends[before:] == ["before Query", "after Query"] * 4


def test_days_after_the_cursor_are_not_read_again(calls: Calls):
    note("2026-11-02T12:00:00.000Z")
    note("2026-11-01T12:00:00.000Z")
    cursor = page(*ALL, limit=1)[1]
    before = len(calls.ends)

    assert times(*ALL, limit=1, cursor=cursor) == ["2026-11-01T12:00:00.000Z"]
    assert calls.ends[before:].count("before Query") == 2


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize("text", [
    "", "x", "2026-11-24T12:00:00", "2026-11-24T12:00:00 01:00", "2026-02-30", "2026-11-24T25Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1764000000", "2026-11-24T",
    "20261124", "20261124T120000Z", "2026-W48-2", "2026-11-24 12:00:00Z", "٢٠٢٦-١١-٢٤",
])  # fmt: skip
def test_time_that_is_none_is_refused_by_name(field, text):
    since, until = (text, None) if field == "from" else (None, text)

    with pytest.raises(InvalidPeriod, match=f"^{field}: must be a date"):
        page(since, until)


@pytest.mark.parametrize(
    ("since", "until", "problem"),
    [
        ("2026-11-24", "2026-11-23", "^from: must not be later"),
        ("2025-11-23T11:59:59.999Z", "2026-11-24T12:00:00Z", "^from: must be at most 366 days"),
        ("0001-01-01", "9999-12-31", "^from: must be at most 366 days"),
        ("2100-01-01", None, "^from: must not be later"),
    ],
)
def test_period_that_is_none_or_too_long_is_refused(since, until, problem):
    with pytest.raises(InvalidPeriod, match=problem):
        page(since, until)


@pytest.mark.parametrize(
    ("since", "until"),
    [("2025-11-23T12:00:00Z", "2026-11-24T12:00:00Z"), (None, "0001-01-01"), (None, "9999-12-31")],
)
def test_longest_and_outermost_periods_are_listed(since, until):
    assert times(since, until) == []


@pytest.mark.usefixtures("noons")
@pytest.mark.parametrize(
    ("entry", "found"),
    [("2026-11-10T12:00:00.000Z#0001", [0]), ("2026-11-1", [0]), ("0", []), ("\0", [])],
)
@pytest.mark.parametrize("only", [{}, {"actor": "o@example.com"}], ids=str)
def test_cursor_is_a_place_whatever_a_client_makes_of_it(entry, found, only, calls: Calls):
    cursor = base64.urlsafe_b64encode(json.dumps({"entry": entry}).encode()).decode()

    assert times(*ALL, cursor=cursor, **only) == [NOON[index] for index in found]
    if not found:  # DynamoDB refuses a range that ends before it begins
        assert "before Query" not in calls.ends


@pytest.mark.parametrize("key", [{"entry": "2026-11-25"}, {"entry": 1}, {"run_id": "x"}, "x"])
def test_cursor_of_another_list_is_refused(key):
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode()

    with pytest.raises(InvalidCursor):
        page(*ALL, cursor=cursor)

"""Bulk actions: what a filter selects, and sweeps, which touch each message once and end."""

import base64
import json

import pytest
from pydantic import ValidationError

from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import in_trouble, row
from workflows.ledger import lookup, trouble
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.operator import bulk, discard, edit, retry_by_hand
from workflows.operator.bulk import Selection, each
from workflows.operator.discard import DiscardRequest
from workflows.operator.retry_by_hand import RetryRequest
from workflows.runtime import clock, shards
from workflows.runtime.paging import InvalidCursor, cursor
from workflows.runtime.shards import Looked

ACTOR = an_operator()

pytestmark = pytest.mark.usefixtures("tables", "queues", "machines")


def put(number, status="DEAD", group="acc-1", payload=None, **columns):
    message = a_message(
        message_id=f"m-{number}", group_id=group, payload=payload or a_transaction()
    )
    at = f"2026-11-24T12:00:{number:02}.000Z"
    return in_trouble(status, message, **{"updated_at": at} | columns)


def retry(message_id):
    return retry_by_hand.retry(message_id, RetryRequest(), ACTOR)


def noting(seen):
    """Return an act that changes nothing and notes what it was called with."""

    def act(message_id):
        seen.append(message_id)
        return row(message_id)

    return act


def chosen(**given):
    """Return the ids of the messages that a selection acts on, and the cursor."""
    seen: list[str] = []
    results, cursor = each(Selection(**{"filter": {}} | given), noting(seen))
    assert [result.message_id for result in results] == seen
    return seen, cursor


def test_empty_filter_selects_all_of_the_status_and_has_to_be_given():
    for number, status in enumerate(["DEAD", "QUARANTINED", "DEAD", "RETRYING"]):
        put(number, status)

    assert chosen() == (["m-0", "m-2"], None)
    assert chosen(status="QUARANTINED") == (["m-1"], None)
    with pytest.raises(ValidationError):
        Selection.model_validate({})


@pytest.mark.parametrize("by", ["index", "ids"])
def test_calls_go_on_where_the_one_before_stopped(by):
    ids = [f"m-{number}" for number in range(5)]
    for number in range(5):
        put(number, group="acc-2" if number == 1 else "acc-1")
    wanted = {"group_id": "acc-1"} | ({"message_ids": ids} if by == "ids" else {})

    first, cursor = chosen(filter=wanted, limit=2)
    second, end = chosen(filter=wanted, limit=2, cursor=cursor)

    assert (first, second, end) == (["m-0", "m-2"], ["m-3", "m-4"], None)


def test_messages_that_always_fail_do_not_keep_the_others_from_their_turn():
    for number in range(4):
        put(number, redrives=3 if number < 3 else 0)

    _, cursor = each(Selection(filter=Filter(), limit=3), retry)
    results, end = each(Selection(filter=Filter(), limit=3, cursor=cursor), retry)

    assert ([result.message_id for result in results], end) == (["m-3"], None)


def test_call_ends_in_time_and_says_where(later):
    for number in range(3):
        put(number)

    def slow(message_id):
        later(bulk._SECONDS)
        return retry(message_id)

    results, cursor = each(Selection(filter=Filter()), slow)
    assert [result.message_id for result in results] == ["m-0"]
    assert chosen(cursor=cursor) == (["m-1", "m-2"], None)


def index_has(monkeypatch, *rows):
    found = Looked(list(rows), len(rows), None)
    monkeypatch.setattr(shards, "in_order", lambda *_, **__: iter([found]))


def test_row_that_the_index_still_has_in_trouble_is_not_touched(monkeypatch):
    """The index is eventually consistent; the row is not."""
    put(0, "REDRIVEN", trouble="SENDING")
    index_has(monkeypatch, row("m-0") | {"trouble": "DEAD"})

    assert chosen() == ([], None)


def test_cursor_is_where_the_index_has_a_row_and_not_where_it_will_have_it(monkeypatch):
    for number in range(3):
        put(number)
    rows = [row(f"m-{number}") for number in range(3)]
    put(0, updated_at="2026-11-24T12:00:05.000Z")
    index_has(monkeypatch, *rows)
    first, cursor = chosen(limit=1)
    monkeypatch.undo()

    assert (first, chosen(cursor=cursor)[0]) == (["m-0"], ["m-1", "m-2", "m-0"])


# --- Sweeps: a bulk action that refills its own list -----------------------------------------

IDS = [f"m-{number}" for number in range(4)]
FILTERS = {
    "all": {},
    "ids": {"message_ids": [*IDS, "m-parked"]},
    "record": {"group_id": "acc-1", "reason": "AccountFrozen"},
    "payload": {"payload": {"currency": "EUR"}},
    "jmespath": {"jmespath": "kind == 'credit'"},
}


@pytest.fixture
def four(later):
    """Four messages that are dead since a second ago."""
    for message_id in IDS:
        die(message_id)
    later(1)


def die(message_id, status="DEAD"):
    message = a_message(message_id=message_id, payload=a_transaction())
    redrives = int(lookup.get_many([message_id]).get(message_id, {"redrives": 0})["redrives"])
    in_trouble(status, message, updated_at=clock.now(), dead_at=clock.now(), redrives=redrives)


def swept(act, limit=2, calls=9, **given):
    """Follow the cursor of a sweep to its end; return the ids that it acted on, in order."""
    found, after = [], None
    for _ in range(calls):
        outcomes, after = each(Selection(limit=limit, cursor=after, **given), act)
        found += [outcome.message_id for outcome in outcomes]
        if after is None:
            return found
    raise AssertionError(f"The sweep does not end: {found}")


def retried_and_dead_again(later):
    def act(message_id):
        found = retry_by_hand.retry(message_id, RetryRequest(reset_redrives=True), ACTOR)
        later(1)
        die(message_id)
        return found

    return act


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_message_that_dies_again_is_not_retried_by_the_same_sweep(four, later, wanted, limit):
    act = retried_and_dead_again(later)

    assert swept(act, limit, filter=wanted) == IDS
    assert [int(row(message_id)["redrives"]) for message_id in IDS] == [1] * 4
    assert swept(act, limit, filter=wanted) == IDS  # another sweep finds them again


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_message_that_was_parked_when_the_sweep_began_is_not_discarded(four, later, wanted):
    """The group went on when its dead message was discarded, and the next one died."""

    def act(message_id):
        found = discard.discard(message_id, DiscardRequest(reason="all"), ACTOR)
        later(1)
        die("m-parked")
        return found

    assert swept(act, filter=wanted) == IDS
    assert row("m-parked")["status"] == "DEAD"


@pytest.mark.parametrize("status", ["DEAD", "QUARANTINED"])
def test_message_that_is_edited_and_dies_meanwhile_is_edited_once(later, status):
    for message_id in IDS:
        die(message_id, status)
    later(1)

    def act(message_id):
        found = edit.merge(message_id, {"currency": "USD"}, ACTOR)
        later(1)
        die(message_id, status)
        return found

    assert swept(act, limit=1, filter=Filter(), status=status) == IDS


def test_call_that_is_repeated_with_its_cursor_touches_nothing_twice(four, later):
    act = retried_and_dead_again(later)
    _, after = each(Selection(filter=Filter(), limit=1), act)
    again = Selection(filter=Filter(), limit=2, cursor=after)

    assert [outcome.message_id for outcome in each(again, act)[0]] == ["m-1", "m-2"]
    assert [outcome.message_id for outcome in each(again, act)[0]] == ["m-3"]


def test_row_that_died_again_is_passed_over_while_the_index_is_behind(four, later, monkeypatch):
    behind = [row(message_id) for message_id in IDS]
    _, after = each(Selection(filter=Filter(), limit=1), retried_and_dead_again(later))
    later(1)
    die("m-2")
    index_has(monkeypatch, *behind)

    outcomes, _ = each(Selection(filter=Filter(), cursor=after), retried_and_dead_again(later))

    assert [outcome.message_id for outcome in outcomes] == ["m-1", "m-3"]


def read(text):
    return json.loads(base64.urlsafe_b64decode(text))


@pytest.mark.parametrize("forged", [
    {"began": "2100-01-01T00:00:00.000Z"}, {"began": "9"}, {"began": ""}, {"began": None},
    {"began": "2026-11-24"}, {"updated_at": "~"}, {"more": "1"}, {"trouble": "QUARANTINED"},
], ids=str)  # fmt: skip
def test_cursor_of_no_sweep_is_refused(four, forged):
    after = each(Selection(filter=Filter(), limit=1), row)[1]
    assert after is not None

    with pytest.raises(InvalidCursor, match="cursor: "):
        each(Selection(filter=Filter(), cursor=cursor(read(after) | forged)), row)


def test_cursors_of_lists_and_of_sweeps_are_not_taken_for_each_other(four):
    of_list = trouble.page("DEAD", Filter(), 1, None, DEFAULT_QUEUE)[1]
    of_sweep = each(Selection(filter=Filter(), limit=1), row)[1]

    with pytest.raises(InvalidCursor):
        each(Selection(filter=Filter(), cursor=of_list), row)
    with pytest.raises(InvalidCursor):
        trouble.page("DEAD", Filter(), 1, of_sweep, DEFAULT_QUEUE)

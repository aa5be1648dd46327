"""Bulk actions: what a filter selects, partial results, and going on where a call stopped."""

import pytest
from pydantic import ValidationError

from tests.support.cloud import audited
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import in_trouble, row, sent
from workflows.ledger import trouble
from workflows.messages.filters import Filter
from workflows.messages.reasons import fingerprint
from workflows.operator import bulk, discard, edit, retry_by_hand
from workflows.operator.bulk import Selection, each
from workflows.operator.discard import DiscardRequest
from workflows.operator.edit import EditSelection
from workflows.operator.retry_by_hand import RetryRequest
from workflows.runtime.paging import InvalidCursor

ACTOR = an_operator()
MISSING = {"type": "KeyError", "message": "It is missing."}


@pytest.fixture(autouse=True)
def _cloud(tables, queues, machines):
    """Every test needs them."""


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


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"message_ids": ["m-3", "m-1", "m-2", "none"]}, ["m-1", "m-3"]),
        ({"group_id": "acc-2"}, ["m-3"]),
        ({"type": "transaction"}, ["m-0", "m-1", "m-3"]),
        ({"reason": "AccountFrozen"}, ["m-0", "m-3"]),
        ({"fingerprint": fingerprint("transaction", MISSING)}, ["m-1"]),
        ({"newer_than": "2100-01-01T00:00:00Z"}, []),
        ({"payload": {"amount": "7.00"}}, ["m-1"]),
        ({"jmespath": "to_number(amount) > `8`", "reason": "AccountFrozen"}, ["m-0", "m-3"]),
        ({"jmespath": "to_number(amount) > `8`", "message_ids": ["m-0", "m-1"]}, ["m-0"]),
    ],
)
def test_filter_selects(wanted, found):
    put(0)
    put(1, payload=a_transaction(amount="7.00"), reason=MISSING)
    put(2, "QUARANTINED", payload=a_transaction(amount="7.00"))
    put(3, group="acc-2")

    assert chosen(filter=wanted) == (found, None)


def test_body_that_is_no_envelope_matches_no_payload():
    put(0, body="{")

    assert chosen(filter={"payload": {"amount": "10.00"}}) == ([], None)
    assert chosen(filter=Filter()) == (["m-0"], None)


@pytest.mark.parametrize("by", ["index", "ids"])
def test_calls_go_on_where_the_one_before_stopped(by):
    ids = [f"m-{number}" for number in range(5)]
    for number in range(5):
        put(number, group="acc-2" if number == 1 else "acc-1")
    wanted = {"group_id": "acc-1"} | ({"message_ids": ids} if by == "ids" else {})

    first, cursor = chosen(filter=wanted, limit=2)
    second, end = chosen(filter=wanted, limit=2, cursor=cursor)

    assert (first, second, end) == (["m-0", "m-2"], ["m-3", "m-4"], None)


def test_what_is_acted_on_leaves_the_list_and_the_rest_follows():
    for number in range(5):
        put(number)

    results, cursor = each(Selection(filter=Filter(), limit=3), retry)
    rest, end = each(Selection(filter=Filter(), limit=3, cursor=cursor), retry)

    assert [result.status for result in [*results, *rest]] == ["REDRIVEN"] * 5
    assert end is None
    assert [copy[0] for copy in sent()] == [f"m-{number}.r1" for number in range(5)]
    assert each(Selection(filter=Filter()), retry) == ([], None)


def test_errors_concern_their_own_message_only():
    put(0)
    put(1, redrives=3)
    put(2)

    results, _ = each(Selection(filter=Filter()), retry)

    assert [result.status for result in results] == ["REDRIVEN", None, "REDRIVEN"]
    assert type(results[1].error).__name__ == "RedriveLimitReached"
    assert len(sent()) == 2


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
    monkeypatch.setattr(trouble, "_answers", lambda *_, **__: iter([{"Items": list(rows)}]))


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


@pytest.mark.parametrize("cursor", ["x", "e30=", ""])
def test_cursor_of_another_list_is_refused(cursor):
    put(0)
    put(1)
    ours = chosen(limit=1)[1]

    with pytest.raises(InvalidCursor):
        chosen(cursor=cursor)
    with pytest.raises(InvalidCursor):
        chosen(cursor=ours, status="QUARANTINED")


def test_merge_edits_what_it_changes_and_passes_over_the_rest():
    put(0, payload=a_transaction(currency="USD"))
    put(1, payload=a_transaction(currency="GBP"))
    put(2, payload={"amount": "1.00"})
    wanted = EditSelection(filter=Filter(), merge={"currency": "USD"})

    results, _ = each(wanted, lambda message_id: edit.merge(message_id, wanted.merge, ACTOR))

    assert [(o.message_id, o.status) for o in results] == [("m-1", "DEAD"), ("m-2", None)]
    assert type(results[1].error).__name__ == "InvalidPayload"
    assert '"currency":"USD"' in row("m-1")["body"]
    assert [record["message_id"] for record in audited()] == ["m-1"]


def test_discard_of_many_is_recorded_one_by_one():
    for number in range(3):
        put(number, group=f"acc-{number}")
    why = DiscardRequest(reason="all of them")

    results, _ = each(
        Selection(filter=Filter()), lambda message_id: discard.discard(message_id, why, ACTOR)
    )

    assert [result.status for result in results] == ["DISCARDED"] * 3
    assert [record["message_id"] for record in audited()] == ["m-0", "m-1", "m-2"]
    assert [row(f"m-{n}")["discarded"]["reason"] for n in range(3)] == ["all of them"] * 3


@pytest.mark.parametrize(
    "given",
    [
        {"limit": 0}, {"limit": 101}, {"status": "RETRYING"}, {"filter": {"nothing": 1}},
        {"filter": None}, {"merge": {}}, {"merge": [1]}, {"merge": None}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_absurd_selection_is_refused(given):
    with pytest.raises(ValidationError):
        EditSelection(**{"filter": {}, "merge": {"amount": "1.00"}} | given)

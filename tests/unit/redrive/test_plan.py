"""Plans: what a run would do, message by message, without doing any of it."""

import dataclasses
import json
from datetime import datetime, timedelta

import pytest

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import LIMIT, WHY, in_trouble, row
from workflows.ledger import trouble
from workflows.messages.filters import Filter
from workflows.messages.message_types import TYPES
from workflows.operator import edit, retry_by_hand
from workflows.queues.queue import default
from workflows.redrive import estimate, looked_at, plan, prices, requests
from workflows.redrive.judge import Judge
from workflows.redrive.requests import RedriveRequest
from workflows.runtime import aws, clock
from workflows.runtime.settings import settings

pytestmark = pytest.mark.usefixtures("recursion_limit")

NOW = "2026-11-24T18:00:00.000Z"
FILTER = "The filter leaves it out."
GROUP = "A message before it in its group stays."


@pytest.fixture(autouse=True)
def _evening(tables, queues, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)


def before(**spans):
    moment = datetime.fromisoformat(NOW) - timedelta(**spans)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dead(number, group="acc-1", message=None, **columns):
    """Put a dead message into the ledger; those with greater numbers died later."""
    message = message or a_message(message_id=f"m-{number}", group_id=group)
    died = before(minutes=1_000 - number)
    return in_trouble("DEAD", message, **{"updated_at": died, "dead_at": died} | columns)


def with_payload(number, **payload):
    return a_message(
        message_id=f"m-{number}", group_id=f"g-{number}", payload=a_transaction(**payload)
    )


def drawn(**request):
    return requests.dry_run(RedriveRequest.model_validate(request))


def told(found):
    """Return what a plan says of each message, by its id."""
    return {one.message_id: (one.verdict, one.reason) for one in found.messages}


# --- Verdicts -------------------------------------------------------------------------------


def test_message_that_was_retried_by_hand_and_died_again_is_planned_as_it_is_run():
    dead(1, redrives=1, redrive_mark="#1")

    assert told(drawn()) == {"m-1": ("redrive", None)}


def test_empty_ledger_is_an_empty_plan():
    found = drawn()

    assert (found.counts, found.groups, found.messages, found.complete) == ({}, 0, [], True)


def test_every_message_has_a_verdict_the_longest_dead_first():
    dead(3, "b")
    dead(1, "a")
    dead(2, "a")

    found = drawn()

    assert [one.model_dump() for one in found.messages] == [
        {"message_id": "m-1", "group_id": "a", "verdict": "redrive", "reason": None},
        {"message_id": "m-2", "group_id": "a", "verdict": "redrive", "reason": None},
        {"message_id": "m-3", "group_id": "b", "verdict": "redrive", "reason": None},
    ]
    assert (found.counts, found.groups) == ({"redrive": 3}, 2)


def test_only_dead_messages_are_planned():
    dead(1)
    in_trouble("RETRYING", a_message(message_id="m-2"))
    in_trouble("QUARANTINED", a_message(message_id="m-3"))
    in_trouble("PROCESSED", a_message(message_id="m-4"), trouble=None)

    assert list(told(drawn())) == ["m-1"]


def test_filter_leaves_others_and_what_is_behind_them_in_their_group():
    dead(1, "a")
    dead(2, "b")
    dead(3, "a")
    dead(4, "b", message=with_payload(4, currency="USD").model_copy(update={"group_id": "b"}))
    dead(5, "b")

    found = drawn(filter={"payload": {"currency": "EUR"}})

    assert told(found) == {
        "m-1": ("redrive", None),
        "m-2": ("redrive", None),
        "m-3": ("redrive", None),
        "m-4": ("left", FILTER),
        "m-5": ("left", GROUP),
    }
    assert (found.counts, found.groups) == ({"redrive": 3, "left": 2}, 2)


def test_edited_message_keeps_its_place_in_its_group():
    dead(1, "a")
    dead(2, "a", reason=WHY | {"type": "KeyError"})
    edit.edit("m-1", a_transaction(amount="2.00"), an_operator())

    found = drawn(filter={"reason": "AccountFrozen"})

    assert list(told(found).values()) == [("redrive", None), ("left", FILTER)]


@pytest.mark.parametrize(("limit", "shown"), [(1, 1), (2, 2), (3, 4), (9, 4)])
def test_max_messages_counts_what_is_dealt_with_and_not_what_is_left(limit, shown):
    dead(1, "a")
    dead(2, "b", redrives=LIMIT)  # will be quarantined, which is dealing with it
    dead(3, "c", message=with_payload(3, currency="USD"))
    dead(4, "d")

    found = drawn(max_messages=limit, filter={"payload": {"currency": "EUR"}})

    assert found.counts.get("redrive", 0) + found.counts.get("quarantine", 0) == min(limit, 3)
    assert len(found.messages) == shown


@pytest.mark.parametrize(
    ("message", "columns", "reason"),
    [
        (a_message(first_sent_at=before(days=15)), {}, "TooOld"),
        (a_message(), {"redrives": LIMIT}, "RedriveLimitReached"),
        (a_message(), {"redrives": LIMIT + 2, "redrive_limit": LIMIT + 2}, "RedriveLimitReached"),
        (a_message(payload=a_transaction(amount="-1")), {}, "InvalidPayload"),
        (a_message(type="letter"), {}, "UnknownType"),
        (a_message(), {"reason": WHY | {"type": "UnknownMessage"}}, "UnknownMessage"),
        (a_message(), {"payload_hash": "0" * 64, "meaning_hash": "0" * 64}, "MessageConflict"),
        (a_message(), {"body": "no envelope"}, "InvalidEnvelope"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_redriven_is_planned_for_quarantine_with_its_reason(
    message, columns, reason
):
    dead(1, message=message, **columns)

    found = drawn()

    ((_, told_reason),) = told(found).values()
    assert (found.counts, told_reason, found.groups) == ({"quarantine": 1}, reason, 0)


def test_message_with_a_new_budget_is_redriven():
    dead(1, redrives=LIMIT, redrive_limit=LIMIT + 1)

    assert told(drawn()) == {"m-1": ("redrive", None)}


def test_noted_foreign_message_is_planned_for_quarantine_under_its_id():
    dead(1, message=a_message(message_id="sqs:0000"), type="foreign", body="not an envelope")

    assert list(told(drawn())) == ["sqs:0000"]
    assert drawn().counts == {"quarantine": 1}


# --- The hash -------------------------------------------------------------------------------


def some_dead():
    dead(1, "a")
    dead(2, "b")
    dead(3, "c", message=with_payload(3, currency="USD"))


ONLY_EUR = {"filter": {"payload": {"currency": "EUR"}}}


def test_same_state_and_request_have_the_same_hash():
    some_dead()

    assert len({drawn(**ONLY_EUR, dry_run=dry).plan_hash for dry in (True, False)}) == 1
    assert drawn().plan_hash != drawn(**ONLY_EUR).plan_hash


def another_dies():
    dead(9, "z")


def another_dies_in_the_group_of_one():
    dead(9, "a")


def one_is_processed():
    in_trouble("PROCESSED", a_message(message_id="m-1", group_id="a"), trouble=None)


def one_is_redriven():
    in_trouble("REDRIVEN", a_message(message_id="m-1", group_id="a"), trouble=None, redrives=1)


def one_was_redriven_and_is_dead_again():
    dead(1, "a", redrives=1)


def one_is_edited():
    edit.edit("m-1", a_transaction(amount="2.00"), an_operator())


def one_is_edited_into_what_the_filter_leaves():
    edit.edit("m-1", a_transaction(currency="USD"), an_operator())


def a_left_out_one_is_edited_into_what_matches():
    edit.edit("m-3", a_transaction(), an_operator())


def one_reaches_its_limit():
    dead(1, "a", redrives=0, redrive_limit=0)


def one_is_retried_by_hand():
    retry_by_hand.retry("m-1", retry_by_hand.RetryRequest(), an_operator())


@pytest.mark.parametrize(
    "change",
    [
        another_dies,
        another_dies_in_the_group_of_one,
        one_is_processed,
        one_is_redriven,
        one_was_redriven_and_is_dead_again,
        one_is_edited,
        one_is_edited_into_what_the_filter_leaves,
        a_left_out_one_is_edited_into_what_matches,
        one_reaches_its_limit,
        one_is_retried_by_hand,
    ],
    ids=lambda change: change.__name__,
)
def test_hash_changes_with_what_the_run_would_do(change):
    some_dead()
    planned = drawn(**ONLY_EUR).plan_hash

    change()

    assert drawn(**ONLY_EUR).plan_hash != planned


def test_hash_changes_when_a_message_becomes_too_old(monkeypatch):
    some_dead()
    planned = drawn().plan_hash
    monkeypatch.setattr(TYPES["transaction"], "MAX_AGE_SECONDS", 60)

    assert drawn().plan_hash != planned


def a_left_out_one_dies_again():
    dead(3, "c", message=with_payload(3, currency="USD"), redrives=1)


def a_left_out_one_is_processed():
    in_trouble("PROCESSED", with_payload(3, currency="USD"), trouble=None)


def another_dies_that_is_left_out():
    dead(9, message=with_payload(9, currency="USD"))


def another_is_quarantined():
    in_trouble("QUARANTINED", a_message(message_id="m-9", group_id="z"))


def the_reason_of_one_is_worded_otherwise():
    dead(1, "a", reason=WHY | {"message": "Frozen solid."})


@pytest.mark.parametrize(
    "change",
    [
        a_left_out_one_dies_again,
        a_left_out_one_is_processed,
        another_dies_that_is_left_out,
        another_is_quarantined,
        the_reason_of_one_is_worded_otherwise,
    ],
    ids=lambda change: change.__name__,
)
def test_hash_stays_when_the_run_would_do_the_same(change):
    some_dead()
    planned = drawn(**ONLY_EUR).plan_hash

    change()

    assert drawn(**ONLY_EUR).plan_hash == planned


@pytest.mark.parametrize(
    "option",
    [
        {"max_messages": 100},
        {"max_per_second": 2},
        {"canary": {"messages": 1, "watch_seconds": 60}},
        {"canary": {"messages": 2, "watch_seconds": 60}},
        {"filter": {"type": "transaction"}},
    ],
    ids=str,
)
def test_hash_is_of_the_options_too(option):
    some_dead()
    others = {drawn().plan_hash, drawn(canary={"messages": 3, "watch_seconds": 60}).plan_hash}

    assert drawn(**option).plan_hash not in others


# --- How much -------------------------------------------------------------------------------


def test_plan_of_more_than_it_looks_at_says_so(monkeypatch):
    monkeypatch.setattr(looked_at, "_LOOKED_AT", 3)
    for number in range(1, 4):
        dead(number)
    assert drawn().complete
    dead(4)

    found = drawn()

    assert (found.complete, found.counts) == (False, {"redrive": 3})


def test_counts_and_hash_are_of_more_than_is_shown(monkeypatch):
    for number in range(1, 8):
        dead(number)
    whole = drawn()
    monkeypatch.setattr(plan, "_SHOWN", 2)

    found = drawn()

    assert (len(found.messages), found.counts) == (2, {"redrive": 7})
    assert found.plan_hash == whole.plan_hash


def test_chunks_are_judged_as_one():
    """A group's message that is left out holds up what is behind it in another chunk, too."""
    dead(0, "a", message=with_payload(0, currency="USD").model_copy(update={"group_id": "a"}))
    for number in range(1, 130):
        dead(number, "ab"[number % 2])

    found = drawn(**ONLY_EUR)

    assert found.counts == {"left": 65, "redrive": 65}
    assert told(found)["m-128"] == ("left", GROUP)


def test_what_the_ledger_has_not_met_is_told(queues):
    dead(1)
    for number in range(3):
        queues.send_message(
            QueueUrl=ENVIRONMENT["DEAD_LETTER_QUEUE_URL"],
            MessageBody="{}",
            MessageGroupId="g",
            MessageDeduplicationId=str(number),
        )

    assert (drawn().unnoted, drawn(max_messages=1).unnoted) == (2, 2)


@pytest.mark.parametrize(
    ("count", "request_", "seconds", "transitions"),
    [
        (0, {}, 7, 19),
        (1, {}, 8, 26),
        (10, {}, 8, 26),
        (11, {}, 8, 33),
        (40, {}, 9, 47),
        (40, {"lanes": 4}, 8, 86),
        (40, {"lanes": 4, "max_messages": 20}, 8, 46),
        (40, {"max_per_second": 2}, 27, 47),
        (40, {"max_per_second": 0.5}, 87, 47),
        (40, {"max_per_second": 1, "max_messages": 10}, 17, 26),
    ],
)
def test_estimates_follow_the_messages_and_the_rate(count, request_, seconds, transitions):
    for number in range(count):
        dead(number, f"g-{number}")

    found = drawn(**request_)

    assert (found.estimated_seconds, found.estimated_transitions) == (seconds, transitions)
    lanes = min(request_.get("lanes", 1), request_.get("max_messages", 40) // 10)
    assert (found.estimate.seconds, found.estimate.lanes) == (seconds, lanes)
    planned = len(found.messages)
    used = estimate.usage(planned, batches=-(-planned // 10), transitions=transitions)
    assert found.estimate.dollars == round(sum(prices.bill(used).values()), 4) > 0


def test_express_lanes_are_reckoned_by_their_duration(monkeypatch):
    for number in range(40):
        dead(number, f"g-{number}")
    standard = drawn()
    express = dataclasses.replace(settings(), redrive_lane_type="EXPRESS")
    monkeypatch.setattr(plan, "settings", lambda: express)

    found = drawn()

    assert found.plan_hash == standard.plan_hash
    assert found.estimated_transitions == plan._STATES_A_RUN + found.estimate.lanes
    states = standard.estimated_transitions - found.estimated_transitions
    duration = {
        prices.Item.TRANSITIONS: -states,
        prices.Item.EXPRESS_REQUESTS: found.estimate.lanes,
        prices.Item.EXPRESS_SECONDS: found.estimate.seconds * found.estimate.lanes / 16,
    }
    difference = found.estimate.dollars - standard.estimate.dollars
    assert difference < 0
    assert difference == pytest.approx(sum(prices.bill(duration).values()), abs=2e-4)


# --- The run itself -------------------------------------------------------------------------


def varied():
    """Put one of each kind into the ledger, several in a group."""
    some_dead()
    dead(4, "c")
    dead(5, "a", redrives=LIMIT)
    dead(6, "a", redrives=1, reason=WHY | {"type": "KeyError"})
    dead(7, message=a_message(message_id="m-7", first_sent_at=before(days=15)))
    dead(8, message=a_message(message_id="m-8", type="letter"))
    edit.edit("m-6", a_transaction(amount="3.00"), an_operator())


def on_the_queue():
    """Return the rows' bodies as SQS hands them out; an edited one's as it was sent."""
    return [
        {
            "MessageId": f"sqs-of-{found['message_id']}",
            "Body": found.get("original_body", found["body"]),
            "Attributes": {"MessageGroupId": found["group_id"], "SentTimestamp": "1795543200000"},
        }
        for found in trouble.every("DEAD", Filter(), bodies=True)
    ]


@pytest.mark.parametrize(
    "only",
    [
        {},
        {"reason": "AccountFrozen"},
        {"payload": {"currency": "EUR"}},
        {"jmespath": "to_number(amount) > `5`"},
        {"message_ids": ["m-1", "m-5"]},
        {"older_than": "P14D"},
        {"group_id": "a"},
    ],
    ids=str,
)
def test_plan_says_what_the_run_does(only):
    varied()
    wanted = Filter.model_validate(only)

    planned = told(drawn(filter=only))

    run = {
        verdict["ledger_id"]: (verdict["verdict"], plan._planned(verdict).reason)
        for verdict in Judge("run-1", wanted, default()).judge(on_the_queue())
    }
    assert list(planned.items()) == list(run.items())
    assert {verdict for verdict, _ in planned.values()} != {"left"}


def test_planning_writes_nothing_and_receives_nothing(calls):
    varied()
    state = {name: row(name) for name in (f"m-{number}" for number in range(1, 9))}
    calls.ends.clear()

    drawn(filter={"reason": "AccountFrozen"}, max_messages=3)

    made = {end.removeprefix("before ") for end in calls.ends if end.startswith("before ")}
    assert made == {"Query", "GetItem", "BatchGetItem", "GetQueueAttributes"}
    assert {name: row(name) for name in state} == state
    assert not aws.dynamodb().scan(TableName="Runs")["Items"]


def test_plan_shows_no_payload():
    dead(1, message=a_message(payload=a_transaction(account_id="secret-account")))

    assert "secret-account" not in json.dumps(drawn().model_dump())

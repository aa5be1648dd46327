"""The course of a run: what it does next, after each round of its lanes and after each wait."""

import json
from typing import Any

import pytest

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, an_operator
from tests.support.troubles import in_trouble, row
from workflows.queues.queue import default
from workflows.redrive import course, in_flight, leg_executions, outcome, ownership, runs
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import EMPTY_POLLS, REFUSALS, TOO_LARGE, Asked, Guarded, Lane
from workflows.redrive.legs import Result, Told
from workflows.redrive.outcome import Outcome
from workflows.redrive.run import Run, new
from workflows.runtime import aws, clock, executions

QUEUE = "dead-letter.fifo"
LANES = ENVIRONMENT["REDRIVE_LANE_STATE_MACHINE_ARN"]
ALL_DONE = {"empty_polls": EMPTY_POLLS}


@pytest.fixture(autouse=True)
def sfn(tables, queues, machines, later):
    ownership.acquire("run-1", default(), "api", an_operator(), {})
    return machines


def a_run(request=None, **fields):
    run = new("run-1", "arn:run-1", {"request": request or {}})
    begun = {"waves": 300, "lanes": [a_lane()], "working": [0], "round": 1}
    return run.model_copy(update=begun | fields)


def a_lane(redriven=0, number=0, **fields):
    counts = dict.fromkeys(COUNTED, 0) | {"redriven": redriven}
    usual = {"size": 10, "leg": 1, "number": number, "name": f"run-1-l{number}-1"}
    return Lane(**usual | {"counts": counts} | fields)


def result(lane=None, **told):
    """Return what is heard of a leg that came to its own end: the lane, settled, or as `told`."""
    if not told:
        return Result(lane=lane or a_lane())
    usual = {"done": [], "sent_at": 0, "failure": "", "cut_short": False, "in_hand": False}
    return Result(told=Told(**usual | {"lane": lane or a_lane()} | told))


def after_leg(run, lane=None, **told):
    """Decide after a round of one lane."""
    return course.decide(run, [result(lane, **told)])


def after_wait(run, lane=None):
    run.lanes = [lane] if lane else run.lanes
    return course.decide(run, [])


THE_RUN: Any = {"TableName": "Runs", "Key": {"run_id": "run-1"}}


def put(key, **columns):
    found = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": key})["Item"]
    aws.dynamodb().put_item(TableName="Runs", Item=found | columns)


def lock():
    return aws.dynamodb().get_item(TableName="Runs", Key={"run_id": f"LOCK#{QUEUE}"})["Item"]


# How it goes on, and ends


def test_run_goes_on_with_the_next_leg_and_notes_it():
    run = after_leg(a_run(), a_lane(redriven=3))

    assert (run.next, run.lanes[0].leg, run.lanes[0].name) == ("lanes", 2, "run-1-l0-2")
    found = runs.get("run-1")
    assert leg_executions.of_row(found) == [leg_executions.arn_of(run.lanes[0].name)]
    assert leg_executions.of_row(found)[0].endswith(":execution:redrive_lane:run-1-l0-2")
    assert found["redriven"] == 3


@pytest.mark.parametrize(
    ("request_", "lane", "ends"),
    [
        ({}, a_lane(**ALL_DONE), True),
        ({}, a_lane(empty_polls=1), False),
        ({"max_messages": 3}, a_lane(redriven=3), True),
        ({"max_messages": 4}, a_lane(redriven=3), False),
        ({}, a_lane(refusals=REFUSALS), True),
        ({}, a_lane(refusals=REFUSALS - 1), False),
    ],
)
def test_run_succeeds_when_it_has_all(request_, lane, ends):
    run = after_leg(a_run(request_), lane)

    assert run.next == ("finish" if ends else "lanes")
    assert (run.status, run.reason) == ("SUCCEEDED", "")


def test_next_leg_has_the_shares_that_are_left():
    run = after_leg(
        a_run({"max_messages": 20, "canary": {"messages": 5, "watch_seconds": 60}}, step=5),
        a_lane(redriven=3),
    )

    assert (run.lanes[0].may_receive, run.lanes[0].may_redrive, run.lanes[0].poll) == (17, 2, 2)


def test_no_next_leg_begins_within_the_pause_of_the_rate(later):
    run = a_run({"max_per_second": 0.1})
    run = after_leg(run, a_lane(gap=10_000, sent_at=clock.milliseconds()))
    assert (run.next, run.wait, run.lanes[0].leg) == ("queue", 10, 1)

    later(9.5)
    run = after_wait(run)
    assert (run.next, run.wait) == ("queue", 1)
    later(0.5)
    assert after_wait(run).next == "lanes"


def test_history_of_a_run_is_counted_and_ends_it_with_room_for_what_is_tried_again():
    run = a_run(events=15_990)
    run = after_leg(run)
    assert (run.next, run.events) == ("lanes", 16_009)
    run = after_leg(run)

    assert (run.next, run.status) == ("finish", "HALTED")
    assert run.reason == (
        "It has gone on for as long as a run may; start another one for the rest."
    )


def test_wait_is_counted_too():
    run = after_leg(a_run({"max_per_second": 0.1}), a_lane(gap=9_000, sent_at=clock.milliseconds()))

    assert (run.next, run.events) == ("queue", 9)


def test_reason_and_wait_of_the_step_before_are_forgotten():
    run = after_leg(a_run(wait=20, reason="as it was"))

    assert (run.wait, run.reason) == (0, "")


# What others have in flight, and what a plan misses


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """Let a test say what is in flight elsewhere, beside what the run has left."""
    found: dict[str, Any] = {"in flight": 0, "beside": []}

    def look(left, _queue):
        found["beside"].append(left)
        return found["in flight"]

    monkeypatch.setattr(in_flight, "elsewhere", look)
    return found


def test_run_looks_three_times_for_what_others_have_in_flight(later, elsewhere):
    elsewhere["in flight"], run, seen = 2, a_run(), []
    for _ in range(4):
        run = after_leg(run, a_lane(**ALL_DONE))
        seen.append((run.next, run.wait, run.looks, run.lanes[0].empty_polls))
        if run.next == "queue":
            assert after_wait(run).next == "lanes"  # a leg, which polls anew

    assert seen[:3] == [("queue", 20, looks, 0) for looks in (1, 2, 3)]
    assert (run.next, run.status, run.in_flight) == ("finish", "HALTED", 2)
    assert run.reason == (
        "2 are in flight elsewhere, and hide what is behind them in their groups:"
        " start another run when they are visible."
    )


@pytest.mark.parametrize("lane", [{"refusals": REFUSALS}, {"redriven": 5}])
def test_run_that_did_not_find_the_queue_empty_looks_for_no_others(elsewhere, lane):
    elsewhere["in flight"] = 2
    run = after_leg(a_run({"max_messages": 5}, planned=9, in_flight=2), a_lane(**lane))

    assert (run.next, run.status) == ("finish", "SUCCEEDED")
    assert (run.in_flight, elsewhere["beside"]) == (0, [])  # nor remembers what it saw before


@pytest.mark.parametrize(
    ("planned", "left", "in_flight_", "reason"),
    [
        (3, 0, 0, ""),
        (2, 0, 0, ""),
        (5, 0, 0, "The run dealt with 3 of the 5 messages of its plan. No more is on the queue."),
        (5, 4, 0, "The run dealt with 3 of the 5 messages of its plan. 4 were left out."),
        (
            5, 4, 2,
            "The run dealt with 3 of the 5 messages of its plan. 2 are in flight elsewhere, and"
            " hide what is behind them in their groups: start another run when they are visible.",
        ),
    ],
)  # fmt: skip
def test_run_that_did_less_than_its_plan_says_so(elsewhere, planned, left, in_flight_, reason):
    elsewhere["in flight"] = in_flight_
    lane = a_lane(redriven=3, **ALL_DONE)
    lane.counts["left"] = left
    run = after_leg(a_run(planned=planned, looks=3), lane)

    assert (run.next, run.status) == ("finish", "HALTED" if reason else "SUCCEEDED")
    assert (run.reason, run.missing) == (reason, max(0, planned - 3))


# The canary

CANARY = {"canary": {"messages": 5, "watch_seconds": 300, "max_failures": 1}}


@pytest.fixture
def found(monkeypatch):
    """Let the outcomes of the run's messages be what a test sets."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(outcome, "count", lambda run_id, redriven: Outcome(**found))
    return found


def watching(found, step=5, redriven=5, watched=0, request=None, **outcomes):
    found |= outcomes
    run = a_run(request or CANARY, step=step, watched=watched)
    return after_leg(run, a_lane(redriven=redriven))


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({"processed": 5}, "lanes"),
        ({"processed": 4, "died_again": 1}, "lanes"),
        ({"processed": 3, "died_again": 2}, "finish"),
        ({"processed": 4, "pending": 1}, "outcomes"),
        ({"processed": 3, "retrying": 1, "died_again": 1}, "outcomes"),
        ({}, "outcomes"),
    ],
    ids=["healthy", "one fails", "two fail", "one pending", "one retrying", "none is seen yet"],
)
def test_canary_says_whether_a_run_goes_on_halts_or_waits(found, outcomes, expected):
    run = watching(found, **outcomes)

    assert run.next == expected
    if expected == "outcomes":
        assert (run.wait, run.watch_from, run.events) == (3, clock.epoch(), 9)
    if expected == "finish":
        assert run.status == "HALTED"
        assert run.reason == "2 of 5 redriven messages failed again; max_failures is 1."


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({"processed": 4, "pending": 1}, "lanes"),  # one may fail
        ({"processed": 3, "died_again": 1, "pending": 1}, "finish"),
        ({"processed": 3, "moved_on": 2}, "finish"),
    ],
)
def test_canary_counts_what_has_not_ended_in_time_as_failed(found, later, outcomes, expected):
    run = watching(found, **{"pending": 5} | outcomes)
    assert run.next == "outcomes"
    later(299)
    run = after_wait(run)
    assert run.next == "outcomes"
    later(1)
    run = after_wait(run)

    assert run.next == expected
    if expected == "finish":
        assert run.reason == (
            "2 of 5 redriven messages failed again or had not ended after 300 seconds;"
            " max_failures is 1."
        )


def test_step_of_a_canary_doubles_and_each_is_watched_anew(found, later):
    run, steps = a_run(CANARY, step=5), []
    for redriven in (5, 15, 35):
        found |= {"processed": 0}
        run = after_leg(run, a_lane(redriven=redriven))
        assert (run.next, run.watch_from) == ("outcomes", clock.epoch())
        later(60)
        found |= {"processed": redriven}
        run = after_wait(run)
        assert (run.next, run.watched, run.watch_from) == ("lanes", redriven, 0)
        steps.append((run.step, run.lanes[0].may_redrive))

    assert steps == [(15, 10), (35, 20), (75, 40)]


@pytest.mark.parametrize(
    ("step", "redriven", "watched", "lane", "expected"),
    [
        (0, 5, 0, {}, "lanes"),  # no canary
        (5, 4, 0, {}, "lanes"),
        (15, 5, 5, {}, "lanes"),
        (15, 5, 5, ALL_DONE, "finish"),  # nothing since
        (5, 4, 0, ALL_DONE, "outcomes"),
        (15, 6, 5, {"refusals": REFUSALS}, "outcomes"),
    ],
)
def test_canary_is_watched_after_each_step_and_at_the_end(
    found, step, redriven, watched, lane, expected
):
    run = a_run(CANARY, step=step, watched=watched)
    run = after_leg(run, a_lane(redriven=redriven, **lane))

    assert run.next == expected


@pytest.mark.parametrize(("seconds", "wait"), [(1, 1), (100, 1), (101, 2), (14_400, 144)])
def test_watch_is_about_a_hundred_looks(found, seconds, wait):
    request = {"canary": {"messages": 5, "watch_seconds": seconds}}

    assert watching(found, request=request, pending=5).wait == wait


# The lock, and whoever cancels


def test_every_step_prolongs_the_lease(later):
    before = lock()["lease_until"]
    later(100)
    after_leg(a_run())
    assert lock()["lease_until"] == before + 100
    later(100)
    after_wait(a_run())
    assert lock()["lease_until"] == before + 200


@pytest.mark.parametrize("step", [after_leg, after_wait])
def test_run_that_lost_its_lock_fails_whatever_its_record_says(step):
    put(f"LOCK#{QUEUE}", holder="run-2")
    put("run-1", status="CANCELLING")
    run = step(a_run(), a_lane())

    assert (run.next, run.failure) == ("fail", "LeaseLost")


@pytest.mark.parametrize("step", [after_leg, after_wait])
def test_cancelled_run_ends_without_another_leg(step):
    runs.cancel("run-1", an_operator())
    run = step(a_run(), a_lane())

    assert (run.next, run.status) == ("finish", "CANCELLED")
    assert leg_executions.of_row(runs.get("run-1")) == []


# Legs that failed


def test_failure_within_a_leg_fails_the_run_with_what_was_done():
    asked = [Asked(verdict="quarantine", id=f"m-{n}", redrives=0) for n in range(2)]
    told = {"done": ["0"], "failure": "Sqs.SqsException", "cut_short": True}
    run = after_leg(a_run(), a_lane(asked=asked), **told)

    assert (run.next, run.failure) == ("fail", "Sqs.SqsException")
    assert run.lanes[0].counts == dict.fromkeys(COUNTED, 0) | {"quarantined": 1}


def test_failure_between_two_batches_cuts_none_short():
    asked = [Asked(verdict="quarantine", id=f"m-{n}", redrives=0) for n in range(2)]
    run = after_leg(a_run(), a_lane(asked=asked), done=["0"], failure="Sqs.SqsException")

    assert run.lanes[0].counts == dict.fromkeys(COUNTED, 0) | {"quarantined": 1, "failed": 1}


def test_failure_is_told_and_not_the_lock_that_was_lost_with_it():
    put(f"LOCK#{QUEUE}", holder="run-2")
    run = after_leg(a_run(), failure="DynamoDb.ValidationError")

    assert run.failure == "DynamoDb.ValidationError"


class Executions:
    """What Step Functions says of the leg."""

    def __init__(self, monkeypatch):
        self.said: tuple[str | None, str] = (None, "")
        self.asked: list[str] = []
        monkeypatch.setattr(executions, "result", self._result)

    def _result(self, arn):
        self.asked.append(arn)
        return self.said


@pytest.fixture
def leg(monkeypatch):
    return Executions(monkeypatch)


def lost(run=None):
    """Decide after a leg whose answer did not come."""
    return course.decide(run or a_run(lanes=[a_lane(redriven=1)]), [Result(error="States.Timeout")])


def test_leg_that_still_works_is_waited_for_and_asked_again(leg):
    leg.said = ("RUNNING", "")
    run = lost()
    assert (run.next, run.wait, run.lanes[0].lost) == ("queue", 5, "States.Timeout")
    run = after_wait(run)
    assert (run.next, run.lanes[0].lost) == ("queue", "States.Timeout")
    leg.said = ("SUCCEEDED", result(a_lane(redriven=7)).model_dump_json())
    run = after_wait(run)

    assert (run.next, run.lanes[0].lost, run.lanes[0].counts["redriven"]) == ("lanes", "", 7)
    assert leg.asked == [leg_executions.arn_of(a_lane().name)] * 3


def test_leg_that_ended_although_its_answer_was_lost_counts_as_it_ended(leg):
    lane = a_lane(redriven=4, asked=[Asked(verdict="redrive", id="m-1", redrives=0)])
    leg.said = ("SUCCEEDED", result(lane, done=["0"]).model_dump_json())

    assert lost().counts["redriven"] == 5


def test_leg_that_failed_within_although_its_answer_was_lost_fails_the_run(leg):
    leg.said = ("SUCCEEDED", result(failure="Sqs.SqsException").model_dump_json())
    run = lost()

    assert (run.next, run.failure) == ("fail", "Sqs.SqsException")


def test_leg_that_never_began_fails_the_run(leg):
    run = lost()

    assert (run.next, run.failure) == ("fail", "States.Timeout")
    assert run.reason == "Lane 0 did not begin."


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT"])
def test_leg_that_was_ended_from_outside_gives_back_its_batch_and_its_counts(
    leg, monkeypatch, status
):
    leg.said = (status, "")
    given_back: list[str] = []
    monkeypatch.setattr(in_flight, "give_back_batch", lambda arn, _queue: given_back.append(arn))
    settled = {"turn": 6, "unsent": ["m-1"]}  # as its guards wrote it, too
    put("run-1", lane_0={"redriven": 6, "left": 2}, settled_0=settled)
    run = lost()

    assert (run.next, run.failure) == ("fail", "LaneStopped")
    assert run.reason == f"Lane 0 was ended from outside: {status}."
    assert (run.lanes[0].counts["redriven"], run.lanes[0].counts["left"]) == (6, 2)
    assert aws.dynamodb().get_item(**THE_RUN)["Item"]["settled_0"] == settled
    assert given_back == [leg_executions.arn_of(a_lane().name)]


# What was sent, and was not, in the ledger


def guarded_rows(*ids):
    for message_id in ids:
        in_trouble(
            message=a_message(message_id=message_id), status="REDRIVEN", trouble="REDRIVING",
            redrives=2, redriven_by="run-1",
        )  # fmt: skip


def test_leg_that_is_over_is_settled_and_settled_once(calls):
    guarded_rows("m-1", "m-2", "m-3")
    lane = a_lane(
        unsent=[Guarded(id="m-2", redrives=2), Guarded(id="m-1", redrives=1)],
        asked=[
            Asked(verdict="redrive", id="m-1", redrives=1),  # anew, and sent
            Asked(verdict="redrive", id="m-3", redrives=1),
        ],
    )
    for _ in range(2):  # as if DecideNext were tried again
        run = after_leg(a_run(), lane.model_copy(deep=True), done=["0"])
        assert run.lanes[0].unsent == []

    rows = {n: row(f"m-{n}") for n in (1, 2, 3)}
    assert (rows[1]["status"], rows[1]["trouble"]) == ("REDRIVEN", "REDRIVING")
    assert [(rows[n]["status"], rows[n]["trouble"]) for n in (2, 3)] == [("DEAD", "DEAD")] * 2
    assert [len(found["journey"]) for found in rows.values()] == [
        len(rows[1]["journey"]), len(rows[1]["journey"]) + 1, len(rows[1]["journey"]) + 1,
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["RUNNING", "CANCELLING", "ABORTED"])
def test_failed_leg_notes_what_it_perhaps_did_not_send_however_the_run_stands(status):
    guarded_rows("m-1", "m-2")
    put("run-1", status=status, let_go_at="2026-11-24T12:00:00.000Z")
    asked = [Asked(verdict="redrive", id=f"m-{n}", redrives=1) for n in (1, 2)]
    told = {"done": ["0"], "failure": "Sqs.SqsException", "cut_short": True}
    run = after_leg(a_run(), a_lane(turns=7, asked=asked), **told)

    assert (run.failure, run.lanes[0].unsure) == ("Sqs.SqsException", [])
    found = aws.dynamodb().get_item(**THE_RUN)["Item"]
    assert found["settled_0"] == {"turn": 7, "unsent": ["m-2"]}
    assert "let_go_at" not in found  # so that the sweep looks again
    assert row("m-2")["trouble"] == "REDRIVING"  # it may have been sent


# What is too large for a state


def too_large(run, *, in_hand=True, **lane):
    return after_leg(run, a_lane(**lane), failure=TOO_LARGE, in_hand=in_hand)


def test_lane_for_which_a_state_was_too_small_measures_what_it_receives():
    run = too_large(a_run(), empty_polls=2)

    (lane,) = run.lanes
    assert (run.next, lane.measured, lane.empty_polls, lane.failure) == ("lanes", True, 0, "")


def test_batch_that_could_not_even_be_received_is_waited_for_until_it_is_visible():
    run = too_large(a_run(), in_hand=False)

    assert (run.next, run.wait, run.lanes[0].measured) == ("queue", 300, True)
    assert after_wait(run).next == "lanes"


def test_lane_that_measured_and_met_it_all_the_same_ends_its_run():
    run = too_large(a_run(), measured=True)

    assert (run.next, run.failure) == ("fail", TOO_LARGE)


def test_lane_that_failed_at_what_it_moved_itself_ends_its_run():
    run = after_leg(a_run(), a_lane(measured=True, failure="MoveUnanswered"))

    assert (run.next, run.failure) == ("fail", "MoveUnanswered")


def test_cancelled_run_and_a_full_history_end_it_before_it_measures():
    run = too_large(a_run(events=17_000))
    assert (run.next, run.status) == ("finish", "HALTED")
    runs.cancel("run-1", an_operator())
    run = too_large(a_run())
    assert (run.next, run.status) == ("finish", "CANCELLED")


# Several lanes side by side


def after_round(*results, **fields):
    """Decide after a round of so many lanes."""
    lanes = [a_lane(number=number) for number in range(len(results))]
    run = a_run(**{"lanes": lanes, "working": [*range(len(lanes))]} | fields)
    return course.decide(run, list(results))


def lane_of(number, redriven=0, **fields):
    return Result(lane=a_lane(redriven, number, **fields))


def test_lanes_have_their_counters_and_go_on_in_one_round():
    run = after_round(lane_of(0, 3), lane_of(1, 4))

    assert (run.next, run.round, run.working, run.events) == ("lanes", 2, [0, 1], 11 + 2 * 8)
    assert [lane.name for lane in run.lanes] == ["run-1-l0-2", "run-1-l1-2"]
    assert runs.get("run-1")["redriven"] == run.counts["redriven"] == 7


@pytest.mark.parametrize(("polls", "ends"), [((2, 2), True), ((2, 1), False), ((0, 2), False)])
def test_queue_is_empty_when_it_was_so_for_every_lane(elsewhere, polls, ends):
    left = dict.fromkeys(COUNTED, 0) | {"left": 2}
    run = after_round(*(lane_of(n, empty_polls=p, counts=left) for n, p in enumerate(polls)))

    assert run.next == ("finish" if ends else "lanes")
    assert elsewhere["beside"] == ([4] if ends else [])


def test_one_lane_looks_again_for_what_others_have_in_flight(elsewhere):
    elsewhere["in flight"] = 1
    run = after_wait(after_round(lane_of(0, **ALL_DONE), lane_of(1, 5, **ALL_DONE)))

    assert (run.next, run.working, run.counts["redriven"]) == ("lanes", [0], 5)
    found = after_leg(run.model_copy(deep=True), a_lane(1))
    assert (found.next, found.working) == ("lanes", [0, 1])  # there is work for both
    elsewhere["in flight"] = 0
    run = after_leg(run, a_lane(1, **ALL_DONE))
    assert (run.next, run.status, run.counts["redriven"]) == ("finish", "SUCCEEDED", 6)


def test_lane_of_which_all_is_refused_ends_the_run():
    run = after_round(lane_of(0, 3), lane_of(1, refusals=REFUSALS))

    assert (run.next, run.status) == ("finish", "SUCCEEDED")


def test_failure_of_a_lane_fails_the_run_with_what_all_of_them_did():
    asked = [Asked(verdict="redrive", id="m-1", redrives=1)]
    cut_short = {"done": ["0"], "failure": "Sqs.SqsException", "cut_short": True}
    run = after_round(lane_of(0, 3), result(a_lane(1, 1, asked=asked), **cut_short), lane_of(2, 4))

    assert (run.next, run.failure) == ("fail", "Sqs.SqsException")
    assert [lane.counts["redriven"] for lane in run.lanes] == [3, 2, 4]


def test_lanes_beside_a_failed_one_have_noted_what_they_settled():
    put("run-1", settled_1={"turn": 8, "unsent": ["m-1"]})
    failed = a_lane(1, number=1, turns=9, settled=9, failure="Sqs.SqsException")
    well = a_lane(3, turns=7, settled=7)
    run = after_round(Result(lane=well), Result(lane=failed), lane_of(2, 4))

    found = aws.dynamodb().get_item(**THE_RUN)["Item"]
    assert (run.failure, found["settled_0"]) == ("Sqs.SqsException", {"turn": 7})
    assert found["settled_1"] == {"turn": 8, "unsent": ["m-1"]}  # by its own settling


def test_failure_waits_for_the_legs_that_may_go_on(leg):
    leg.said = ("RUNNING", "")
    run = after_round(
        lane_of(0, 3, failure="Sqs.SqsException"), Result(error="States.Timeout"), lane_of(2, 4)
    )
    assert (run.next, run.wait) == ("queue", 5)
    leg.said = ("SUCCEEDED", lane_of(1, 6).model_dump_json())
    run = after_wait(run)

    assert (run.next, run.failure) == ("fail", "Sqs.SqsException")
    assert run.counts["redriven"] == 13


def test_of_several_legs_only_a_lost_one_is_asked_for_again(leg):
    guarded_rows("m-1")
    leg.said = ("RUNNING", "")
    answered = result(a_lane(3, unsent=[Guarded(id="m-1", redrives=2)]), done=[])
    run = after_round(answered, Result(error="States.Timeout"))
    settled = row("m-1")
    leg.said = ("SUCCEEDED", lane_of(1, 6).model_dump_json())
    run = after_wait(run)

    assert (run.next, run.counts["redriven"]) == ("lanes", 9)
    assert leg.asked == [leg_executions.arn_of(a_lane(number=1).name)] * 2
    assert settled["trouble"] == "DEAD"
    assert row("m-1") == settled


def test_leg_that_was_ended_from_outside_takes_nothing_from_the_others(leg, monkeypatch):
    leg.said = ("ABORTED", "")
    monkeypatch.setattr(in_flight, "give_back_batch", lambda arn, _queue: None)
    put("run-1", lane_1={"redriven": 6})
    run = after_round(lane_of(0, 3), Result(error="States.TaskFailed"))

    assert (run.next, run.reason) == ("fail", "Lane 1 was ended from outside: ABORTED.")
    assert [lane.counts["redriven"] for lane in run.lanes] == [3, 6]


def test_what_is_too_large_for_one_lane_changes_no_other():
    told = {"failure": TOO_LARGE, "in_hand": True}
    run = after_round(lane_of(0), result(a_lane(number=1), **told), lane_of(2))

    assert run.next == "lanes"
    assert [lane.measured for lane in run.lanes] == [False, True, False]


def test_pause_of_the_slowest_lane_is_the_run_s():
    now = clock.milliseconds()
    run = after_round(lane_of(0, gap=4_000, sent_at=now), lane_of(1, gap=9_000, sent_at=now))

    assert (run.next, run.wait) == ("queue", 9)


def test_run_can_be_written_and_read_between_any_two_steps(found):
    run = watching(found, pending=5)

    assert Run.model_validate(json.loads(json.dumps(run.model_dump()))) == run

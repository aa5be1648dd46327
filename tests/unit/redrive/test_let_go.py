"""What ended runs have left guarded: who lets go of it, and what may be done with it then."""

import pytest

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, a_transaction, an_operator
from tests.support.troubles import in_trouble, row, sent
from workflows.ledger import claims, lookup, transitions, trouble
from workflows.ledger.claims import Decision
from workflows.ledger.status import Trouble
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.operator import discard, edit, failures, retry_by_hand
from workflows.operator.discard import DiscardRequest
from workflows.operator.retry_by_hand import RetryRequest
from workflows.queues.queue import default
from workflows.redrive import let_go, outcome, plan, runs
from workflows.runtime import aws, clock

RUN = "20261124T120000Z-abcdef01"
ENDED = "2026-11-24T12:00:00.000Z"


@pytest.fixture(autouse=True)
def sfn(tables, queues, machines):
    return machines


def given_run(status, run_id=RUN, **columns):
    item = {"run_id": run_id, "status": status, "trigger": "api", "requested_by": "o",
            "dead_letter_queue": "dead-letter.fifo", "started_at": ENDED, "finished_at": ENDED,
            "execution_arn": f"{ENVIRONMENT['REDRIVE_STATE_MACHINE_ARN']}:{run_id}".replace(
                "stateMachine", "execution"), "owned_at": 4_102_444_800}  # fmt: skip
    aws.dynamodb().put_item(TableName="Runs", Item=item | columns)


def run_row():
    return aws.dynamodb().get_item(TableName="Runs", Key={"run_id": RUN})["Item"]


def guarded(**columns):
    """Return a message that a run guarded and of which it is not known whether it was sent."""
    usual = {
        "status": "REDRIVEN", "trouble": Trouble.REDRIVING, "redrives": 1, "redriven_by": RUN,
        "redrive_mark": f"{RUN}#0.1",
    }  # fmt: skip
    return in_trouble(**usual | columns)


def listed():
    letters, _ = failures.dead_letters(Filter(), 10, None, default())
    return [letter.message_id for letter in letters]


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT"])
def test_what_a_run_left_that_ended_before_its_end_is_dead_again(status):
    guarded()
    given_run(status)

    assert let_go.recover() == ["m-1"]
    assert (row()["status"], row()["trouble"]) == ("REDRIVEN", "DEAD")
    assert listed() == ["m-1"]
    assert row()["journey"][-1]["event"] == "let_go"
    assert let_go.recover() == []


@pytest.mark.parametrize("status", ["RUNNING", "CANCELLING", "SUCCEEDED", "HALTED", "CANCELLED"])
def test_what_a_run_left_that_goes_on_or_came_to_its_end_is_under_way(status):
    guarded()
    given_run(status)
    before = row()

    assert let_go.recover() == []
    assert row() == before
    assert listed() == []
    assert [trouble.count(name, DEFAULT_QUEUE) for name in trouble.LISTED] == [0, 0]
    assert plan.draw({}, Filter(), None, None, default()).messages == []


@pytest.mark.parametrize(
    "since",
    [
        {"status": "PROCESSING", "trouble": None},
        {"status": "RETRYING", "trouble": "RETRYING"},
        {"redriven_by": "another-run"},
        {"trouble": None},
    ],
)
def test_message_that_went_on_is_not_let_go_of(since):
    given_run("ABORTED")
    given_run("RUNNING", "another-run")
    guarded(**since)
    before = row()

    assert let_go.recover() == []
    assert row() == before


def test_message_that_was_claimed_after_the_sweep_read_it_is_the_worker_s(monkeypatch):
    given_run("ABORTED")
    message = guarded()
    read = lookup.get_many

    def read_and_lose_the_race(ids):
        rows = read(ids)
        assert claims.claim(message, "sqs-1").decision is Decision.PROCESS
        return rows

    monkeypatch.setattr(lookup, "get_many", read_and_lose_the_race)

    assert let_go.recover() == []
    assert row()["status"] == "PROCESSING"
    assert "trouble" not in row()


@pytest.fixture
def message():
    """Give a message that a run let go of: it may have been sent."""
    return guarded(trouble="DEAD", redriven_by=RUN)


def test_message_let_go_of_is_planned_like_any_other(message):
    (planned,) = plan.draw({}, Filter(), None, None, default()).messages

    assert (planned.message_id, planned.verdict) == (message.message_id, "redrive")


@pytest.mark.usefixtures("message")
def test_message_let_go_of_can_be_retried_under_the_next_number():
    found = retry_by_hand.retry("m-1", RetryRequest(), an_operator())

    assert (found["status"], found["redrives"]) == ("REDRIVEN", 2)
    assert [copy[0] for copy in sent()] == ["m-1.r2"]
    assert listed() == []


def test_copy_that_does_come_of_an_edited_one_is_processed_as_edited(message):
    edit.edit("m-1", a_transaction(amount="20.00"), an_operator())

    claim = claims.claim(message, "sqs-1")

    assert claim.decision is Decision.PROCESS
    assert claim.redrives == 1
    assert claim.body is not None
    assert "20.00" in claim.body
    with pytest.raises(transitions.NotInTrouble):
        edit.edit("m-1", a_transaction(amount="30.00"), an_operator())


def test_copy_that_does_come_of_a_discarded_one_has_no_effect(message):
    discard.discard("m-1", DiscardRequest(reason="a test"), an_operator())

    assert claims.claim(message, "sqs-1").decision is Decision.SETTLED


def test_copy_that_does_come_first_cannot_be_discarded_or_retried_any_more(message):
    assert claims.claim(message, "sqs-1").decision is Decision.PROCESS

    with pytest.raises(transitions.NotInTrouble):
        discard.discard("m-1", DiscardRequest(reason="a test"), an_operator())
    with pytest.raises(transitions.NotInTrouble):
        retry_by_hand.retry("m-1", RetryRequest(), an_operator())
    assert sent() == []


def index_said(monkeypatch, *marks):
    """Let the index say of m-1 what it said a moment ago."""
    rows = [{"message_id": "m-1", "redrive_mark": mark} for mark in marks]
    monkeypatch.setattr(outcome, "redriven_by", lambda _: iter(rows))


@pytest.mark.parametrize(
    "since",
    [
        {"trouble": "DEAD", "redriven_by": None},
        {"redriven_by": "another-run", "redrive_mark": "another-run#0.9", "redrives": 2},
    ],
    ids=["let go of", "redriven by another run"],
)
def test_row_that_went_on_since_the_index_was_read_is_left_alone(monkeypatch, since):
    given_run("FAILED")
    guarded(**since)
    index_said(monkeypatch, f"{RUN}#0.1")

    assert let_go.recover() == []


def test_what_the_index_does_not_have_yet_is_found_by_the_record_or_later(monkeypatch, later):
    settled = {"turn": 1, "unsent": ["m-1"]}
    given_run("FAILED", finished_at=clock.now(), settled_0=settled)
    guarded()
    guarded(message=a_message(message_id="m-2"), redrive_mark=f"{RUN}#0.2")
    with monkeypatch.context() as patch:
        index_said(patch)
        assert let_go.recover() == ["m-1"]

    assert let_go.recover() == ["m-2"]


@pytest.mark.parametrize(
    ("mark", "is_let_go"),
    [
        ("#0.3", False), ("#0.4", True), ("#0.5", True), ("#1.3", True), ("#1.2", False),
        ("#2.1", True), ("#7", True),
    ],
)  # fmt: skip
def test_what_the_record_says_to_be_sent_is_under_way(mark, is_let_go):
    """Lane 0 notes its turn 4 and has perhaps begun a fifth; lane 2 has noted nothing yet."""
    given_run("ABORTED", settled_0={"turn": 3}, settled_1={"turn": 2})
    guarded(redrive_mark=f"{RUN}{mark}")

    assert let_go.recover() == ["m-1"] * is_let_go


@pytest.mark.parametrize("lane", [0, 1])
def test_what_sqs_refused_in_a_settled_turn_of_its_lane_is_let_go_of(lane):
    given_run("ABORTED", settled_0={"turn": 3}, settled_1={"turn": 3, "unsent": ["m-1"]})
    guarded(redrive_mark=f"{RUN}#{lane}.2")

    assert let_go.recover() == ["m-1"] * lane


def test_run_is_looked_at_until_nothing_of_it_can_come_any_more(later):
    given_run("ABORTED", finished_at=clock.now())
    for seconds, number in [(0, 1), (300, 2), (600, 3)]:
        later(seconds)
        assert let_go.recover() == []
        assert "let_go_at" not in run_row()
        guarded(message=a_message(message_id=f"m-{number}"))  # late
        assert let_go.recover() == [f"m-{number}"]
    later(1)
    assert let_go.recover() == []

    assert "let_go_at" in run_row()
    guarded(message=a_message(message_id="m-4"))  # which nothing can do any more
    assert let_go.recover() == []


def test_many_are_let_go_of_and_each_run_is_asked_once(monkeypatch):
    given_run("FAILED")
    for number in range(103):
        guarded(message=a_message(message_id=f"m-{number}"))
    asked = []
    ask = runs.find

    def ask_and_count(run_id):
        asked.append(run_id)
        return ask(run_id)

    monkeypatch.setattr(runs, "find", ask_and_count)

    assert len(let_go.recover()) == 103
    assert asked == [RUN]

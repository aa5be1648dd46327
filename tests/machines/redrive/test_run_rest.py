"""What a run leaves to be had: what it gives up is visible at once, and what it missed is told."""

import json
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from lambdas.run_record import RunRecord
from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios import given
from tests.support.cloud import ENVIRONMENT
from tests.support.messages import an_operator
from tests.support.redrive_expressions import evaluate_all, states
from tests.support.troubles import in_trouble
from tests.support.world import World
from workflows.redrive import in_flight, requests
from workflows.redrive.requests import RedriveRequest


@pytest.fixture
def world():
    with MotoStack() as stack:
        yield World(stack)


def letters(world):
    return [letter["IsVisible"] for letter in world.queued("DeadLetter")]


WITH_A_BATCH = ("ValidateMessages", "GuardLoop", "RedriveMessages", "DeleteDeadLetters")


@pytest.mark.parametrize("state", WITH_A_BATCH)
def test_run_after_one_that_failed_finds_at_once_what_that_one_had(world, state):
    group = world.name("group")
    for _ in range(2):
        world.dead_letter(world.message(group_id=group))

    failed = world.run(mocks={state: given.throws("Some.ServiceException")})
    assert (failed.status, letters(world)) == ("FAILED", [True, True])

    assert world.run().output["received"] == 2


@pytest.mark.parametrize("state", [*WITH_A_BATCH, "AnyToRedrive", "HoldDeadLetters", "MoreToDo"])
def test_run_after_one_whose_lane_was_stopped_finds_at_once_what_that_one_had(world, state):
    group = world.name("group")
    for account in ("a", "a", "b"):
        world.dead_letter(world.message(group_id=group, account_id=world.name(account)))
    only = {"filter": {"payload": {"account_id": world.name("a")}}}
    world.stack.before_state = lambda arn, at: ":redrive_lane:" not in arn or at != state

    failed = world.run({"request": only})
    assert (failed.status, failed.error) == ("FAILED", "LaneStopped")
    assert set(letters(world)) == {True}
    assert world.run_row(failed.name)["working"] == [0]

    world.stack.before_state = lambda *_: True
    world.recover()
    assert world.run().output["status"] == "SUCCEEDED"
    world.consume()
    assert letters(world) == []
    assert world.effects(group) == [message.message_id for message in world.messages]


def test_run_waits_for_what_comes_back_meanwhile(world):
    """Twenty seconds of a wait are longer than the other reader's hold."""
    world.dead_letter(world.message())
    given.receive(world, "DeadLetter", seconds=15)

    run = world.run()

    assert run.output == run.output | {"status": "SUCCEEDED", "redriven": 1}
    assert "WaitForQueue" in run.states
    assert "in_flight" not in run.output


def test_what_a_run_holds_itself_is_not_in_flight_elsewhere(world):
    for currency in ("CHF", "EUR"):
        world.dead_letter(world.message(currency=currency))

    run = world.run({"request": {"filter": {"payload": {"currency": "EUR"}}}})

    assert run.output == run.output | {"status": "SUCCEEDED", "redriven": 1, "left": 1}


def test_run_that_was_given_a_number_of_messages_does_not_ask_for_more(world):
    for _ in range(2):
        world.dead_letter(world.message())
    given.receive(world, "DeadLetter")

    run = world.run({"request": {"max_messages": 1}})

    assert run.output["status"] == "SUCCEEDED"
    assert "WaitForQueue" not in run.states


def entries(batch):
    return evaluate_all(states()["GiveBackDeadLetters"]["Arguments"]["Entries"], batch=batch)


@pytest.mark.parametrize("size", [1, 10])
def test_batch_is_given_back_whole(size):
    batch = [{"ReceiptHandle": f"b{n}"} for n in range(size)]

    assert entries(batch) == [
        {"Id": str(n), "ReceiptHandle": f"b{n}", "VisibilityTimeout": 0} for n in range(size)
    ]


@pytest.mark.parametrize(
    "error", ["Sqs.EmptyBatchRequestException", "Sqs.EmptyBatchRequest"], ids=["AWS", "MiniStack"]
)
def test_run_that_has_nothing_to_give_back_does_not_try_again(world, error):
    mocks = {
        "ReceiveDeadLetters": given.throws("Sqs.First"),
        "GiveBackDeadLetters": [{"Throw": {"Error": error, "Cause": "no entry"}}],
    }

    run = world.run(mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "Sqs.First")
    assert states()["GiveBackDeadLetters"]["Retry"][0] == states()["DeleteDeadLetters"]["Retry"][0]
    assert entries([]) == []


def test_letter_that_was_too_large_is_visible_when_its_run_fails_later(world):
    world.dead_letter(world.message())
    too_large = given.throws("States.DataLimitExceeded")
    mocks = {"ValidateMessages": too_large + given.throws("Some.ServiceException")}

    run = world.run(mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "Some.ServiceException")
    assert letters(world) == [True]


def test_run_that_cannot_note_what_it_leaves_fails_before_it_holds_any_of_it(world, monkeypatch):
    world.dead_letter(world.message())
    busy = ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem")
    monkeypatch.setattr(in_flight, "note", Mock(side_effect=busy))

    run = world.run({"request": {"filter": {"type": "other"}}})

    assert (run.status, run.error) == ("FAILED", "ClientError")
    assert "GuardLoop" not in run.states
    assert letters(world) == [True]


@pytest.mark.parametrize("step", ["finish", "fail"])
def test_run_that_cannot_give_back_what_it_left_ends_as_it_would_and_the_sweep_does_it(
    world, monkeypatch, step
):
    """A service that fails for the function is no reason to fail, or to say less, for the run."""
    world.dead_letter(world.message(currency="CHF"))
    world.dead_letter(world.message())
    only = {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 1}
    mocks = {"FinishRun": given.throws("Some.ServiceException")} if step == "fail" else {}
    busy = ClientError({"Error": {"Code": "RequestThrottled"}}, "ChangeMessageVisibilityBatch")

    give_back = Mock(side_effect=busy)

    with monkeypatch.context() as patch:
        patch.setattr(in_flight, "give_back", give_back)
        run = world.run({"request": only}, mocks=mocks)

    assert give_back.call_count == 1

    assert run.status == ("FAILED" if step == "fail" else "SUCCEEDED")
    assert letters(world) == [False]
    world.recover()
    assert letters(world) == [True]


@pytest.fixture
def cloud_with_one_dead_letter(tables, queues, machines):
    in_trouble(dead_at="2999-01-01T00:00:00.000Z")
    return machines


def test_run_that_is_held_to_a_plan_knows_how_many_it_held(cloud_with_one_dead_letter):
    request = RedriveRequest()
    found = requests.dry_run(request)

    held = request.model_copy(update={"plan_hash": found.plan_hash})
    run = requests.start(held, an_operator())

    execution = cloud_with_one_dead_letter.describe_execution(executionArn=run["execution_arn"])
    assert json.loads(execution["input"])["planned"] == 1
    assert run["execution_arn"].startswith(
        ENVIRONMENT["REDRIVE_STATE_MACHINE_ARN"].replace("stateMachine", "execution")
    )


def test_record_shows_what_the_machine_wrote_and_none_of_an_older_one():
    row = {
        "run_id": "r", "status": "HALTED", "trigger": "api", "requested_by": "o", "received": 1,
        "redriven": 1, "quarantined": 0, "already_processed": 0, "failed": 0,
        "started_at": "2026-11-24T12:00:00.123Z", "execution_arn": "arn",
    }  # fmt: skip

    told = RunRecord.model_validate(row | {"in_flight": 2, "missing": 3})

    assert (told.in_flight, told.missing) == (2, 3)
    assert RunRecord.model_validate(row).in_flight == RunRecord.model_validate(row).missing == 0

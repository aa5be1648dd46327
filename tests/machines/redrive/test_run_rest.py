"""What a run leaves to be had: what it gives up is visible at once, and what it missed is told."""

import json

import pytest

from lambdas.run_record import RunRecord
from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios import given
from tests.machines.scenarios.paths import WITH_A_BATCH
from tests.support.cloud import ENVIRONMENT
from tests.support.messages import an_operator
from tests.support.redrive_expressions import evaluate, evaluate_all, next_of, states
from tests.support.troubles import in_trouble
from tests.support.world import World
from workflows.redrive import requests
from workflows.redrive.requests import RedriveRequest


@pytest.fixture
def world():
    with MotoStack() as stack:
        yield World(stack)


def letters(world):
    return [letter["IsVisible"] for letter in world.queued("DeadLetter")]


@pytest.mark.parametrize("state", sorted({*WITH_A_BATCH} - {"AnyToRedrive", "HoldDeadLetters"}))
def test_run_after_one_that_failed_finds_at_once_what_that_one_had(world, state):
    group = world.name("group")
    for _ in range(2):
        world.dead_letter(world.message(group_id=group))

    failed = world.run(mocks={state: given.throws("Some.ServiceException")})
    assert (failed.status, letters(world)) == ("FAILED", [True, True])

    assert world.run().output["received"] == 2


def test_run_waits_for_what_comes_back_meanwhile(world):
    """Nine seconds of polls and twenty of a wait are longer than the other reader's hold."""
    world.dead_letter(world.message())
    given.receive(world, "DeadLetter", seconds=15)

    run = world.run()

    assert run.output == run.output | {"status": "SUCCEEDED", "redriven": 1}
    assert "WaitForOthers" in run.states
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
    assert "InspectRest" not in run.states


def entries(**variables):
    return evaluate_all(states()["GiveBackDeadLetters"]["Arguments"]["Entries"], **variables)


def test_batch_and_what_was_too_large_are_given_back_ten_at_most():
    batch = [{"ReceiptHandle": f"b{n}"} for n in range(3)]

    found = entries(batch=batch, too_large=[f"l{n}" for n in range(9)])

    assert [one["ReceiptHandle"] for one in found] == [
        "b0",
        "b1",
        "b2",
        *(f"l{n}" for n in range(7)),
    ]
    assert [one["Id"] for one in found] == list("0123456789")
    assert {one["VisibilityTimeout"] for one in found} == {0}
    assert len(entries(batch=batch[:1], too_large=[])) == 1
    assert len(entries(batch=[], too_large=["l"])) == 1


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
    assert entries(batch=[], too_large=[]) == []


def test_letter_that_was_too_large_is_visible_when_its_run_fails_later(world):
    world.dead_letter(world.message())
    too_large = given.throws("States.DataLimitExceeded")
    mocks = {"ValidateMessages": too_large, "InspectRest": given.throws("Some.ServiceException")}

    with given.largest_message(world, "DeadLetter", 262_144):  # one message a turn
        run = world.run(mocks=mocks)

    assert (run.status, run.error) == ("FAILED", "Some.ServiceException")
    assert letters(world) == [True]


@pytest.mark.parametrize(
    ("counts", "rest"),
    [({"left": 0}, "No more is on the queue."), ({"left": 3}, "3 were left out.")],
    ids=["none", "some"],
)
def test_run_that_left_some_does_not_say_that_the_queue_is_empty(counts, rest):
    (told,) = [
        rule["Assign"]["reason"]
        for rule in states()["AnyDeadLetters"]["Choices"]
        if "reason" in rule.get("Assign", {})
    ]

    found = evaluate(told, missing=1, planned=2, in_flight=0, counts=counts)

    assert found == f"The run dealt with 1 of the 2 messages of its plan. {rest}"


def test_run_that_cannot_go_on_gives_back_what_it_has():
    assert next_of("MoreToDo", failure="DynamoDb.ThrottlingError") == "GiveBackDeadLetters"


def test_run_that_lost_its_lease_gives_back_its_batch():
    assert next_of("AnyToRedrive", failure="LeaseLost") == "GiveBackDeadLetters"


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

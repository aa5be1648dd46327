"""Statements that a function executes itself: in their order, in parts, and what they answer."""

import pytest

from workflows.redrive import partiql
from workflows.redrive.partiql import Mark, StatementFailed, execute, insert, update
from workflows.runtime import aws, clock


@pytest.fixture(autouse=True)
def _tables(tables, later):
    """Every test needs them."""


def put(number, **columns):
    aws.dynamodb().put_item(TableName="Runs", Item={"run_id": f"r-{number}"} | columns)


def row(number):
    return aws.dynamodb().get_item(TableName="Runs", Key={"run_id": f"r-{number}"}).get("Item")


def change(number, at="RUNNING", **sets):
    return update("Runs", [("run_id", "=", f"r-{number}"), ("status", "=", at)], sets=sets)


@pytest.mark.parametrize("count", [0, 1, 25, 26, 60])
def test_any_number_is_executed_in_parts_that_dynamodb_takes(count, calls):
    for number in range(count):
        put(number, status="RUNNING" if number % 3 else "FAILED")
    calls.ends.clear()

    held = execute([change(number, status="DONE") for number in range(count)])

    assert held == [bool(number % 3) for number in range(count)]
    assert [(row(n) or {})["status"] for n in range(count)] == [
        "DONE" if number % 3 else "FAILED" for number in range(count)
    ]
    assert calls.ends.count("before BatchExecuteStatement") == -(-count // 25)


def test_condition_on_what_is_not_there_does_not_hold():
    assert execute([change(1, status="DONE")]) == [False]
    assert row(1) is None


def test_time_is_that_of_the_execution(later):
    put(1, status="RUNNING")
    statement = change(1, lease_until=Mark("seconds", 900))
    later(50)
    now = clock.epoch()
    execute([statement])

    assert (row(1) or {})["lease_until"] == now + 900


def test_values_of_every_kind_are_written_as_they_are():
    values = {"text": "'\"?", "number": 7, "flag": True, "map": {"a": [1, {"b": "c"}]}, "list": []}
    execute([insert("Runs", {"run_id": "r-1"} | values)])
    put(2, status="RUNNING", list=["a"])
    execute(
        [
            update(
                "Runs",
                [("run_id", "=", "r-2")],
                sets={"map": values["map"]},
                appends={"list": ["b"]},
                also='REMOVE "status"',
            )
        ]
    )

    assert row(1) == {"run_id": "r-1"} | values
    assert row(2) == {"run_id": "r-2", "list": ["a", "b"], "map": values["map"]}


def test_item_that_is_there_is_not_made_again():
    put(1, status="RUNNING")
    with pytest.raises(StatementFailed, match="DuplicateItem"):
        execute([insert("Runs", {"run_id": "r-1"})])

    assert (row(1) or {})["status"] == "RUNNING"


@pytest.mark.parametrize("code", ["ValidationError", "ThrottlingError", "TransactionConflict"])
def test_statement_that_fails_otherwise_than_by_its_condition_is_no_answer(monkeypatch, code):
    class Client:
        def batch_execute_statement(self, Statements):  # noqa: N803 - boto3's name
            return {"Responses": [{}, {"Error": {"Code": code}}][: len(Statements)]}

    monkeypatch.setattr(partiql, "dynamodb", Client)
    with pytest.raises(StatementFailed, match=code):
        execute([change(1, status="DONE"), change(2, status="DONE")])

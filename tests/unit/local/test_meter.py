"""The meter, on moto: what each request costs, and whom it names."""

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.meter import Meter
from tests.support.messages import a_message
from tests.support.metered import metered
from workflows.ledger import transitions
from workflows.runtime import aws


@pytest.fixture
def meter(tables):
    with metered() as found:
        yield found


def put(**columns):
    item = {"message_id": "m", "status": "DEAD", **columns}
    aws.dynamodb().put_item(TableName="Messages", Item=item)


def statement(text, *parameters):
    answer = aws.dynamodb().batch_execute_statement(
        Statements=[{"Statement": text, "Parameters": list(parameters)}]
    )
    return answer["Responses"][0].get("Error", {}).get("Code")


def test_writes_are_counted_by_table_index_and_key(meter):
    put(listed="DEAD", updated_at="1")

    bill = meter.take()

    assert bill.by_place() == {"Messages": 1, "Messages/TroubleIndex": 1}
    assert bill.by_key("Messages") == {"m": 1}
    assert bill.hottest("Messages/TroubleIndex") == ("DEAD", 1)
    assert bill.write_units == 2


def test_what_was_taken_is_not_told_again(meter):
    put()

    assert meter.take().write_units == 1
    assert meter.take().write_units == 0


def test_bills_are_added_and_subtracted(meter):
    put()
    one = meter.take()
    put()
    put()
    two = meter.take()

    assert (one + two).write_units == 3
    assert (two - one).by_place() == {"Messages": 1}
    assert (one - two).write_units == -1


def test_refused_condition_is_billed(meter):
    put(body="x" * 2_000)
    meter.take()

    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        aws.dynamodb().update_item(
            TableName="Messages",
            Key={"message_id": "m"},
            UpdateExpression="SET body = :b",
            ConditionExpression="attribute_not_exists(message_id)",
            ExpressionAttributeValues={":b": "x"},
        )

    assert meter.take().by_place() == {"Messages": 2}


def test_invalid_request_is_not_billed(meter):
    with pytest.raises(ClientError, match="ValidationException"):
        aws.dynamodb().update_item(
            TableName="Messages", Key={"message_id": "m"}, UpdateExpression="SET body = :unknown"
        )

    assert meter.take().write_units == 0


def test_cancelled_transaction_is_billed_twice_for_each_item(meter):
    condition = "attribute_not_exists(message_id)"
    put()
    meter.take()

    items = [{"TableName": "Messages", "Item": {"message_id": name}} for name in ("m", "n")]
    cancelled = aws.transact([{"Put": one | {"ConditionExpression": condition}} for one in items])

    assert cancelled is not None
    assert meter.take().by_key("Messages") == {"m": 2, "n": 2}


def test_each_statement_of_a_batch_is_billed(meter):
    put(redrives=1)
    meter.take()
    update = 'UPDATE "Messages" SET "status"=? WHERE "redrives"=? AND "message_id"=?'

    assert statement(update, "REDRIVEN", 1, "m") is None
    assert statement(update, "REDRIVEN", 2, "m") == "ConditionalCheckFailed"
    insert = "INSERT INTO \"Messages\" VALUE {'status': ?, 'message_id': ?}"
    assert statement(insert, "DEAD", "n") is None
    assert statement(insert, "DEAD", "n") == "DuplicateItem"

    assert meter.take().by_key("Messages") == {"m": 2, "n": 2}


def test_statement_that_names_no_item_by_a_parameter_is_not_guessed_at(meter):
    with pytest.raises(NotImplementedError, match="message_id"):
        statement('UPDATE "Messages" SET "status"=? WHERE "redrives"=?', "DEAD", 1)


def test_batch_of_writes_is_billed_item_by_item(meter):
    requests: list[Any] = [{"PutRequest": {"Item": {"message_id": name}}} for name in ("m", "n")]
    aws.dynamodb().batch_write_item(RequestItems={"Messages": requests})
    gone: list[Any] = [{"DeleteRequest": {"Key": {"message_id": "m"}}}]
    aws.dynamodb().batch_write_item(RequestItems={"Messages": gone})

    assert meter.take().by_key("Messages") == {"m": 2, "n": 1}


def test_reads_are_counted_by_size_and_consistency(meter):
    put(body="x" * 5_000)
    meter.take()
    client, key = aws.dynamodb(), {"message_id": "m"}

    client.get_item(TableName="Messages", Key=key, ConsistentRead=True)
    assert meter.take().read_units == 2
    client.get_item(TableName="Messages", Key={"message_id": "none"})
    assert meter.take().read_units == 0.5
    client.batch_get_item(RequestItems={"Messages": {"Keys": [key, {"message_id": "none"}]}})
    assert meter.take().read_units == 1.5


def test_query_of_an_index_reads_what_the_index_carries(meter):
    for number in range(3):
        put(message_id=f"m{number}", listed="DEAD", updated_at=str(number), body="x" * 5_000)
    meter.take()

    found = aws.dynamodb().query(
        TableName="Messages",
        IndexName="TroubleIndex",
        KeyConditionExpression="listed = :t",
        ExpressionAttributeValues={":t": "DEAD"},
    )

    assert found["Count"] == 3
    assert meter.take().read == Counter({("Messages/TroubleIndex", ""): 0.5})


def test_projected_read_costs_the_whole_item(meter):
    put(body="x" * 9_000)
    meter.take()

    aws.dynamodb().scan(TableName="Messages", ProjectionExpression="message_id")

    assert meter.take().read_units == 1.5


def test_writer_is_the_function_that_asked(meter):
    transitions.accept(a_message(message_id="m"))

    assert meter.take().by_writer() == {("ledger/transitions.accept", "Messages"): 1}


def test_meter_needs_no_moto():
    items: dict[str, dict[str, Any]] = {}
    description = {"TableName": "T", "KeySchema": [{"AttributeName": "id"}]}
    meter = Meter(lambda table: description, lambda table, key: items.get(key["id"]["S"]), by=_me)

    def answer():
        items["a"] = {"id": {"S": "a"}, "text": {"S": "x" * 1_500}}
        return {}

    meter.measure("PutItem", {"TableName": "T", "Item": {"id": {"S": "a"}}}, answer)

    assert meter.take().by_writer() == {("me", "T"): 2}


def _me():
    return "me"

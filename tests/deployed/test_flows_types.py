"""Over HTTP: message types of a team's own, whose effects are the functions of `docs/examples`."""

import uuid

import pytest

from local.deadline import wait_until
from tests.deployed.flows import assert_problem, finished, settled
from tests.deployed.team_functions import EXAMPLES, create, javascript, service
from tests.support.redrive_runs import consume
from tests.support.stack_fixtures import queued, row

pytestmark = pytest.mark.xdist_group("flows")

SCHEMA = {
    "type": "object",
    "required": ["order", "customer"],
    "properties": {"order": {"type": "string"}},
}


@pytest.fixture
def shipping():
    with service() as found:
        yield found


@pytest.fixture
def ship(stack, operator, shipping):
    """Give the name of a type whose effect is the example in TypeScript."""
    name = f"ship-{uuid.uuid4().hex[:8]}"
    source = javascript(EXAMPLES / "ship_order.ts")
    create(stack, name, "nodejs22.x", "ship_order.mjs", source, SHIPPING_URL=shipping.url)
    asked = {"function": name, "schema": SCHEMA, "group": "customer"}
    operator.call("PUT", f"/types/{name}", asked).expect(201)
    return name


@pytest.fixture
def store(stack, operator):
    """Give the name of a type whose effect is the example in Python, which is its table's too."""
    name = f"store-{uuid.uuid4().hex[:8]}"
    stack.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
    )
    source = (EXAMPLES / "store_order.py").read_text(encoding="utf-8")
    create(stack, name, "python3.13", "store_order.py", source, ORDERS_TABLE=name)
    operator.call("PUT", f"/types/{name}", {"function": name}).expect(201)
    return name


def test_effect_in_typescript_from_its_registration_to_its_removal(
    stack, producer, operator, shipping, ship
):
    customer = f"c-{ship}"

    def send(order):
        answer = producer.send({"order": order, "customer": customer}, type_=ship)
        return answer.expect(202)["message_id"]

    # It fails twice: the consumer's try and one of the retry machine. Another one waits behind it.
    shipping.answers = [503, 503]
    first, second = send("o-1"), send("o-2")
    settled(producer, second, "PROCESSED")
    found = settled(producer, first, "PROCESSED")
    assert (found["attempts"], found["group_id"]) == (3, customer)
    assert shipping.calls == [first, first, first, second]
    assert shipping.done == {
        first: {"order": "o-1", "customer": customer},
        second: {"order": "o-2", "customer": customer},
    }

    # No further try can help: dead at once, by the name of the error.
    shipping.answers = [422]
    invalid = settled(producer, send("o-3"), "DEAD")
    assert (invalid["attempts"], invalid["reason"]) == (
        1, {"type": "InvalidMessage", "message": "No such order."},
    )  # fmt: skip
    told = producer.dead_letters(type=ship).expect(200)["messages"]
    assert [one["message_id"] for one in told] == [invalid["message_id"]]
    assert_problem(operator.call("DELETE", f"/types/{ship}"), 409, "type_in_use")

    # Redriven when the order is there, it has its effect.
    run_id = operator.reprocess(filter={"type": ship}).expect(202)["run_id"]
    assert finished(operator, run_id)["redriven"] == 1
    settled(producer, invalid["message_id"], "PROCESSED")
    assert len(shipping.done) == 3

    # Out of attempts.
    shipping.answers = [500] * 10
    dead = settled(producer, send("o-4"), "DEAD")
    assert dead["reason"] == {"type": "Error", "message": "The service answered 500."}
    shipping.answers = []
    operator.call("POST", f"/messages/{dead['message_id']}/retry").expect(202)
    settled(producer, dead["message_id"], "PROCESSED")

    # What does not fit is refused before anything is recorded, and what fits no more is kept.
    answer = producer.send({"order": 1, "customer": customer}, type_=ship)
    assert_problem(answer, 422, "invalid_message")
    assert answer.json["error"]["message"] == "order: is not of type string"
    assert_problem(operator.call("PUT", "/types/transaction", {"function": ship}), 409,
                   "built_in_type")  # fmt: skip
    removed = operator.call("DELETE", f"/types/{ship}").expect(200)
    assert removed["function"].endswith(f":function:{ship}")
    wait_until(
        lambda: producer.send({"order": "o-5", "customer": customer}, type_=ship).status == 422,
        30,
        "nobody knows the type any more",
    )
    records = operator.call("GET", "/audit?limit=100").expect(200)["records"]
    ours = [(r["action"], r["result"]) for r in records if r["input"].get("type") == ship]
    assert ours == [
        ("remove_type", "REMOVED"), ("remove_type", "TypeInUse"), ("register_type", "REGISTERED"),
    ]  # fmt: skip


def test_effect_in_python_comes_once_though_it_is_asked_for_twice(stack, producer, store):
    consume(stack, False)
    message_id = producer.send({"quantity": 2}, type_=store).expect(202)["message_id"]
    (sent,) = queued(stack, "Work", message_id)
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs["WorkQueueUrl"], MessageBody=sent["Body"], MessageGroupId=message_id,
        MessageDeduplicationId=str(uuid.uuid4()),
    )  # fmt: skip
    consume(stack, True)
    settled(producer, message_id, "PROCESSED")
    order = {"message_id": {"S": message_id}}
    table = stack.client("dynamodb")
    found = table.get_item(TableName=store, Key=order)["Item"]
    assert (found["quantity"], found["attempt"]) == ({"N": "2"}, {"N": "1"})

    # Its effect had come, and nobody knew: the same message again changes nothing.
    wait_until(lambda: not queued(stack, "Work", message_id), 30, "both are consumed")
    assert table.scan(TableName=store)["Count"] == 1
    invalid = producer.send({"quantity": 0}, type_=store).expect(202)["message_id"]
    assert settled(producer, invalid, "DEAD")["reason"]["type"] == "InvalidMessage"
    assert row(stack, "Messages", invalid)["type"] == store

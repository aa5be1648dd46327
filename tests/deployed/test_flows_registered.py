"""Over HTTP: dead letters of queues that are not ours, with a consumer that knows nothing of us."""

import json
import uuid

import pytest

from local.deadline import wait_until
from tests.deployed.flows import assert_problem
from tests.deployed.pair import ATTRIBUTES, Pair, order, register, run
from tests.support import objects

pytestmark = pytest.mark.xdist_group("flows")


def test_dead_letters_are_seen_planned_and_arrive_byte_for_byte(operator, producer, pair):
    bodies = {order(n) for n in range(24)} | {"no JSON at all", '{"id": 7}'}
    for number, body in enumerate(sorted(bodies)):
        pair.send(pair.dead, body, f"g-{number % 5}", ATTRIBUTES)

    looked = run(operator, pair, look=True)
    listed = producer.dead_letters(queue=pair.name, limit=100).expect(200)["messages"]
    plan = operator.reprocess(queue=pair.name, dry_run=True).expect(200)

    # Of a FIFO queue SQS shows nothing behind what is in flight in its group.
    seen = looked["left"]
    assert (looked["status"], looked["redriven"]) == ("SUCCEEDED", 0)
    assert 5 <= seen <= 26 if pair.fifo else seen == 26
    assert len(listed) == seen
    assert f"sqs:{pair.name}:order-0" in {one["message_id"] for one in listed}
    assert {one["reason"]["type"] for one in listed} == {"Theirs"}
    assert (plan["counts"], plan["unnoted"]) == ({"redrive": seen}, 26 - seen)
    assert producer.call("GET", f"/queues/{pair.name}").expect(200)["dead"] == seen
    assert_problem(operator.call("DELETE", f"/queues/{pair.name}"), 409, "queue_in_use")
    built_in = producer.dead_letters(limit=100).expect(200)["messages"]
    assert not [one for one in built_in if pair.name in one["message_id"]]

    redriven = run(operator, pair, plan_hash=plan["plan_hash"])
    pair.consume()

    assert (redriven["status"], redriven["redriven"]) == ("SUCCEEDED", 26)
    assert {one["Body"] for one in pair.processed} == bodies
    assert len(pair.processed) == 26
    for message in pair.processed:
        carried = {
            name: {part: value[part] for part in ATTRIBUTES[name]}
            for name, value in message["MessageAttributes"].items()
        }
        assert carried == ATTRIBUTES
    if pair.fifo:
        for group in range(5):
            arrived = [
                one["Body"]
                for one in pair.processed
                if one["Attributes"]["MessageGroupId"] == f"g-{group}"
            ]
            assert arrived == sorted(arrived)
    report = operator.run(redriven["run_id"]).expect(200)
    assert (report["outcome"]["returned"], report["outcome"]["not_returned"]) == (0, 26)


def test_poison_ends_in_quarantine_after_exactly_so_many_redrives(operator, producer, pair):
    for number in range(3):
        pair.send(pair.dead, order(number), f"g-{number}", ATTRIBUTES)
    message_id = f"sqs:{pair.name}:order-1"

    counts = []
    for _ in range(4):
        found = run(operator, pair)
        counts.append((found["redriven"], found["quarantined"]))
        pair.consume(poison=lambda body: "order-1" in body)

    assert counts == [(3, 0), (1, 0), (0, 1), (0, 0)]
    (kept,) = operator.quarantine(queue=pair.name).expect(200)["messages"]
    assert (kept["message_id"], kept["body"], kept["redrives"]) == (message_id, order(1), 2)
    assert kept["reason"]["type"] == "RedriveLimitReached"
    record = producer.message(message_id).expect(200)
    steps = [step["event"] for step in record["journey"]]
    assert steps == ["sent", "dead", "redriven", "dead", "redriven", "dead", "quarantined"]

    # By hand, with a new budget, it goes to the queue that it came from.
    refused = operator.call("POST", f"/messages/{message_id}/retry", {})
    assert_problem(refused, 409, "reset_needed")
    operator.call("POST", f"/messages/{message_id}/retry", {"reset_redrives": True}).expect(202)
    pair.consume()
    assert [one["Body"] for one in pair.processed].count(order(1)) == 1


def test_edited_message_goes_in_the_place_of_the_old_one_and_is_known_when_it_comes_back(
    operator, producer, pair
):
    for number in range(3):
        pair.send(pair.dead, order(number), f"g-{number}", ATTRIBUTES)
    broken = "no JSON: order-9"
    pair.send(pair.dead, broken, "g-9", ATTRIBUTES)
    run(operator, pair, look=True)
    ids = {one["message_id"] for one in producer.dead_letters(queue=pair.name).json["messages"]}
    (nameless,) = ids - {f"sqs:{pair.name}:order-{n}" for n in range(3)}

    fixed = json.dumps({"id": "order-9", "text": "fixed"}, indent=1)
    operator.call("PATCH", f"/messages/{nameless}", {"body": fixed}).expect(200)
    other = operator.edit(f"sqs:{pair.name}:order-0", {"id": "order-7"})
    assert_problem(other, 422, "unfit_body")
    wanted = {"filter": {"payload": {"id": "order-0"}}, "queue": pair.name}
    patched = operator.call("PATCH", "/messages", wanted | {"merge": {"total": 2}}).expect(200)
    assert [one["status"] for one in patched["results"]] == ["DEAD"]

    # The consumer lets the fixed one die twice: it is counted with what it was.
    counts = []
    for _ in range(4):
        found = run(operator, pair)
        counts.append((found["redriven"], found["quarantined"]))
        pair.consume(poison=lambda body: "fixed" in body)

    arrived = {one["Body"]: one["MessageAttributes"] for one in pair.processed}
    assert counts == [(4, 0), (1, 0), (0, 1), (0, 0)]
    assert sorted(json.loads(body)["total"] for body in arrived) == [1.5, 1.5, 2]
    for body, attributes in arrived.items():
        edited = {"RedriveIdentity"} if json.loads(body)["total"] == 2 else set()
        assert attributes.keys() == ATTRIBUTES.keys() | edited
        for name, value in ATTRIBUTES.items():
            assert {part: attributes[name][part] for part in value} == value
    (kept,) = operator.quarantine(queue=pair.name).expect(200)["messages"]
    assert (kept["message_id"], kept["body"], kept["edited"]) == (nameless, fixed, True)
    steps = [step["event"] for step in producer.message(nameless).expect(200)["journey"]]
    assert steps[:4] == ["sent", "dead", "edited", "redriven"]
    done = operator.audit(queue=pair.name, limit=50).expect(200)["records"]
    assert {one["queue"] for one in done} == {pair.name}
    deeds = {"register_queue", "start_run", "end_run", "edit_message"}
    assert {one["action"] for one in done} == deeds


def test_dead_letters_go_to_another_queue_and_are_counted_in_their_own(
    operator, producer, pair, stack
):
    repaired, other = (
        Pair(stack, f"{name}-{uuid.uuid4().hex[:12]}", fifo)
        for name, fifo in (("repaired", pair.fifo), ("other", not pair.fifo))
    )
    for each in (repaired, other):
        register(each, operator, identity="body.id")
    for number in range(3):
        pair.send(pair.dead, order(number), f"g-{number}", ATTRIBUTES)

    unfit = operator.reprocess(queue=pair.name, destination=other.name)
    plan = operator.reprocess(queue=pair.name, destination=repaired.name, dry_run=True)
    moved = run(operator, pair, destination=repaired.name, max_messages=2)
    rest = run(operator, pair)
    repaired.consume()
    pair.consume()

    assert_problem(unfit, 422, "unfit_destination")
    assert plan.expect(200)["destination"] == repaired.name
    assert (moved["redriven"], rest["redriven"]) == (2, 1)
    assert moved["request"]["destination"] == repaired.name
    assert (len(repaired.processed), len(pair.processed)) == (2, 1)
    for message in repaired.processed:
        assert message["Body"] in {order(number) for number in range(3)}
        for name, value in ATTRIBUTES.items():
            assert {part: message["MessageAttributes"][name][part] for part in value} == value
        message_id = f"sqs:{pair.name}:{json.loads(message['Body'])['id']}"
        record = producer.message(message_id).expect(200)
        assert record["redrives"] == 1
        assert record["journey"][-1]["destination"] == repaired.name
    started = operator.audit(queue=pair.name, limit=50).expect(200)["records"]
    assert repaired.name in {one["input"].get("destination") for one in started}
    assert operator.runs(queue=repaired.name).expect(200)["runs"] == []


def test_canary_halts_by_looking_when_what_it_sent_comes_back(operator, pair):
    for number in range(12):  # what comes back stands behind the rest of its group
        pair.send(pair.dead, order(number), f"g-{number % 3}")
    canary = {"messages": 2, "watch_seconds": 1}
    started = operator.reprocess(queue=pair.name, canary=canary).expect(202)

    def returned():
        pair.consume(poison=lambda body: True)
        record = operator.run(started["run_id"]).expect(200)
        return None if record["status"] == "RUNNING" else record

    found = wait_until(returned, 60, "the canary has ended", interval=0.1)

    assert found["status"] == "HALTED"
    assert found["redriven"] == 2
    assert "; max_failures is 0." in found["reason"]


def test_filter_and_limits_hold_and_queues_do_not_wait_for_each_other(operator, pair, stack):
    other = Pair(stack, f"other-{uuid.uuid4().hex[:12]}", not pair.fifo)
    settings = {"type": "body.text", "unwrap": ["sns"], "redrive_request": {"lanes": 2}}
    register(other, operator, identity="body.id", **settings)
    topic = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:orders"}
    packed = [
        json.dumps(topic | {"Message": order(number, "a" if number % 2 else "b")}, indent=1)
        for number in range(6)
    ]
    for number in range(6):
        pair.send(pair.dead, order(number), f"g-{number}")
        other.send(other.dead, packed[number], f"g-{number}")

    some = run(operator, pair, max_messages=2)
    only = run(operator, other, filter={"type": "a"})
    unknown = operator.reprocess(queue="nobody-s")
    other.consume()

    assert (some["redriven"], only["redriven"], only["left"]) == (2, 3, 3)
    assert only["request"]["lanes"] == 2
    assert {one["Body"] for one in other.processed} == set(packed[1::2])
    assert_problem(unknown, 404, "unknown_queue")
    runs = operator.runs(queue=other.name).expect(200)["runs"]
    assert [one["run_id"] for one in runs] == [only["run_id"]]


def test_body_that_does_not_fit_its_schema_is_kept_with_the_reason(operator, pair):
    schema = {"type": "object", "required": ["id", "total"]}
    register(pair, operator, identity="body.id", schema=schema)
    for body in (order(1), json.dumps({"id": "order-2"}), "text"):
        pair.send(pair.dead, body, body[:9].replace(" ", "-").replace('"', "").replace("{", "g"))

    found = run(operator, pair)
    kept = operator.quarantine(queue=pair.name).expect(200)["messages"]

    assert (found["redriven"], found["quarantined"]) == (1, 2)
    assert {one["reason"]["type"] for one in kept} == {"InvalidBody"}
    assert {one["body"] for one in kept} == {json.dumps({"id": "order-2"}), "text"}


def test_body_in_s3_is_looked_into_kept_if_it_is_gone_and_retried_by_hand_when_it_is_back(
    operator, producer, pair, stack
):
    s3, bucket = stack.client("s3"), f"payloads-{pair.name}"
    s3.create_bucket(Bucket=bucket)
    register(pair, operator, identity="body.id", type="body.kind", unwrap=["s3"])
    bodies = [objects.pointer(f"key-{number}", bucket) for number in range(3)]
    for number, body in enumerate(bodies):
        content = json.dumps({"id": f"order-{number}", "kind": f"k-{number}"})
        s3.put_object(Bucket=bucket, Key=f"key-{number}", Body=content.encode())
        pair.send(pair.dead, body, f"g-{number}", ATTRIBUTES)
    run(operator, pair, look=True)
    wanted = {"filter": {"payload": {"kind": "k-1"}}}
    listed = producer.dead_letters(queue=pair.name).expect(200)["messages"]
    content = s3.get_object(Bucket=bucket, Key="key-2")["Body"].read()
    s3.delete_object(Bucket=bucket, Key="key-2")

    plan = operator.reprocess(queue=pair.name, dry_run=True).expect(200)
    some = operator.reprocess(queue=pair.name, dry_run=True, **wanted).expect(200)
    found = run(operator, pair, plan_hash=plan["plan_hash"])
    pair.consume()

    assert {one["message_id"] for one in listed} == {f"sqs:{pair.name}:order-{n}" for n in range(3)}
    assert {one["type"] for one in listed} == {"k-0", "k-1", "k-2"}
    assert (plan["counts"], plan["payloads_missing"]) == ({"redrive": 2, "quarantine": 1}, 1)
    assert some["counts"]["redrive"] == 1
    assert (found["status"], found["redriven"], found["quarantined"]) == ("SUCCEEDED", 2, 1)
    assert {one["Body"] for one in pair.processed} == set(bodies[:2])
    (kept,) = operator.quarantine(queue=pair.name).expect(200)["messages"]
    assert (kept["body"], kept["reason"]["type"]) == (bodies[2], "PayloadMissing")

    s3.put_object(Bucket=bucket, Key="key-2", Body=content)
    by_hand = {"queue": pair.name, "status": "QUARANTINED", "reset_redrives": True}
    by_hand |= {"filter": {"payload": {"kind": "k-2"}}}
    retried = operator.call("POST", "/messages/retry", by_hand).expect(200)["results"]
    pair.consume()

    assert [one["message_id"] for one in retried] == [kept["message_id"]]
    assert pair.processed[-1]["Body"] == bodies[2]
    assert pair.processed[-1]["MessageAttributes"].keys() == ATTRIBUTES.keys()

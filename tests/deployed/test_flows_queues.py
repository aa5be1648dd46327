"""Over HTTP: queues of somebody's own, made with SQS and registered."""

import json
import subprocess
import sys
import uuid

import pytest

from local.emulator import ACCESS_KEY, REGION
from tests.deployed.flows import assert_problem

pytestmark = pytest.mark.xdist_group("flows")


def make(stack, suffix=""):
    """Make a queue and its dead-letter queue; return their names."""
    name = f"orders-{uuid.uuid4()}"
    attributes = {"FifoQueue": "true"} if suffix else {}
    names = [f"{name}{suffix}", f"{name}-dead{suffix}"]
    for each in names:
        stack.client("sqs").create_queue(QueueName=each, Attributes=attributes)
    return names


def url(stack, name):
    return stack.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]


def attributes(stack, name):
    found = stack.client("sqs").get_queue_attributes(
        QueueUrl=url(stack, name), AttributeNames=["All"]
    )
    return found["Attributes"]


def pair(names, **settings):
    return {"source_queue": names[0], "dead_letter_queue": names[1]} | settings


@pytest.fixture
def name():
    """Give a queue's name that no other test has."""
    return f"q-{uuid.uuid4()}"


@pytest.mark.parametrize("suffix", ["", ".fifo"], ids=["standard", "fifo"])
def test_queue_is_registered_shown_changed_and_removed(stack, operator, producer, name, suffix):
    names = make(stack, suffix)
    group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if suffix else {}
    stack.client("sqs").send_message(QueueUrl=url(stack, names[1]), MessageBody="dead", **group)
    path = f"/queues/{name}"
    schema = {"type": "object", "properties": {"total": {"minimum": 0.5}}}

    made = operator.call("PUT", path, pair(names, identity="body.id", schema=schema)).expect(201)
    shown = producer.call("GET", path).expect(200)
    listed = {q["queue"]: q for q in producer.call("GET", "/queues").expect(200)["queues"]}

    warnings = made.pop("warnings")
    assert made == {field: shown[field] for field in made} == listed[name]
    assert "no redrive policy" in warnings[0]
    assert (made["fifo"], made["schema"]) == (bool(suffix), schema)
    assert made["dead_letter_queue"] == attributes(stack, names[1])["QueueArn"]
    assert (shown["dead_letters"]["visible"], shown["source"]["visible"]) == (1, 0)
    assert (shown["dead"], shown["quarantined"], shown["problem"]) == (0, 0, None)
    assert next(iter(listed)) == "default"

    # By ARN and by URL; nothing of what was said before stays.
    again = pair([made["source_queue"], url(stack, names[1])], max_redrives=2)
    changed = operator.call("PUT", path, again).expect(200)
    assert (changed["max_redrives"], changed["identity"], changed["schema"]) == (2, None, None)

    assert operator.call("DELETE", path).expect(200) | {"warnings": warnings} == changed
    assert_problem(producer.call("GET", path), 404, "unknown_queue")
    # Nobody was asked anything that a message would show.
    (message,) = stack.client("sqs").receive_message(
        QueueUrl=url(stack, names[1]), AttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert (message["Body"], message["Attributes"]["ApproximateReceiveCount"]) == ("dead", "1")

    records = operator.call("GET", "/audit?limit=10").expect(200)["records"]
    told = [record["result"] for record in records if record["input"].get("queue") == name]
    assert told == ["REMOVED", "CHANGED", "REGISTERED"]


def test_refusal_names_what_does_not_fit(stack, operator, name):
    names, fifo, path = make(stack), make(stack, ".fifo"), f"/queues/{name}"

    def refused(body, code):
        answer = operator.call("PUT", path, body)
        assert_problem(answer, 422, code)
        return answer.json["error"]["message"]

    assert "its own" in refused(pair([names[0], names[0]]), "unfit_queue")
    assert "FIFO" in refused(pair([names[0], fifo[1]]), "unfit_queue")
    assert names[0] in refused(pair([f"{names[0]}-not", names[1]]), "queue_missing")
    built_in = [stack.outputs["WorkQueueUrl"], stack.outputs["DeadLetterQueueUrl"]]
    assert "default" in refused(pair(built_in), "unfit_queue")
    policy = {"deadLetterTargetArn": attributes(stack, names[0])["QueueArn"], "maxReceiveCount": 5}
    stack.client("sqs").set_queue_attributes(
        QueueUrl=url(stack, names[1]), Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    assert "acknowledge_receives" in refused(pair(names), "unfit_queue")
    operator.call("PUT", path, pair(names, acknowledge_receives=True)).expect(201)

    other = operator.call("PUT", f"{path}-2", pair([names[0], names[1]]))
    assert_problem(other, 422, "dead_letter_queue_taken")
    assert name in other.json["error"]["message"]
    operator.call("DELETE", path).expect(200)


def test_producer_may_look_and_nothing_else(stack, producer, name):
    for method in ("PUT", "DELETE"):
        body = pair(make(stack)) if method == "PUT" else None
        assert_problem(producer.call(method, f"/queues/{name}", body), 403, "forbidden")
    assert producer.call("GET", "/queues/default").expect(200)["queue"] == "default"


def test_queue_made_with_aws_s_own_tools_at_the_endpoint_is_registered(stack, operator, name):
    """As somebody does it beside `make run`: in another process, by any AWS tool."""
    code = (
        "import boto3; sqs = boto3.client('sqs');"
        f"[sqs.create_queue(QueueName=each) for each in ('{name}', '{name}-dead')]"
    )
    environment = {
        "AWS_ENDPOINT_URL": stack.endpoint_url, "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)  # noqa: S603

    operator.call("PUT", f"/queues/{name}", pair([name, f"{name}-dead"])).expect(201)
    operator.call("DELETE", f"/queues/{name}").expect(200)

"""Over HTTP: a team's whole story. Its producer, queues and consumer, a Lambda, know nothing of us.

What its consumer fails at SQS itself moves to the dead-letter queue. A canary halts while the
consumer is broken; it is repaired; what is poison ends in quarantine; each other message has come
to it once, as it was sent.
"""

import base64
import io
import json
import textwrap
import uuid
import zipfile
from collections import Counter, defaultdict
from typing import Any

import pytest

from local.deadline import wait_until
from tests.deployed.flows import finished
from tests.support.stack_fixtures import row

# Nothing of it is shared with other flows: it may run beside them.
pytestmark = pytest.mark.xdist_group("team")

LIMIT = 3
POISON = 3
GROUPS = 12
_SECONDS = 60

# It keeps what it was given in a file, where the test can read it, and fails at all while there is
# another one. A new release would do, but here a worker of the old one may still have a batch.
CONSUMER = textwrap.dedent(
    """
    import json, os

    def handler(event, context):
        failures = []
        for record in event["Records"]:
            order = json.loads(record["body"])
            fails = os.path.exists(os.environ["BROKEN"]) or order["poison"]
            with open(os.environ["SEEN"], "a") as seen:
                seen.write(json.dumps(record | {"failed": fails}) + "\\n")
            if fails:
                failures.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failures}
    """
)


def code():
    """Return the consumer as Lambda takes it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("team.py", CONSUMER)
    return packed.getvalue()


class Team:
    """A team's queues and its consumer."""

    def __init__(self, stack, fifo, folder):
        self.stack, self.fifo = stack, fifo
        self.seen, self.broken = folder / "seen", folder / "broken"
        self.seen.touch()
        self.broken.touch()
        self.name = f"team-{uuid.uuid4().hex[:12]}"
        suffix, kind = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
        kind |= {"MaximumMessageSize": "16384"}
        self.dead = self._queue(f"{self.name}-dead{suffix}", kind)
        policy = {"deadLetterTargetArn": self._arn(self.dead), "maxReceiveCount": 1}
        self.source = self._queue(
            f"{self.name}{suffix}",
            kind | {"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(policy)},
        )
        functions = stack.client("lambda")
        functions.create_function(
            FunctionName=self.name,
            Runtime="python3.13",
            Handler="team.handler",
            Role="arn:aws:iam::000000000000:role/team",
            Code={"ZipFile": code()},
            Environment={"Variables": {"SEEN": str(self.seen), "BROKEN": str(self.broken)}},
        )
        self.mapping = functions.create_event_source_mapping(
            FunctionName=self.name,
            EventSourceArn=self._arn(self.source),
            BatchSize=10,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )["UUID"]

    def repair(self):
        """Let the consumer fail at nothing but poison."""
        self.broken.unlink()

    def close(self):
        """Take the consumer away."""
        functions = self.stack.client("lambda")
        functions.delete_event_source_mapping(UUID=self.mapping)
        functions.delete_function(FunctionName=self.name)

    def send(self, orders):
        """Send orders as the producer does, ten at a time."""
        for first in range(0, len(orders), 10):
            self.stack.client("sqs").send_message_batch(
                QueueUrl=self.source,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": order,
                        "MessageAttributes": attributes(first + number),
                    }
                    | (
                        {
                            "MessageGroupId": f"customer-{(first + number) % GROUPS}",
                            "MessageDeduplicationId": str(uuid.uuid4()),
                        }
                        if self.fifo
                        else {}
                    )
                    for number, order in enumerate(orders[first : first + 10])
                ],
            )

    def on(self, url):
        """Return what lies on a queue, oldest first, without receiving it."""
        return self.stack.emulator.messages(url)

    def at_rest(self, dead):
        """Wait until the consumer has nothing to do, and so many messages are dead."""

        def found():
            counts = len(self.on(self.source)), len(self.on(self.dead))
            return counts == (0, dead) or None

        wait_until(found, _SECONDS, f"{dead} messages are dead", interval=0.1)

    def records(self):
        """Return what the consumer was given, in its order."""
        return [json.loads(line) for line in self.seen.read_text().splitlines()]

    def _queue(self, name, attributes):
        created = self.stack.client("sqs").create_queue(QueueName=name, Attributes=attributes)
        return created["QueueUrl"]

    def _arn(self, url):
        asked = self.stack.client("sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=["QueueArn"]
        )
        return asked["Attributes"]["QueueArn"]


def attributes(number) -> dict[str, Any]:
    return {
        "number": {"DataType": "Number", "StringValue": str(number)},
        "raw": {"DataType": "Binary", "BinaryValue": bytes([number % 256, 0, 255])},
        "ReasonType": {"DataType": "String", "StringValue": "Theirs"},
    }


def told(record):
    """Return body and attributes of a record of the consumer's."""
    found = record["messageAttributes"]
    return record["body"], {
        name: (one["dataType"], one.get("binaryValue") or one.get("stringValue"))
        for name, one in found.items()
    }


def sent(number, order):
    return order, {
        name: (
            one["DataType"],
            one.get("StringValue") or base64.b64encode(one["BinaryValue"]).decode(),
        )
        for name, one in attributes(number).items()
    }


@pytest.fixture(params=[False, True], ids=["standard", "fifo"])
def team(request, stack, tmp_path):
    found = Team(stack, request.param, tmp_path)
    yield found
    found.close()


def run(operator, team, **options):
    started = operator.reprocess(queue=team.name, **options).expect(202)
    return finished(operator, started["run_id"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.soak)])
def test_team_s_dead_letters_are_redriven_once_its_consumer_is_repaired(operator, team, count):
    poison = set(range(7, 7 * POISON + 1, 7))
    orders = [
        json.dumps({"id": f"order-{n}", "poison": n in poison, "text": "é\u2028 as it is"})
        for n in range(count)
    ]
    queues = {"source_queue": team.source, "dead_letter_queue": team.dead}
    registration = queues | {"identity": "body.id", "max_redrives": LIMIT}
    operator.call("PUT", f"/queues/{team.name}", registration).expect(201)
    team.send(orders)
    team.at_rest(dead=count)

    halted = run(operator, team, canary={"messages": 5, "watch_seconds": 4})
    assert (halted["status"], halted["redriven"]) == ("HALTED", 5)
    assert "; max_failures is 0." in halted["reason"]
    team.at_rest(dead=count)
    began = len(team.records())
    assert began == count + 5

    team.repair()
    lie_there = [json.loads(one["Body"])["id"] for one in team.on(team.dead)]
    kept: list[dict[str, Any]] = []
    for _ in range(LIMIT + 1):
        assert run(operator, team)["status"] == "SUCCEEDED"
        kept = operator.quarantine(queue=team.name, limit=100).expect(200)["messages"]
        team.at_rest(dead=POISON - len(kept))

    came = team.records()[began:]
    done = [record for record in came if not record["failed"]]
    expected = [sent(n, order) for n, order in enumerate(orders) if n not in poison]
    assert sorted(map(told, done), key=str) == sorted(expected, key=str)
    if team.fifo:
        _in_order(done, lie_there)
    times = Counter(json.loads(record["body"])["id"] for record in team.records())
    assert {times[f"order-{n}"] for n in poison} == {1 + LIMIT}
    assert {json.loads(one["body"])["id"] for one in kept} == {f"order-{n}" for n in poison}
    for one in kept:
        assert (one["redrives"], one["reason"]["type"]) == (LIMIT, "RedriveLimitReached")
        number = int(one["message_id"].rpartition("-")[2])
        body, beside = sent(number, orders[number])
        found = row(team.stack, "Messages", one["message_id"])
        carried = {name: "\n".join(value) for name, value in beside.items()}
        assert (found["body"], found["carried"]) == (body, carried)


def _in_order(done, lie_there):
    """Hold that those of a group came in the order in which they lay there."""
    groups = defaultdict(list)
    for record in done:
        order = json.loads(record["body"])["id"]
        groups[record["attributes"]["MessageGroupId"]].append(lie_there.index(order))
    assert len(groups) == GROUPS
    assert [group for group, places in groups.items() if places != sorted(places)] == []

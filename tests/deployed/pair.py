"""A team's pair of queues that is not ours, and its consumer, which a test plays."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.deployed.flows import finished

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "team": {"DataType": "String", "StringValue": "blue"},
    "size": {"DataType": "Number", "StringValue": "7"},
    "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x01"},
    "ReasonType": {"DataType": "String", "StringValue": "Theirs"},
}


@dataclass
class Pair:
    """A team's queues, and their consumer, which this test plays."""

    stack: Any
    name: str
    fifo: bool
    processed: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self):
        suffix, attributes = (".fifo", {"FifoQueue": "true"}) if self.fifo else ("", {})
        sqs = self.stack.client("sqs")
        self.source, self.dead = (
            sqs.create_queue(QueueName=f"{self.name}-{what}{suffix}", Attributes=attributes)[
                "QueueUrl"
            ]
            for what in ("source", "dead")
        )

    def send(self, url, body, group="g", attributes=None):
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": str(uuid.uuid4())}
        self.stack.client("sqs").send_message(
            QueueUrl=url,
            MessageBody=body,
            MessageAttributes=attributes or {},
            **(fifo if self.fifo else {}),
        )

    def consume(self, poison=lambda body: False):
        """Process what is on the source queue; what is poison goes where SQS would move it."""
        sqs = self.stack.client("sqs")
        while found := sqs.receive_message(
            QueueUrl=self.source,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        ).get("Messages"):
            for message in found:
                if poison(message["Body"]):
                    group = message["Attributes"].get("MessageGroupId", "g")
                    attributes = {
                        name: {k: v for k, v in one.items() if not k.endswith("ListValues")}
                        for name, one in message.get("MessageAttributes", {}).items()
                    }
                    self.send(self.dead, message["Body"], group, attributes)
                else:
                    self.processed.append(message)
                sqs.delete_message(QueueUrl=self.source, ReceiptHandle=message["ReceiptHandle"])


def register(pair, operator, **settings):
    queues = {"source_queue": pair.source, "dead_letter_queue": pair.dead}
    operator.call("PUT", f"/queues/{pair.name}", queues | settings)


def run(operator, pair, **options):
    started = operator.reprocess(queue=pair.name, **options).expect(202)
    return finished(operator, started["run_id"])


def order(number, text="é\u2028 as it is"):
    return json.dumps({"id": f"order-{number}", "text": text, "total": 1.50}, ensure_ascii=False)

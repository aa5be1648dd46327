"""The application as deployed by CloudFormation, seen through AWS's own APIs and nothing else.

Written for a stack on AWS and tried on the local stack's CloudFormation only: nothing here ever
ran on AWS. What is known to be otherwise there:

- A queue can only be looked at by receiving. Messages in flight, and those of their groups, are
  not seen, and each look counts as a receive: at the third one SQS moves a message of the work
  queue to the dead-letter queue, and the consumer takes a second delivery for a crash.
- Time passes by itself only: `World.settle` waits for no lease.
- Nothing can be mocked.
"""

import tomllib
from collections.abc import Callable
from typing import Any

import boto3

from local.stack import ROOT
from tests.support import redrive_runs
from tests.support.stack_fixtures import delete

_KINDS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class AwsStack:
    """A deployed stack, with what `tests.support.world.World` needs of it.

    Args:
        name: of the CloudFormation stack; `samconfig.toml`'s by default.
        client: gives the boto3 client of a service; by the environment's credentials and region
            by default.
    """

    def __init__(self, name: str | None = None, client: Callable[[str], Any] | None = None) -> None:
        self.name = name or stack_name()
        self.client: Callable[[str], Any] = client or boto3.Session().client  # type: ignore[assignment]
        (found,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
        self.emulator = _Queues(self.client)

    def process_environment(self) -> dict[str, str]:
        """Return the settings of the stack's functions, for code that runs in this process."""
        # A function's own comes from Lambda.
        settings: dict[str, str] = {"AWS_REGION": self.client("lambda").meta.region_name}
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=self.name):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] == "AWS::Lambda::Function":
                    function = self.client("lambda").get_function_configuration(
                        FunctionName=resource["PhysicalResourceId"]
                    )
                    settings |= function.get("Environment", {}).get("Variables", {})
        return settings

    def quiet(self) -> None:
        """Turn the consumer off, empty both queues and free the lock.

        Receives and deletes: SQS lets a queue be purged once a minute.
        """
        redrive_runs.consume(self, False)
        sqs = self.client("sqs")
        for name in ("Work", "DeadLetter"):
            url = self.outputs[f"{name}QueueUrl"]
            while messages := sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            ).get("Messages"):
                for message in messages:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        name = self.outputs["DeadLetterQueueUrl"].rpartition("/")[2]
        delete(self, "Runs", f"LOCK#{name}")  # type: ignore[arg-type]


class _Queues:
    """The part of the emulator that looks at queues."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """Return what can be received of a queue, and leave it visible."""
        sqs = self._client("sqs")
        counts = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=_KINDS)["Attributes"]
        if not any(int(counts[kind]) for kind in _KINDS):
            return []
        received = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            WaitTimeSeconds=1,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        return [
            {
                "MessageId": message["MessageId"],
                "Body": message["Body"],
                "MessageGroupId": message["Attributes"]["MessageGroupId"],
                "MessageDeduplicationId": message["Attributes"]["MessageDeduplicationId"],
                # But for this look.
                "ReceiveCount": int(message["Attributes"]["ApproximateReceiveCount"]) - 1,
                "MessageAttributes": message.get("MessageAttributes", {}),
                "Attributes": message["Attributes"],
                "IsVisible": True,
            }
            for message in received
        ]


def stack_name() -> str:
    """Return the name under which `make deploy` deploys."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return str(config["default"]["global"]["parameters"]["stack_name"])

"""Where the test cases run: any Step Functions endpoint that knows the mock configuration file."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from local.emulator import REGION, Emulator
from local.machines import ACCOUNT, MACHINES, MOCK_CONFIG
from tests.support.stack_fixtures import WAIT_SCALE

VARIABLE = "AWS_ENDPOINT_URL_SFN"
# Every task of every case is mocked, so nothing of these needs to be there.
PLACEHOLDERS = {
    "MessagesTable": "Messages",
    "GroupsTable": "Groups",
    "WorkQueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/work.fifo",
    "DeadLetterQueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/dead-letters.fifo",
    "ProcessMessageFunctionArn": "ProcessMessage",
    "ReceiveLargeDeadLettersFunctionArn": "ReceiveLargeDeadLetters",
    "ValidateMessagesFunctionArn": "ValidateMessages",
    "ConductRunFunctionArn": "ConductRun",
    "RedriveLaneStateMachineArn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:redrive-lane",
    "MaxAttempts": "5",
    "MaxMessageBytes": "12000",
    "BackoffBaseSeconds": "1",
    "BackoffCapSeconds": "1",
    "PollSeconds": "1",
    "WavesPerLeg": "300",
}


class Endpoint:
    """A Step Functions endpoint; anything else with such a `client` will do as well."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, service: str) -> Any:
        """Return a boto3 client of the account and region that the mocked results name."""
        session = boto3.Session(
            aws_access_key_id=ACCOUNT, aws_secret_access_key="test", region_name=REGION
        )
        config = Config(proxies={}, inject_host_prefix=False, max_pool_connections=20)
        make: Any = session.client  # of any service
        return make(service, endpoint_url=self.url, config=config)


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Give the endpoint that `AWS_ENDPOINT_URL_SFN` names, or an emulator of its own."""
    if url := os.environ.get(VARIABLE):
        yield Endpoint(url)
        return
    emulator = Emulator(
        wait_scale=WAIT_SCALE,
        settings={"SFN_MOCK_CONFIG": str(MOCK_CONFIG), "MINISTACK_ACCOUNT_ID": ACCOUNT},
    )
    emulator.start()
    try:
        yield Endpoint(emulator.url)
    finally:
        emulator.stop()


@dataclass(frozen=True)
class Deployed:
    """A machine at an endpoint, as it was deployed; `new` if it was made for these tests."""

    arn: str
    definition: str
    new: bool


@contextmanager
def machines(stepfunctions: Any) -> Iterator[dict[str, Deployed]]:
    """Give each of `MACHINES`: created for a while, unless it is there.

    Raises:
        ValueError: a machine of that name is there that is not made of our file as it is.
    """
    there = {
        machine["name"]: machine["stateMachineArn"]
        for machine in stepfunctions.list_state_machines()["stateMachines"]
    }
    found: dict[str, Deployed] = {}
    try:
        for name, machine in MACHINES.items():
            if name in there:
                found[name] = Deployed(there[name], _definition(stepfunctions, there[name]), False)
                if machine.values.items() - machine.values_in(found[name].definition).items():
                    raise ValueError(f"{there[name]} does not have {machine.values}.")
            else:
                found[name] = _create(stepfunctions, name, machine.definition(PLACEHOLDERS))
        yield found
    finally:
        for deployed in found.values():
            if deployed.new:
                stepfunctions.delete_state_machine(stateMachineArn=deployed.arn)


def _definition(stepfunctions: Any, arn: str) -> str:
    return str(stepfunctions.describe_state_machine(stateMachineArn=arn)["definition"])


def _create(stepfunctions: Any, name: str, definition: str) -> Deployed:
    role = f"arn:aws:iam::{ACCOUNT}:role/machine"
    created = stepfunctions.create_state_machine(name=name, definition=definition, roleArn=role)
    return Deployed(created["stateMachineArn"], definition, True)


def mocked_errors(machine: str, case: str) -> dict[str, list[str]]:
    """Return the errors that the file throws in each state of a case, in their order."""
    config = json.loads(MOCK_CONFIG.read_text(encoding="utf-8"))
    errors = {}
    for state, name in config["StateMachines"][machine]["TestCases"][case].items():
        errors[state] = [
            response["Throw"]["Error"]
            for numbers, response in config["MockedResponses"][name].items()
            if "Throw" in response
            for _ in range(_times(numbers))
        ]
    return errors


def _times(numbers: str) -> int:
    first, _, last = numbers.partition("-")
    return int(last or first) - int(first) + 1

"""Who runs a command on a stack, and what that stack has: for commands of administrators."""

import argparse
import os
from dataclasses import dataclass
from typing import Any

import boto3

from local import running
from local.stack import STACK_NAME

_LONGEST_LIFETIME = 86_400  # MaxValue of the parameter `TokenLifetimeSeconds`


class NoStack(Exception):
    """The stack is none of this project's."""


@dataclass(frozen=True)
class Administered:
    """What a stack has that its administrator changes; the lifetime is in seconds."""

    users_table: str
    audit_table: str
    token_key_secret: str
    token_lifetime: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command be told whose stack it is about."""
    parser.add_argument("--stack", help="a deployed stack; without it, the running local one")
    parser.add_argument("--region", help="of the stack; by default your AWS profile's")
    parser.add_argument("--endpoint-url", help="of an emulator that is not the local stack")


def administered(options: argparse.Namespace) -> Administered:
    """Return what the stack has that the options name, and let boto3 speak to it.

    Raises:
        NoStack: it lacks an output.
        local.running.NotRunning: no local stack runs.
    """
    if options.endpoint_url:
        os.environ["AWS_ENDPOINT_URL"] = options.endpoint_url
    if options.region:
        boto3.setup_default_session(region_name=options.region)
        os.environ["AWS_DEFAULT_REGION"] = options.region  # of the clients of `workflows`
    if options.stack is None:
        running.connect()
    name = options.stack or STACK_NAME
    found: Any = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    given = {one["ParameterKey"]: one.get("ParameterValue") for one in found.get("Parameters", [])}
    try:
        return Administered(
            outputs["UsersTableName"],
            outputs["AuditTableName"],
            outputs["TokenKeySecret"],
            int(given.get("TokenLifetimeSeconds") or _LONGEST_LIFETIME),
        )
    except KeyError as missing:
        raise NoStack(f"The stack {name} has no output {missing.args[0]}.") from None


def identity() -> str:
    """Return the ARN of the AWS identity that the credentials are of."""
    return str(boto3.client("sts").get_caller_identity()["Arn"])

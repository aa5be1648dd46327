"""The scenarios on a stack deployed on AWS, and the tools for that on the local stack.

Without an account only the latter run. `STACK_NAME` names the stack if it is not samconfig.toml's.
"""

import os

import pytest

from tests.machines.scenarios import SCENARIOS
from tests.support.aws_stack import AwsStack, stack_name
from tests.support.redrive_runs import consume
from tests.support.world import World

_UNMOCKED = [name for name, one in SCENARIOS.items() if not one.mocked]


@pytest.fixture(scope="module")
def deployed():
    """Give the stack on AWS, its consumer off, and leave it empty, its consumer on."""
    found = AwsStack(os.environ.get("STACK_NAME"))
    found.quiet()
    yield found
    found.quiet()
    consume(found, True)


@pytest.mark.aws
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", _UNMOCKED)
def test_scenario_on_aws(deployed, name):
    play(deployed, name)


def play(stack, name):
    stack.quiet()
    world = World(stack)
    try:
        SCENARIOS[name].play(world)
    finally:
        world.close()


@pytest.mark.xdist_group("redrive")
@pytest.mark.usefixtures("empty_queues")
@pytest.mark.parametrize("name", ["one_of_each", "copies_of_one_message"])
def test_scenario_through_cloudformation_s_outputs(stack, name):
    play(AwsStack("local", stack.client), name)


def test_settings_of_a_deployed_stack_are_its_functions(stack):
    settings = AwsStack("local", stack.client).process_environment()

    assert settings["MESSAGES_TABLE"] == stack.outputs["MessagesTableName"]
    assert settings["AWS_REGION"] == "us-east-1"
    assert settings["RETRY_STATE_MACHINE_ARN"] == stack.outputs["RetryStateMachineArn"]


def test_stack_is_the_one_that_make_deploys():
    assert stack_name() == "guarded-redrive"

"""The input of the retry machine, as a person may write it into the console."""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios import given
from tests.support.world import World


@pytest.fixture(scope="module")
def world():
    with MotoStack() as moto:
        yield World(moto)


def cause(world, run):
    client = world.stack.client("stepfunctions")
    return client.describe_execution(executionArn=run.arn)["cause"]


@pytest.mark.parametrize("unknown", [["generatoin"], ["Group", "reset"]], ids=str)
def test_input_with_an_unknown_key_fails_naming_it_and_tries_nothing(world, unknown):
    message = given.retrying(world)
    known = {"group_id": message.group_id, "message_id": message.message_id, "generation": 1}

    run = world.run(known | dict.fromkeys(unknown, 1), machine="retry")

    assert (run.status, run.error) == ("FAILED", "States.QueryEvaluationError")
    assert run.states == ["StartGroup"]
    assert f"not known are {', '.join(unknown)};" in cause(world, run)
    assert world.row(message)["status"] == "RETRYING"

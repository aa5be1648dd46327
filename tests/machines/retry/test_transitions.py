"""What a message that dies takes of the retry machine: AWS bills each state that is entered."""

from tests.engines.moto_engine.stack import MotoStack
from tests.machines.scenarios.paths import HELD, LOOK, TRY
from tests.support.stack_fixtures import history
from tests.support.world import World
from workflows.runtime.settings import settings


def test_message_that_fails_four_times_and_dies_takes_sixteen_transitions():
    with MotoStack() as moto:
        world = World(moto)
        message = world.message()
        world.freeze(message.group_id)

        world.send(message)
        world.consume()

        (execution,) = world.row(message)["execution_arns"]
        states = history(world.stack, execution)
        assert settings().max_attempts == 4
        assert states == ["StartGroup", *TRY * 3, *LOOK, *HELD]
        assert len(states) == 16

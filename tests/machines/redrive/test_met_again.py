"""What a run sent and has yet to note as sent, when the same message comes back to it."""

import pytest

from tests.engines.moto_engine.stack import MotoStack
from tests.support.messages import an_operator
from tests.support.redrive_runs import START
from tests.support.world import World
from workflows.operator import retry_by_hand


@pytest.fixture
def world():
    with MotoStack() as moto:
        found = World(moto)
        yield found
        found.close()


def redriven_while(world, max_messages, *acts):
    """Run; before the second poll, the third … do what is to happen. Return the execution."""
    polls = iter([lambda: None, *acts])

    def before_state(arn, state):
        if state == "ReceiveDeadLetters" and ":redrive_lane:" in arn:
            next(polls, lambda: None)()
        return True

    world.stack.before_state = before_state
    try:
        return world.run({"request": {"max_messages": max_messages}})
    finally:
        world.stack.before_state = lambda *_: True


def dies_sent_and_sent_by_hand(world, message):
    """Let the copy that the run sent die, and that which a person sends then."""
    world.consume()
    retry_by_hand.retry(message.message_id, retry_by_hand.RetryRequest(), an_operator())
    world.consume()
    assert (world.row(message)["status"], world.row(message)["redrives"]) == ("DEAD", 2)


@pytest.fixture
def dying(world):
    """Give a dead letter that dies whenever it is tried."""
    message = world.message()
    world.freeze(message.group_id)
    world.dead_letter(message)
    return message


def test_message_that_died_again_by_another_hand_is_redriven_again(world, dying):
    run = redriven_while(world, 2, lambda: dies_sent_and_sent_by_hand(world, dying))

    assert (run.status, run.states[: len(START)]) == ("SUCCEEDED", START)
    assert run.output["redriven"] == 2
    assert world.row(dying)["redrives"] == 3


@pytest.mark.parametrize("others", [0, 1], ids=["at the end", "with the next batch"])
def test_message_that_was_sent_twice_is_known_by_its_later_life(world, dying, others):
    healthy = [world.message() for _ in range(others)]

    def before_the_second():
        dies_sent_and_sent_by_hand(world, dying)
        # What is quarantined takes the room of what was not sent in the notes.
        world.put_on_dlq("hello", world.name("nobody"))

    def before_the_third():
        for message in healthy:
            world.dead_letter(message)

    run = redriven_while(world, 3 + others, before_the_second, before_the_third)

    assert run.status == "SUCCEEDED"
    assert (run.output["redriven"], run.output["quarantined"]) == (2 + others, 1)
    assert world.row(dying)["redrives"] == 3
    assert (world.row(dying)["status"], world.row(dying)["trouble"]) == ("REDRIVEN", "REDRIVING")
    world.recover()
    assert world.row(dying)["trouble"] == "REDRIVING"

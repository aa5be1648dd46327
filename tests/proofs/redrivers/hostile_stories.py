"""Dead letters that are very large or written to be evaluated: told as `stories` are."""

import json
from collections.abc import Iterator
from functools import partial

from tests.proofs.redrivers import stories
from tests.proofs.redrivers.stories import Told, all_processed
from tests.support.world import World

HOSTILE_STORIES: list[Told] = []
story = partial(stories.story, among=HOSTILE_STORIES)

_MIB = 1_048_576  # the most that SQS takes as MaximumMessageSize
_LONGEST = 12_000  # the template's MaximumMessageSize
_TEXTS = (
    '"; $s := "x',
    "{% $states.input %}",
    "${WorkQueueUrl}",
    "'\"\\\\",
    "\x00\x1f\x7f",
    "\u2028\u2029",
    "\U0001f600",
    "$eval('1')",
)
_GROUPS = ('";$s:="x', "{%$states.input%}", "${WorkQueueUrl}", "'\\")


@story(16)
def ten_of_the_longest(world: World) -> Iterator[str]:
    """Ten dead letters of 12,000 bytes, none of ours, lie before ten messages of ours."""
    for number in range(10):
        world.put_on_dlq('"' * _LONGEST, world.name(f"s{number}"))
    for number in range(10):
        world.dead_letter(world.message(type="entry", number=number, submitted_by="\u20ac" * 254))
    yield from _moved_whole(world)


@story(16)
def far_too_long(world: World) -> Iterator[str]:
    """Queues take 1 MiB: one dead letter of 250 KiB and ten of 26 KiB lie before two of ours."""
    for queue in ("Work", "DeadLetter"):
        world.stack.client("sqs").set_queue_attributes(
            QueueUrl=world.stack.outputs[f"{queue}QueueUrl"],
            Attributes={"MaximumMessageSize": str(_MIB)},
        )
    for number, kibibytes in enumerate([250, *[26] * 10]):
        world.put_on_dlq("x" * (kibibytes * 1_024), world.name(f"s{number}"))
    for number in range(2):
        world.dead_letter(world.message(type="entry", number=number))
    yield from _moved_whole(world)


@story(17)
def written_to_be_evaluated(world: World) -> Iterator[str]:
    """Bodies, groups and attributes hold NUL, emoji, quotes, `"; $s := "x`, `{% %}` and `${X}`."""
    for number, text in enumerate(_TEXTS):
        world.dead_letter(world.message(type="entry", number=number, submitted_by=text))
        attribute = text.replace("\x00", "").replace("\x1f", "")  # SQS takes neither as they are
        escaped = json.dumps({"message_id": f"{text}\ud800"})
        world.put_on_dlq(escaped, world.name(f"s{number}"), Attribute=f"a{attribute}")
    for group in _GROUPS:
        world.put_on_dlq("no envelope", group)
    yield from _moved_whole(world)


def _moved_whole(world: World) -> Iterator[str]:
    """Redrive; yield what of ours did not go to the work queue byte for byte, or was not moved."""
    world.redrive()
    sent = {(copy["MessageGroupId"], copy["Body"]) for copy in world.queued("Work")}
    for message in world.messages:
        if (message.group_id, message.body()) not in sent:
            yield f"Bytes: {message.message_id} was not sent as it is."
    world.settle()
    yield from all_processed(world)

"""Messages that are poison, malformed, oversize or written to be evaluated."""

import json

import pytest

from tests.machines.scenarios.bodies import ENVELOPE, GROUP, KEY_TWICE, NAN
from tests.proofs.faults.crashing_world import LATER
from tests.support.invariants import MAX_ATTEMPTS, MAX_REDRIVES, broken
from tests.support.stack_fixtures import all_events, row
from workflows.messages.envelope import parse
from workflows.runtime import clock

LEVELS = 10_000
MALFORMED = {
    "not JSON": '{"message_id":',
    "array": "[]",
    "number": "1",
    "null": "null",
    "text": '"text"',
    "duplicate keys": KEY_TWICE,
    "NaN": NAN,
    "deep": "[" * LEVELS + "]" * LEVELS,
    "blank": " ",
}
# Written to be evaluated, or to break whatever pastes them into text.
TEXTS = (
    '"; $s := "x',
    "{% $states.input %}",
    "${WorkQueueUrl}",
    "'\"\\\\",
    "\u2028\u2029",
    "😀",
    "\x7f",
    "$eval('1')",
)
# The longest text between two states: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STATE_BYTES = 262_144


@pytest.mark.fault(14)
def test_poison_is_quarantined_at_the_limit_and_never_tried_again(world):
    poison = world.message(type="entry", group_id=world.name("g"), number=1, fails=1_000)
    world.send(poison)
    world.settle()
    for _ in range(MAX_REDRIVES + 3):
        world.stack.elapse(LATER)
        world.redrive()
        world.settle()
        assert broken(world) == []

    found = world.row(poison)
    tries = row(world.stack, "Accounts", f"TRIES#{poison.message_id}")["failures"]
    assert (found["status"], found["redrives"]) == ("QUARANTINED", MAX_REDRIVES)
    assert tries == MAX_ATTEMPTS * (1 + MAX_REDRIVES) == found["attempts_total"]
    assert world.queued("DeadLetter") == []


@pytest.mark.fault(2, 14)
def test_message_that_is_redriven_again_within_five_minutes_is_delivered_again(world):
    poison = world.message(type="entry", group_id=world.name("g"), number=1, fails=1_000)
    began = clock.epoch()
    world.send(poison)
    world.consume()
    for redrives in range(1, MAX_REDRIVES + 1):
        assert world.redrive().output["redriven"] == 1
        world.consume()
        tries = row(world.stack, "Accounts", f"TRIES#{poison.message_id}")["failures"]
        assert tries == MAX_ATTEMPTS * (1 + redrives)

    assert clock.epoch() - began < 300  # SQS still remembers every deduplication id
    world.settle()
    assert broken(world) == []


@pytest.mark.fault(15)
def test_malformed_bodies_are_quarantined_and_the_others_move(world):
    assert parse(ENVELOPE, GROUP)  # two of them are this one but for one thing
    _take_1_mib(world, "DeadLetter")  # so many levels are larger than the queue usually takes
    for number, body in enumerate(MALFORMED.values()):
        group = world.name(f"g{number}")
        world.put_on_dlq(body.replace(GROUP, group), group)
    healthy = [world.message() for _ in range(9)]
    for message in healthy:
        world.dead_letter(message)

    run = world.redrive()
    world.settle()

    assert (run.output["quarantined"], run.output["redriven"]) == (len(MALFORMED), len(healthy))
    for message_id in world.foreign_ids:
        found = row(world.stack, "Messages", f"sqs:{message_id}")
        assert (found["status"], found["reason"]["type"]) == ("QUARANTINED", "InvalidEnvelope")
    assert broken(world, moved=healthy) == []


@pytest.mark.fault(15)
def test_empty_body_is_quarantined_and_the_others_move(world):
    healthy = world.message()
    world.dead_letter(healthy)
    empty = {"MessageId": "empty", "ReceiptHandle": "none", "Body": ""}
    received = {"Messages": [empty | {"Attributes": {"MessageGroupId": "g"}}]}

    run = world.run({}, mocks={"ReceiveDeadLetters": [{"Return": received}]})
    world.settle()

    assert run.output["quarantined"] == 1
    assert row(world.stack, "Messages", "sqs:empty")["body"] == ""
    assert broken(world, moved=[healthy]) == []


@pytest.mark.fault(16)
@pytest.mark.parametrize(("count", "size"), [(1, 250 * 1_024), (10, 26 * 1_024)])
def test_oversize_messages_of_a_queue_of_1_mib_are_all_handled(world, count, size):
    _take_1_mib(world, "Work", "DeadLetter")
    for number in range(count):
        world.put_on_dlq("x" * size, world.name(f"g{number}"))
    healthy = world.message()
    world.dead_letter(healthy)

    run = world.redrive()
    world.settle()

    assert (run.output["quarantined"], run.output["redriven"]) == (count, 1)
    assert broken(world, moved=[healthy]) == []


@pytest.mark.fault(16)
def test_full_batch_of_the_largest_messages_stays_under_the_limit_of_a_state(world):
    messages = [world.message(submitted_by="\u20ac" * 254) for _ in range(10)]
    for message in messages:
        world.dead_letter(message)
    for number in range(10):
        world.put_on_dlq('"' * 11_900, world.name(f"g{number}"))

    run = world.redrive()
    world.settle()

    assert (run.output["quarantined"], run.output["redriven"]) == (10, 10)
    largest = max(len(_payload(event)) for event in all_events(world.stack, run.arn))
    assert 100_000 < largest <= STATE_BYTES
    assert broken(world, moved=messages) == []


def _take_1_mib(world, *queues):
    for queue in queues:
        world.stack.client("sqs").set_queue_attributes(
            QueueUrl=world.stack.outputs[f"{queue}QueueUrl"],
            Attributes={"MaximumMessageSize": str(1_048_576)},
        )


def _payload(event):
    details = [value for name, value in event.items() if name.endswith("EventDetails")]
    texts = [d.get("output") or d.get("parameters") or d.get("input") or "" for d in details]
    return max(texts, key=len, default="")


@pytest.mark.fault(17)
def test_texts_that_look_like_code_are_data_wherever_they_stand(world):
    messages = []
    for number, text in enumerate(TEXTS):
        messages.append(world.message(submitted_by=text))
        world.dead_letter(messages[-1])
        world.put_on_dlq(f"{text} {number}", world.name(f"g{number}"))
        escaped = json.dumps({"message_id": text + "\x00\ud800"})
        world.put_on_dlq(escaped, world.name(f"h{number}"), Attribute=f"a{text}")
    for group in ('";$s:="x', "{%$states.input%}", "${WorkQueueUrl}", "'\\"):
        world.put_on_dlq("no envelope", group)

    run = world.redrive()
    world.settle()

    assert run.status == "SUCCEEDED"
    assert run.output["quarantined"] == len(world.strangers)
    assert broken(world, moved=messages) == []


@pytest.mark.fault(18)
@pytest.mark.parametrize("count", [None, "abc", "-1", "1000000000", "0"])
def test_forged_counter_neither_grants_nor_takes_a_redrive(world, count):
    attributes = {} if count is None else {"redrives": count, "ApproximateReceiveCount": count}
    spent, fresh, unknown = world.message(), world.message(), world.message()
    world.dead_letter(spent, redrives=MAX_REDRIVES)
    world.dead_letter(fresh)
    world.stack.client("sqs").purge_queue(QueueUrl=world.stack.outputs["DeadLetterQueueUrl"])
    for message in (spent, fresh, unknown):
        world.put_copy("DeadLetter", message, **attributes)

    world.redrive()
    world.settle()

    assert world.row(spent)["reason"]["type"] == "RedriveLimitReached"
    assert world.row(unknown)["reason"]["type"] == "UnknownMessage"
    assert [world.row(m)["status"] for m in (spent, unknown)] == ["QUARANTINED"] * 2
    assert broken(world, moved=[fresh]) == []

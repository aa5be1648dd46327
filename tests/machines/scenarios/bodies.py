"""Bad messages: whatever one holds, it is kept byte for byte with its reason; the rest moves."""

import json
from typing import Any

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import FINISH, JUDGED, MEASURED, START, STORED, WAVE
from tests.machines.scenarios.registry import add, scenario
from tests.support.messages import a_message
from tests.support.stack_fixtures import row
from tests.support.world import World
from workflows.messages.carried import NOTHING

# Stands in a body for the group that it is put into, so that nothing but what is odd about the
# body is wrong with it.
GROUP = "its-group"
ENVELOPE = a_message(group_id=GROUP).body()
KEY_TWICE = ENVELOPE.replace('{"message_id":', '{"message_id":"m-1","message_id":')
NAN = ENVELOPE.replace('"10.00"', "NaN")
# No envelope of ours, in one way each; each list is one batch.
BODIES = {
    "not_json": [
        "{",
        " \t\r\n ",
        NAN,
        KEY_TWICE,
        '{"amount": 1e999999}',
        '{"amount": ' + "9" * 5_000 + "}",
        "[" * 10_000,
        "[" * 5_500 + "]" * 5_500,
    ],
    "of_another_shape": ["null", "17", '"text"', "[]", "{}", "true", '[{"message_id": "a"}]'],
    "of_odd_characters": [
        '{"text": "\\u0000\\ud800"}',
        "\u2028\u2029\u00a0\u200b\ufeff",
        "😀 naïve 漢字 \U0010fffd",
        '"' * 12_000,
        "\\" * 12_000,
        "\t" * 12_000,
        "é" * 6_000,
        "\\u0000 \\ud800 \\",
    ],
    "like_code": [
        '"; $s := "x',
        "{% $states.context %}",
        "${MessagesTable}",
        "$parse('{}')",
        "' OR '1'='1",
        "?",
        "<script>alert(1)</script>",
        "NaN",
    ],
}
# Envelopes in shape, in a field not.
FIELDS: dict[str, dict[str, Any]] = {
    "path_for_an_id": {"message_id": "../../x"},
    "number_for_an_id": {"message_id": 7},
    "reserved_id": {"message_id": "dlq"},
    "id_of_a_redrive": {"message_id": "payment.r1"},
    "id_of_a_foreign_message": {"message_id": "sqs:payment"},
    "list_for_a_payload": {"payload": []},
    "no_time": {"first_sent_at": "soon"},
    "unknown_field": {"priority": 9},
}


def quarantined(world: World, sqs_message_id: str) -> tuple[str, str]:
    """Return why a foreign message is in quarantine, and its body as kept there."""
    found = row(world.stack, "Messages", f"sqs:{sqs_message_id}")
    assert (found["status"], found["trouble"]) == ("QUARANTINED", "QUARANTINED")
    return found["reason"]["type"], found["body"]


def _play(world: World, bodies: list[str]) -> None:
    before, after = world.message(), world.message()
    world.dead_letter(before)
    groups = [world.name(f"stranger-{n}") for n in range(len(bodies))]
    bodies = [body.replace(GROUP, group) for body, group in zip(bodies, groups, strict=True)]
    letters = [world.put_on_dlq(body, group) for body, group in zip(bodies, groups, strict=True)]
    world.dead_letter(after)

    run = world.run({"request": {"max_messages": len(bodies) + 2}})

    assert run.states == [*START, *JUDGED, *WAVE, *FINISH]
    for letter, body in zip(letters, bodies, strict=True):
        assert quarantined(world, letter) == ("InvalidEnvelope", body)
    assert sorted(m["Body"] for m in world.queued("Work")) == sorted([before.body(), after.body()])


for _name, _bodies in BODIES.items():
    add(
        f"bodies_{_name}",
        "Bodies that are no envelopes are quarantined, and their healthy neighbours redriven.",
        lambda world, bodies=_bodies: _play(world, bodies),  # type: ignore[misc]
    )


@scenario()
def envelopes_with_a_wrong_field(world: World) -> None:
    """Envelopes of which one field cannot be are quarantined under SQS's ids, in one batch."""
    right = json.loads(world.message().body())
    letters = {
        world.put_on_dlq(json.dumps(right | wrong), right["group_id"]): wrong
        for wrong in FIELDS.values()
    }

    world.run({"request": {"max_messages": len(FIELDS)}})

    for letter, wrong in letters.items():
        assert quarantined(world, letter) == ("InvalidEnvelope", json.dumps(right | wrong))


@scenario()
def hostile_groups(world: World) -> None:
    """Names of message groups that look like code are data, also in the ledger."""
    groups = ["{%$x%}", '";$s:="x', "${X}", "'OR'1'='1", "?", "g" * 128]
    letters = {world.put_on_dlq("hello", group): group for group in groups}

    run = world.run({"request": {"max_messages": len(groups)}})

    assert run.states == [*START, *JUDGED, *STORED, *FINISH]
    for letter, group in letters.items():
        assert row(world.stack, "Messages", f"sqs:{letter}")["group_id"] == group
        assert quarantined(world, letter) == ("InvalidEnvelope", "hello")


@scenario()
def forged_attributes(world: World) -> None:
    """Attributes decide nothing: absurd counters are forwarded, and the ledger's count goes up."""
    message = world.message()
    given.record(world, message, "DEAD", redrives=1)
    forged = {
        "redrives": "abc",
        "attempts": "-1",
        "count": "1e9",
        "expression": '{% $states %}"; $s := "x',
        "substitution": "${MessagesTable}",
        "unicode": "\u2028😀",
        "MessageGroupId": "other",
        "Priority": "9",
    }
    reason = {"ReasonType": "AccountFrozen", "ReasonMessage": "It is frozen."}
    world.put_copy("DeadLetter", message, NOTHING, **forged, **reason)
    bare = world.message()
    world.dead_letter(bare)
    reasoned = world.message()
    given.record(world, reasoned, "DEAD")
    world.put_copy("DeadLetter", reasoned, NOTHING, **reason)

    world.run({"request": {"max_messages": 3}})

    assert world.row(message)["redrives"] == 2
    assert world.row(bare)["redrives"] == 1
    # All but the reason, which is that of an earlier death.
    assert {
        letter["Body"]: {
            name: value["StringValue"] for name, value in letter["MessageAttributes"].items()
        }
        for letter in world.queued("Work")
    } == {message.body(): forged, bare.body(): {}, reasoned.body(): {}}


@scenario()
def envelope_in_another_group(world: World) -> None:
    """A valid envelope that came in another group's queue place is not believed."""
    message = world.message()
    given.record(world, message, "DEAD")
    letter = world.put_on_dlq(message.body(), world.name("other"))

    world.run({"request": {"max_messages": 1}})

    assert quarantined(world, letter) == ("InvalidEnvelope", message.body())
    assert world.row(message)["status"] == "DEAD"


@scenario()
def ten_of_the_largest(world: World) -> None:
    """Ten messages of the largest size, all of it escaped twice, fit one batch."""
    letters = [world.put_on_dlq('"' * 12_000, world.name(f"large-{n}")) for n in range(10)]

    run = world.run({"request": {"max_messages": 10}})

    assert run.states == [*START, *JUDGED, *STORED, *FINISH]
    assert {quarantined(world, letter)[0] for letter in letters} == {"InvalidEnvelope"}


@scenario()
def one_of_250_kib(world: World) -> None:
    """On a queue that takes more, a message of 250 KiB is quarantined byte for byte, by itself."""
    body = "é" * 128_000
    healthy = world.message()
    with given.largest_message(world, "DeadLetter", 1_048_576):
        letter = world.put_on_dlq(body, world.name("large"))
        world.dead_letter(healthy)
        run = world.run({"request": {"max_messages": 2}})

    assert run.states == [*START, *MEASURED, *STORED, *MEASURED, *WAVE, *FINISH]
    assert quarantined(world, letter) == ("InvalidEnvelope", body)


@scenario()
def large_message_of_ours(world: World) -> None:
    """A message of ours of 250 KiB goes with its very bytes where both queues take it."""
    message = world.message()
    given.record(world, message, "DEAD")
    body = message.body().ljust(250 * 1_024)
    with (
        given.largest_message(world, "DeadLetter", 1_048_576),
        given.largest_message(world, "Work", 1_048_576),
    ):
        world.put_on_dlq(body, message.group_id)
        run = world.run({"request": {"max_messages": 1}})

    assert run.output["redriven"] == 1
    assert [letter["Body"] for letter in world.queued("Work")] == [body]


@scenario(mocked=True)
def bodies_that_sqs_refuses(world: World) -> None:
    """Bodies that SQS should never hand out (empty, NUL, controls) are stored all the same."""
    bodies = ["", "\x00", "\x01\x1f"]
    letters = [world.name(f"letter-{n}") for n in range(len(bodies))]
    received = [
        {
            "MessageId": letter,
            "ReceiptHandle": "stale",
            "Body": body,
            "Attributes": {"MessageGroupId": "hostile"},
        }
        for letter, body in zip(letters, bodies, strict=True)
    ]

    world.run(
        {"request": {"max_messages": len(bodies)}},
        mocks={"ReceiveDeadLetters": given.returns({"Messages": received})},
    )

    for letter, body in zip(letters, bodies, strict=True):
        assert quarantined(world, letter) == ("InvalidEnvelope", body)


@scenario()
def payload_of_no_known_type(world: World) -> None:
    """A message whose type nobody knows is quarantined under its own id."""
    message = world.message(type="nothing")
    world.dead_letter(message)

    world.run({"request": {"max_messages": 1}})

    assert world.row(message)["reason"]["type"] == "UnknownType"


@scenario()
def payload_that_does_not_fit(world: World) -> None:
    """A message whose payload does not fit its type is quarantined under its own id."""
    message = world.message(currency="euro")
    world.dead_letter(message)

    world.run({"request": {"max_messages": 1}})

    assert world.row(message)["reason"]["type"] == "InvalidPayload"

"""Answers of SQS and DynamoDB that are partly errors, too short, late, or about the past."""

from typing import Any

import pytest

from lambdas import consume_messages
from tests.proofs.faults.calls import failing, refusing, shortened
from tests.proofs.faults.crashing_world import LATER
from tests.proofs.faults.queues import of_each_queue, of_registered_queues
from tests.support.invariants import MAX_REDRIVES, broken
from tests.support.invocations import CONTEXT
from tests.support.stack_fixtures import put
from workflows.ledger import claims, transitions
from workflows.messages import message_types
from workflows.redrive import runs

FOR_EVER = 1_000


@pytest.fixture
def letters(world):
    """Give three dead letters, two of them of one group."""
    pair = world.name("pair")
    messages = [world.message(type="entry", group_id=pair, number=number) for number in (1, 2)]
    messages.append(world.message())
    for message in messages:
        world.dead_letter(message)
    return messages


@of_each_queue
@pytest.mark.fault(6)
def test_message_that_was_not_sent_stays_and_so_does_what_is_behind_it(world, letters):
    first, second, other = letters
    with refusing("sqs.SendMessageBatch", lambda entry: entry["MessageBody"] == first.body()):
        run = world.redrive()
    world.settle()

    stay = [first, second] if world.fifo else [first]  # a standard queue has no order
    assert (run.output["redriven"], run.output["failed"]) == (3 - len(stay), 1)
    assert [m["Body"] for m in world.queued("DeadLetter")] == [m.body() for m in stay]
    assert broken(world, moved=[other]) == []

    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@of_registered_queues
@pytest.mark.fault(4, 6, 19)
@pytest.mark.parametrize(
    ("state", "swept"),
    [("DeleteDeadLetters", True), ("HoldDeadLetters", False), ("SettleLeg", True)],
)
def test_first_redrive_that_sqs_refused_before_its_run_was_stopped_is_made_up_for_by_the_next(
    world, letters, state, swept
):
    """Its row says that it was redriven: nobody may take that for sent, and delete the only one."""
    first = letters[0]
    entered: list[str] = []

    def before(arn, name):
        entered.append(name)
        return state not in entered

    world.stack.before_state = before
    with refusing("sqs.SendMessageBatch", lambda entry: entry["MessageBody"] == first.body()):
        run_id = world.begin()
    world.go_on()
    assert world.row(first)["redrives"] == 1
    world.excuse()
    world.stack.elapse(LATER)
    if swept:
        world.recover()
        assert world.row(first)["trouble"] == "DEAD"

    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []
    assert runs.get(run_id.rpartition(":")[2])["status"] == "ABORTED"
    assert world.row(first)["redrives"] == 2


@of_each_queue
@pytest.mark.fault(7)
@pytest.mark.parametrize("consumed_first", [True, False], ids=["consumed", "waiting"])
def test_dead_letter_that_was_not_deleted_is_noticed_by_the_next_run(
    world, letters, consumed_first
):
    with refusing("sqs.DeleteMessageBatch", lambda entry: entry["Id"] == "0"):
        world.redrive()
    assert [m["Body"] for m in world.queued("DeadLetter")] == [letters[0].body()]
    if consumed_first:
        world.consume()
    world.stack.elapse(LATER)

    run = world.redrive()

    # Of a registered queue the record of the run before tells that it was sent.
    assert run.output["already_processed"] == (consumed_first or not world.is_built_in)
    world.settle()
    assert broken(world, moved=letters) == []


@of_each_queue
@pytest.mark.fault(7)
def test_delete_with_a_stale_handle_is_noticed_by_the_next_run(world, letters):
    received = []

    def somebody_else_receives():
        world.stack.elapse(301)
        url = world.url("DeadLetter")
        answer = world.stack.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        received.extend(answer["Messages"])

    world.run({}, meanwhile=("DeleteDeadLetters", somebody_else_receives))
    assert len(received) == 3
    world.stack.elapse(LATER)
    world.recover()

    world.begin()
    world.settle()
    assert broken(world, moved=letters) == []


@of_each_queue
@pytest.mark.fault(8)
@pytest.mark.parametrize("state", ["ValidateMessages", "GuardLoop", "RedriveMessages", "MoreToDo"])
def test_visibility_that_ends_during_a_run_repeats_nothing(world, letters, state):
    run = world.run({}, meanwhile=(state, lambda: world.stack.elapse(301)))
    assert state in run.states
    bodies = sorted(m.body() for m in letters)
    assert sorted(m["Body"] for m in world.queued("Work")) == bodies  # one copy of each

    world.settle()
    again = world.redrive()
    assert again.output["redriven"] == 0
    assert world.queued("Work") == []
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(9)
def test_message_that_is_delivered_twice_has_one_effect(world):
    message = world.message()
    world.send(message)
    world.put_copy("Work", message)

    world.settle()

    assert broken(world, moved=[message]) == []


@pytest.mark.fault(9)
def test_second_worker_with_a_message_leaves_it_to_the_first(world, monkeypatch):
    message = world.message()
    answers: list[Any] = []
    world.send(message)
    (sent,) = world.queued("Work")
    record = {
        "messageId": "another-delivery",
        "body": sent["Body"],
        "attributes": {"MessageGroupId": message.group_id, "SequenceNumber": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
    process = message_types.process

    def while_it_is_processed(found, tried):
        if not answers:
            answers.append(None)
            answers[0] = consume_messages.handler({"Records": [record]}, CONTEXT)
        process(found, tried)

    monkeypatch.setattr(message_types, "process", while_it_is_processed)
    world.settle()

    assert answers == [{"batchItemFailures": [{"itemIdentifier": "another-delivery"}]}]
    assert broken(world, moved=[message]) == []


@pytest.mark.fault(11)
def test_messages_behind_one_in_flight_do_not_make_a_queue_empty(world, letters):
    url = world.url("DeadLetter")
    world.stack.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=600
    )

    run = world.run({"trigger": "schedule"})

    assert run.status == "SUCCEEDED"
    # Not SKIPPED, as for an empty queue, and no plain success either.
    assert (run.output["status"], run.output["in_flight"]) == ("HALTED", 1)
    # The other group's, two that were empty, and as many after each of three waits.
    assert run.states.count("ReceiveDeadLetters") == 9
    world.settle()
    assert broken(world, moved=[letters[2]]) == []

    world.stack.elapse(LATER)
    world.run({"trigger": "schedule"})
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(13)
def test_message_that_was_processed_since_its_verdict_is_not_sent(world, letters):
    def somebody_moves_it_and_it_is_processed():
        world.put_copy("Work", letters[2])
        world.stack.poll()

    run = world.run({}, meanwhile=("GuardLoop", somebody_moves_it_and_it_is_processed))

    # Refused by the condition, and looked at once more.
    assert run.status == "SUCCEEDED"
    assert (run.output["failed"], run.output["already_processed"]) == (1, 1)
    assert len(world.queued("Work")) == 2
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(13)
def test_message_that_is_claimed_since_its_verdict_is_not_quarantined(world):
    """It was let go of, though it had been sent: its copy comes while it is being judged."""
    message = world.message(type="entry", group_id=world.name("g"), number=1)
    let_go = {"status": "REDRIVEN", "trouble": "DEAD", "redrives": MAX_REDRIVES}
    world.dead_letter(message, **let_go)
    tried: list[Any] = []

    def process(arn, state):
        if state == "GuardLoop" and not tried:
            tried.append(claims.claim(message, "the copy").decision)
        elif state == "HoldDeadLetters":
            tried.append(world.row(message)["status"])
            message_types.process(message)
            transitions.processed(message.message_id)
        return True

    world.stack.before_state = process
    run = world.redrive()

    assert tried == [claims.Decision.PROCESS, "PROCESSING"]
    assert (run.output["quarantined"], run.output["failed"]) == (0, 1)
    assert run.output["already_processed"] == 1  # refused by the condition, and looked at again
    assert world.effects(message.group_id) == [1]
    assert broken(world, moved=[message]) == []


@pytest.mark.fault(13)
@pytest.mark.parametrize("refusals", [1, 2])
def test_message_that_the_ledger_refused_and_then_took_is_redriven_and_settled_once(
    world, letters, refusals
):
    """Somebody changes its row between its verdict and its guard, so that it is looked at again."""
    entered = []

    def before(arn, state):
        entered.append(state)
        is_new_batch = entered[-2:] == ["ValidateMessages", "GuardLoop"]
        if is_new_batch and entered.count("ValidateMessages") <= refusals:
            row = world.row(letters[2])
            put(world.stack, "Messages", row | {"attempts_total": row["attempts_total"] + 1})
        return True

    world.stack.before_state = before
    run = world.redrive()

    assert run.status == "SUCCEEDED"
    assert (run.output["redriven"], run.output["failed"]) == (3, refusals)
    row = world.row(letters[2])
    assert (row["status"], row["trouble"]) == ("REDRIVEN", "REDRIVING")  # and not let go of
    world.settle()
    assert broken(world, moved=letters) == []


@pytest.mark.fault(2, 13)
def test_message_that_the_ledger_refused_and_sqs_then_took_without_saying_so_is_not_let_go_of(
    world, letters
):
    entered = []

    def before(arn, state):
        entered.append(state)
        if state == "GuardLoop" and entered.count(state) == 1:
            row = world.row(letters[2])
            put(world.stack, "Messages", row | {"attempts_total": row["attempts_total"] + 1})
        return True

    world.stack.before_state = before
    sends = 2  # the first of the group, and the second
    with failing("sqs.SendMessageBatch", skip=sends, times=FOR_EVER, lost=True) as failed:
        run = world.redrive()

    assert failed
    assert (run.status, run.error) == ("FAILED", "Sqs.SqsException")
    assert world.row(letters[2])["status"] == "REDRIVEN"  # under which its copy is claimed
    world.settle()
    world.stack.elapse(LATER)
    world.redrive()
    world.settle()
    assert broken(world, moved=letters) == []


@of_each_queue
@pytest.mark.fault(22)
def test_empty_receive_is_asked_again(world, letters):
    run = world.run({}, mocks={"ReceiveDeadLetters": [{"Return": {}}]})

    assert run.output["redriven"] == 3
    world.settle()
    assert broken(world, moved=letters) == []


@of_each_queue
@pytest.mark.fault(22)
def test_short_receives_go_on_until_two_are_empty(world, letters):
    with shortened("sqs.ReceiveMessage", MaxNumberOfMessages=1):
        run = world.redrive()

    assert run.output["redriven"] == 3
    assert run.states.count("ReceiveDeadLetters") == 5
    world.settle()
    assert broken(world, moved=letters) == []

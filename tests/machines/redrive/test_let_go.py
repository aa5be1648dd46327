"""What a run guarded and did not send: who sees it, who may touch it, and what its copies do."""

import pytest

from local.deadline import wait_until
from tests.support.redrive_runs import (
    LOCK,
    audited,
    consume,
    counters,
    ledger,
    on_dlq,
    process_all,
    recover,
    redrive,
    sent,
    throw,
)
from tests.support.stack_fixtures import (
    balance,
    dead_letter,
    ended,
    history,
    leg_arn,
    queued,
    row,
    start_machine,
    transaction,
    waits_scaled,
)

pytestmark = [
    pytest.mark.xdist_group("redrive limits"),
    pytest.mark.usefixtures("empty_queues"),
]


def refused(count=1):
    """Return what SQS says when it takes none of a batch, for `mocks`."""
    failed = [{"Id": str(n), "Code": "InternalError", "SenderFault": False} for n in range(count)]
    return [{"Return": {"Failed": failed}}]


def stopped_in(stack, state, **request):
    """Start a run, and stop it and its lane, as in the console, while a service does not answer."""
    with waits_scaled(stack, 1):  # so that the state is still busy with its retries
        arn = start_machine(
            stack,
            "redrive",
            {"request": request},
            mocks={state: throw("Some.ServiceException")},
        )
        wait_until(lambda: history(stack, arn)[-1:] == [state], 60, f"the run is in {state}")
        for stopped in (arn, leg_arn(stack, arn)):
            stack.client("stepfunctions").stop_execution(executionArn=stopped)
    ended(stack, arn)
    return arn.rpartition(":")[2]


def listed(operator, *messages):
    """Return which of some messages, of distinct groups, are in the list of dead letters."""
    groups = [message.group_id for message in messages]
    pages = [operator.dead_letters(group_id=group).expect(200)["messages"] for group in groups]
    return [letter["message_id"] for page in pages for letter in page]


def planned(operator, message):
    """Return the verdict of a plan on one message; None if it is in no plan."""
    plan = operator.reprocess(dry_run=True).expect(200)
    verdicts = {found["message_id"]: found["verdict"] for found in plan["messages"]}
    return verdicts.get(message.message_id)


def steps(stack, message):
    return [event["event"] for event in ledger(stack, message)["journey"]]


def test_message_that_sqs_refused_is_dead_again_while_the_run_goes_on(stack, operator):
    unsent, healthy = transaction(), transaction()
    for message in (unsent, healthy):
        dead_letter(stack, message)
    answer = refused()[0]["Return"] | {"Successful": [{"Id": "1", "MessageId": "made-up"}]}

    run = redrive(stack, 2, mocks={"RedriveMessages": [{"Return": answer}]})

    assert counters(stack, run) == {"received": 2, "redriven": 1, "failed": 1}
    found = ledger(stack, unsent)
    assert (found["status"], found["trouble"], found["redrives"]) == ("DEAD", "DEAD", 1)
    assert "redriven_by" not in found  # or the run's outcome would count it as dead again
    assert steps(stack, unsent) == ["redriven", "let_go"]
    assert listed(operator, unsent, healthy) == [unsent.message_id]
    assert planned(operator, unsent) == "redrive"


@pytest.mark.parametrize("action", ["retry", "edit", "discard"])
def test_message_that_sqs_refused_can_be_mended_before_another_run(stack, operator, action):
    message = transaction()
    dead_letter(stack, message)
    redrive(stack, 1, mocks={"RedriveMessages": refused()})
    path = f"/messages/{message.message_id}"

    if action == "discard":
        operator.call("POST", f"{path}/discard", {"reason": "a test"}).expect(200)
    else:
        if action == "edit":
            payload = message.payload | {"amount": 20.0}
            operator.call("PATCH", path, {"payload": payload}).expect(200)
        operator.call("POST", f"{path}/retry").expect(202)
        process_all(stack, message)

    run = redrive(stack, 1)
    settled = {"discard": "discarded"}.get(action, "already_processed")
    assert counters(stack, run) == {"received": 1, settled: 1}
    assert balance(stack, message) == {"retry": 10, "edit": 20, "discard": 0}[action]
    assert queued(stack, "DeadLetter") == queued(stack, "Work") == []


def test_message_of_a_run_that_was_stopped_before_it_sent_is_dead_again(stack, operator):
    message = transaction()
    dead_letter(stack, message)

    run_id = stopped_in(stack, "RedriveMessages", max_messages=1)
    recover(stack)  # unless the event was faster

    found = ledger(stack, message)
    assert (found["status"], found["trouble"]) == ("REDRIVEN", "DEAD")
    assert row(stack, "Runs", run_id)["status"] == "ABORTED"
    assert row(stack, "Runs", LOCK) == {}
    assert sent(stack, message) == []
    assert steps(stack, message) == ["redriven", "let_go"]
    assert listed(operator, message) == [message.message_id]
    assert planned(operator, message) == "redrive"
    operator.call("POST", f"/messages/{message.message_id}/retry").expect(202)
    process_all(stack, message)
    assert balance(stack, message) == 10


def test_message_under_way_is_in_no_list_and_in_no_plan(stack, operator):
    message = transaction()
    dead_letter(stack, message)

    run = redrive(stack, 1)
    assert recover(stack)["let_go"] == []

    assert counters(stack, run) == {"received": 1, "redriven": 1}
    assert len(sent(stack, message)) == 1  # and nobody consumes
    assert ledger(stack, message)["status"] == "REDRIVEN"
    assert listed(operator, message) == []
    assert planned(operator, message) is None
    for action in ("retry", "discard"):
        answer = operator.call("POST", f"/messages/{message.message_id}/{action}", {"reason": "x"})
        assert answer.status in (409, 422)
    process_all(stack, message)
    assert "trouble" not in ledger(stack, message)
    assert [record["action"] for record in audited(stack, run.name)] == ["end_run"]


@pytest.mark.parametrize("action", ["retry", "discard", "nothing"])
def test_message_that_was_sent_by_a_run_stopped_at_once_has_one_effect_at_most(
    stack, operator, action
):
    message = transaction()
    dead_letter(stack, message)
    stopped_in(stack, "DeleteDeadLetters", max_messages=1)
    recover(stack)
    assert len(sent(stack, message)) == len(on_dlq(stack, message)) == 1
    assert listed(operator, message) == [message.message_id]  # nobody can know that it was sent

    if action != "nothing":
        body = {"reason": "a test"} if action == "discard" else None
        answer = operator.call("POST", f"/messages/{message.message_id}/{action}", body)
        assert answer.status in (200, 202)
    consume(stack, True)
    wait_until(lambda: not queued(stack, "Work"), 30, "the work queue is empty")

    assert balance(stack, message) == (0 if action == "discard" else 10)
    status = "DISCARDED" if action == "discard" else "PROCESSED"
    assert ledger(stack, message)["status"] == status
    assert listed(operator, message) == []

"""What the flows over HTTP share: messages of their own, and waiting for what becomes of them."""

import uuid

from local.deadline import wait_until
from tests.support.redrive_runs import LOCK
from tests.support.stack_fixtures import delete, freeze


def credit(account_id=None, **fields):
    """Return the payload of a transaction, for an account that no other test has."""
    account_id = account_id or f"account-{uuid.uuid4()}"
    return {
        "account_id": account_id,
        "kind": "credit",
        "amount": "12.34",
        "currency": "EUR",
    } | fields


def settled(client, message_id, status):
    """Return the record of a message once it has a status."""

    def found():
        record = client.message(message_id).expect(200)
        return record if record["status"] == status else None

    return wait_until(found, 60, f"{message_id} is {status}")


def finished(client, run_id):
    """Return the record of a run once it has ended."""

    def found():
        record = client.run(run_id).expect(200)
        return None if record["status"] in ("RUNNING", "CANCELLING") else record

    return wait_until(found, 60, f"run {run_id} has ended", interval=0.2)


def forget_dead_letters(stack):
    """Empty the dead-letter queue and free its lock."""
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["DeadLetterQueueUrl"])
    delete(stack, "Runs", LOCK)


def frozen_account(stack):
    account_id = f"account-{uuid.uuid4()}"
    freeze(stack, account_id)
    return account_id


def dead_message(stack, client):
    """Send to a frozen account; return the account and the record of the dead message."""
    account_id = frozen_account(stack)
    message_id = client.send(credit(account_id)).expect(202)["message_id"]
    return account_id, settled(client, message_id, "DEAD")


def assert_problem(answer, status, code):
    """Hold an answer against the one shape of every failure."""
    assert answer.status == status, answer.text
    assert answer.headers.get_content_type() == "application/json"
    assert set(answer.json) == {"error", "trace_id"}
    assert set(answer.json["error"]) - {"details"} == {"code", "message"}
    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["message"]
    assert answer.json["trace_id"]

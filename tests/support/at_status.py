"""One message's row, in process, at each status and on the way from one to another."""

from typing import Any

from tests.support.messages import a_message, a_transaction
from tests.support.rows import indexed
from tests.support.troubles import row
from workflows.ledger import lookup, transitions
from workflows.messages.carried import NOTHING
from workflows.messages.transaction import AccountFrozen
from workflows.runtime import aws

ID = "m-1"
MESSAGE = a_message()
OTHER = a_message(payload=a_transaction(amount="99"))
BODY = MESSAGE.body() + "\n"  # not the bytes that we would write
ERROR = AccountFrozen("Account acc-1 is frozen.")
STATUSES = ["ACCEPTED", "QUEUED", "PROCESSING", "PROCESSED", "RETRYING", "DEAD", "REDRIVEN",
            "QUARANTINED", "DISCARDED", "PARKED"]  # fmt: skip
TROUBLES = {"DEAD", "QUARANTINED", "RETRYING"}


def put(status, message=MESSAGE, **attributes):
    """Write a row as if it had come to this status some way or other."""
    transitions.accept(message)
    trouble = {"trouble": status, "body": message.body()} if status in TROUBLES else {}
    item = row(message.message_id) | {"status": status} | trouble | attributes
    aws.dynamodb().put_item(TableName="Messages", Item=indexed(item))


def attempt():
    """Return the attempt that the row is at: what its worker, or its execution, knows."""
    found: dict[str, Any] = lookup.get_many([ID]).get(ID, {})
    return int(found.get("attempts_total", 0))


def write(part):
    """Write a transaction's part by itself; return whether its condition held."""
    return aws.transact([part]) is None


def fall_into(trouble, execution_arn="arn:1"):
    """Take a claimed message into trouble."""
    if trouble == "RETRYING":
        return write(transitions.retrying(MESSAGE, BODY, NOTHING, ERROR, execution_arn, attempt()))
    dead = write(transitions.dead(MESSAGE, BODY, NOTHING, ERROR, attempt()))
    if trouble == "QUARANTINED":
        exhaust()
    return dead


def exhaust():
    """Take a dead message, as one that is out of redrives, into quarantine."""
    aws.dynamodb().put_item(TableName="Messages", Item=row() | {"redrive_limit": 0})
    assert transitions.quarantine(MESSAGE, BODY, NOTHING, ERROR, attempt())

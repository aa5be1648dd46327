"""What tests on the local stack share: messages of their own, accounts, executions and queues.

The stack is one for all tests of a worker and is never emptied, so every test makes messages and
accounts that no other has. Only the dead-letter queue and its lock are one for all: tests that
need them for themselves carry `@pytest.mark.xdist_group` and empty them first.
"""

import itertools
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from local.deadline import wait_until
from local.stack import Stack
from tests.support import mocks as mocked
from tests.support.rows import indexed, shown
from workflows.messages.envelope import Message
from workflows.redrive import counters
from workflows.redrive.leg_executions import leg_name
from workflows.runtime import clock, executions

# A Wait of 8 s takes 0.08 s; scaled, so that the order of things stays what it is.
WAIT_SCALE = 0.01
# Why the messages that these fixtures make are in trouble.
FROZEN = {"type": "AccountFrozen", "message": "It is frozen."}
_SECONDS = 60.0
# The states of the items of `RunLanes`.
_OF_ITEMS = {"RunLane", "LegUnanswered"}


@runtime_checkable
class Deferring(Protocol):
    """A stack, such as `MotoStack`, whose executions run when they are asked to."""

    def run_executions(self) -> None:
        """Run all executions that were started to their ends."""

    def events(self, execution_arn: str) -> list[dict[str, Any]]:
        """Return an execution's whole history so far, oldest first."""


@contextmanager
def waits_scaled(stack: Stack, factor: float) -> Iterator[None]:
    """Scale waits and retry intervals otherwise for a while; 1 is real time."""
    stack.emulator.scale_waits(factor)
    try:
        yield
    finally:
        stack.emulator.scale_waits(WAIT_SCALE)


@dataclass(frozen=True)
class Execution:
    """An execution that ended, as DescribeExecution tells it; `output` is {} unless it succeeded.

    `states` are the names of the states it entered, in order, those of a run's lanes included.
    """

    arn: str
    name: str
    status: str
    output: Any
    error: str | None
    states: list[str]


def start_machine(
    stack: Stack,
    machine: str,
    payload: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    mocks: dict[str, list[dict[str, Any]]] | None = None,
) -> str:
    """Start the machine `retry` or `redrive`, or one by its ARN, and return the execution's ARN.

    Args:
        stack: where.
        machine: which.
        payload: the input; None starts it as the console does, with an empty object.
        name: of the execution.
        mocks: for each state, a lane's included, what its first entries meet instead of the
            service, each {"Return": result} or {"Throw": {"Error", "Cause"}}; later entries are
            real. A `Throw` is thrown at every retry of that entry.
    """
    arn = machine if ":" in machine else machine_arn(stack, machine)
    return str(
        stack.client("stepfunctions").start_execution(
            stateMachineArn=f"{arn}#{mocked.new_case(stack, arn, mocks)}" if mocks else arn,
            name=name or f"t-{uuid.uuid4()}",
            input=json.dumps(payload or {}),
        )["executionArn"]
    )


def run_machine(
    stack: Stack,
    machine: str,
    payload: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    mocks: dict[str, list[dict[str, Any]]] | None = None,
    seconds: float = _SECONDS,
) -> Execution:
    """Start a machine as `start_machine` does, and return its execution once it ended."""
    return ended(stack, start_machine(stack, machine, payload, name=name, mocks=mocks), seconds)


def ended(stack: Stack, execution_arn: str, seconds: float = _SECONDS) -> Execution:
    """Wait until an execution has ended, in whatever way, and return it."""
    if isinstance(stack, Deferring):
        stack.run_executions()

    def found() -> Any:
        answer = stack.client("stepfunctions").describe_execution(executionArn=execution_arn)
        return None if answer["status"] == "RUNNING" else answer

    end = wait_until(found, seconds, f"{execution_arn} ends")
    return Execution(
        arn=execution_arn,
        name=end["name"],
        status=end["status"],
        output=json.loads(end["output"]) if end["status"] == "SUCCEEDED" else {},
        error=end.get("error"),
        states=history(stack, execution_arn),
    )


def events(stack: Stack, execution_arn: str) -> list[dict[str, Any]]:
    """Return an execution's whole history so far, oldest first."""
    if isinstance(stack, Deferring):
        return stack.events(execution_arn)
    paginator = stack.client("stepfunctions").get_paginator("get_execution_history")
    return [
        event
        for page in paginator.paginate(
            executionArn=execution_arn, PaginationConfig={"PageSize": 1000}
        )
        for event in page["events"]
    ]


def history(stack: Stack, execution_arn: str) -> list[str]:
    """Return the names of the states an execution has entered so far, in order.

    After each `RunLanes` of a run come those of its lanes' legs, one lane after the other.
    """
    found: list[str] = []
    for state in own_history(stack, execution_arn):
        found.append(state)
        if state == "RunLanes":
            for leg in _legs(stack, execution_arn, found.count("RunLanes")):
                found += own_history(stack, leg)
    return found


def own_history(stack: Stack, execution_arn: str) -> list[str]:
    """Return the names of the states that an execution itself has entered so far, in order.

    But for those of a Map's items, of which MiniStack tells nothing.
    """
    return [
        name
        for event in events(stack, execution_arn)
        if event["type"].endswith("StateEntered")
        and (name := event["stateEnteredEventDetails"]["name"]) not in _OF_ITEMS
    ]


def leg_arn(stack: Stack, run_arn: str, number: int = 1, lane: int = 0) -> str:
    """Return the ARN of a leg of a run's lane; the legs are counted from 1."""
    name = leg_name(run_arn.rpartition(":")[2], lane, number)
    return executions.arn_of(machine_arn(stack, "redrive_lane"), name)


def _legs(stack: Stack, run_arn: str, number: int) -> Iterator[str]:
    """Yield the ARNs of the legs that a run's lanes had in a round, counted from 1."""
    client = stack.client("stepfunctions")
    for lane in itertools.count():
        leg = leg_arn(stack, run_arn, number, lane)
        try:
            client.describe_execution(executionArn=leg)
        except client.exceptions.ExecutionDoesNotExist:
            return
        yield leg


def all_events(stack: Stack, run_arn: str) -> list[dict[str, Any]]:
    """Return the events of a run and of all legs of its lanes, oldest first in each."""
    rounds = own_history(stack, run_arn).count("RunLanes")
    legs = (leg for number in range(rounds) for leg in _legs(stack, run_arn, number + 1))
    arns = [run_arn, *legs]
    return [event for arn in arns for event in events(stack, arn)]


def machine_arn(stack: Stack, machine: str) -> str:
    """Return the ARN of the machine `retry`, `redrive` or `redrive_lane`."""
    return stack.outputs[f"{machine.title().replace('_', '')}StateMachineArn"]


def transaction(**fields: Any) -> Message:
    """Return a message that no other test has: a credit of 10.00 to an account of its own.

    Args:
        fields: of `Message`, or of its payload, to be other than that.
    """
    account_id = fields.get("account_id", f"account-{uuid.uuid4()}")
    payload = {"account_id": account_id, "kind": "credit", "amount": 10.0, "currency": "EUR"}
    payload |= {name: fields.pop(name) for name in payload.keys() & fields.keys()}
    message = {
        "message_id": str(uuid.uuid4()),
        "type": "transaction",
        "group_id": account_id,
        "payload": payload,
        "first_sent_at": clock.now(),
        "trace_id": f"trace-{uuid.uuid4()}",
        "submitted_by": "p@example.com",
    }
    return Message.model_validate(message | fields)


def record(stack: Stack, message: Message, status: str, **columns: Any) -> None:
    """Put a message's row into the ledger, in any status, whatever was there before."""
    row = {
        "message_id": message.message_id,
        "type": message.type,
        "group_id": message.group_id,
        "payload_hash": message.payload_hash,
        "first_sent_at": message.first_sent_at_text,
        "updated_at": clock.now(),
        "submitted_by": message.submitted_by,
        "trace_id": message.trace_id,
        "expires_at": 4_102_444_800,  # the year 2100
        "attempts": 1,
        "attempts_total": columns.get("attempts", 1),
        "redrives": 0,
        "execution_arns": [],
        "journey": [],
        "status": status,
    }
    if status in ("RETRYING", "DEAD", "QUARANTINED"):
        row |= {"trouble": status, "body": message.body()}
        row |= {"reason": FROZEN, "dead_at": row["updated_at"]}
    put(stack, "Messages", row | columns)


def dead_letter(stack: Stack, message: Message, size: int = 0, **columns: Any) -> str:
    """Make a message a dead letter, in the ledger and on the queue; return SQS's MessageId.

    Args:
        stack: where.
        message: not on the dead-letter queue in this life (`redrives`) before.
        size: how many bytes its body has at least.
        columns: of its row in the ledger, to be other than those of a first death.
    """
    record(stack, message, **{"status": "DEAD"} | columns)
    return put_on_dlq(
        stack,
        message.body().ljust(size),
        message.group_id,
        f"{message.message_id}.r{columns.get('redrives', 0)}",
    )


def dead_letters(stack: Stack, count: int, **fields: Any) -> list[Message]:
    """Make so many messages dead letters, and return them; `fields` as for `transaction`."""
    messages = [transaction(**fields) for _ in range(count)]
    for message in messages:
        dead_letter(stack, message)
    return messages


def put_on_dlq(
    stack: Stack, body: str, group_id: str, deduplication_id: str | None = None, **attributes: str
) -> str:
    """Put any body straight on the dead-letter queue; return SQS's MessageId."""
    return str(
        stack.client("sqs").send_message(
            QueueUrl=stack.outputs["DeadLetterQueueUrl"],
            MessageBody=body,
            MessageGroupId=group_id,
            MessageDeduplicationId=deduplication_id or str(uuid.uuid4()),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )["MessageId"]
    )


def queued(stack: Stack, queue: str, group_id: str | None = None) -> list[dict[str, Any]]:
    """Return what lies on the queue `Work` or `DeadLetter`, oldest first, without receiving it.

    Args:
        stack: where.
        queue: which.
        group_id: of this message group only.
    """
    found = stack.emulator.messages(stack.outputs[f"{queue}QueueUrl"])
    return [m for m in found if group_id in (None, m["MessageGroupId"])]


def row(stack: Stack, table: str, key: str) -> dict[str, Any]:
    """Return a row of `Messages`, `Runs` or `Accounts` as plain Python values; {} for none.

    A run's has what all its lanes have counted, too.
    """
    answer = stack.client("dynamodb").get_item(
        TableName=stack.outputs[f"{table}TableName"],
        Key={_KEYS[table]: {"S": key}},
        ConsistentRead=True,
    )
    item = answer.get("Item", {})
    found = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
    return counters.added_up(shown(found))


def put(stack: Stack, table: str, item: dict[str, Any]) -> None:
    """Write a row of `Messages`, `Runs` or `Accounts`."""
    item = indexed(item) if table == "Messages" else item
    stack.client("dynamodb").put_item(
        TableName=stack.outputs[f"{table}TableName"],
        Item={name: TypeSerializer().serialize(value) for name, value in item.items()},
    )


def delete(stack: Stack, table: str, key: str) -> None:
    """Delete a row of `Messages`, `Runs` or `Accounts`, if it is there."""
    stack.client("dynamodb").delete_item(
        TableName=stack.outputs[f"{table}TableName"], Key={_KEYS[table]: {"S": key}}
    )


def freeze(stack: Stack, account: Message | str, status: str = "FROZEN") -> None:
    """Set the status of an account, given by its id or by a message to it."""
    put(stack, "Accounts", {"account_id": _account_id(account), "status": status})


def unfreeze(stack: Stack, account: Message | str) -> None:
    """Let an account take transactions again."""
    freeze(stack, account, "ACTIVE")


def balance(stack: Stack, account: Message | str) -> Any:
    """Return the balance of an account, given by its id or by a message to it; 0 for none."""
    return row(stack, "Accounts", _account_id(account)).get("balance", 0)


def _account_id(account: Message | str) -> str:
    return account if isinstance(account, str) else str(account.payload["account_id"])


_KEYS = {"Messages": "message_id", "Runs": "run_id", "Accounts": "account_id"}
